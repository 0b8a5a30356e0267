"""Attributions where the answer is known: linear and quadratic scalars, ties, exact counts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax import attribution

SHAPE = (4, 5, 3)
WEIGHTS = jax.random.normal(jax.random.key(0), SHAPE)
IMAGE = jax.random.uniform(jax.random.key(1), SHAPE)


def linear(image):
    return jnp.sum(WEIGHTS * image)


def cubic(image):
    return jnp.sum(WEIGHTS * image**3)


def test_of_a_linear_scalar_all_are_its_weights():
    np.testing.assert_allclose(attribution.gradient(linear, IMAGE), WEIGHTS)
    expected = WEIGHTS * (IMAGE - 0.5)
    np.testing.assert_allclose(attribution.gradient_x_input(linear, IMAGE), expected, rtol=1e-6)
    found = attribution.integrated_gradients(linear, IMAGE)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    smooth = partial(attribution.smooth, partial(attribution.gradient, linear))
    np.testing.assert_allclose(smooth(IMAGE, jax.random.key(2), n=3), WEIGHTS, rtol=1e-5)


def test_the_papers_units_are_those_of_a_mid_grey_baseline():
    """With pixels in [-1,1], gradient x input is ours with the baseline of 0.5."""
    theirs = 2 * IMAGE - 1
    expected = jax.grad(lambda x: cubic((x + 1) / 2))(theirs) * theirs
    found = attribution.gradient_x_input(cubic, IMAGE)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("baseline", [0.0, 0.5])
@pytest.mark.parametrize("points", [2, 50])
def test_integrated_gradients_add_up(points, baseline):
    """Two points of Gauss and Legendre are exact for the gradient of a cubic."""
    found = attribution.integrated_gradients(cubic, IMAGE, baseline, points)
    difference = cubic(IMAGE) - cubic(jnp.full(SHAPE, baseline))
    np.testing.assert_allclose(found.sum(), difference, rtol=1e-4)
    expected = WEIGHTS * (IMAGE**3 - baseline**3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_smoothing_a_cubic_adds_the_variance():
    """E[3 (x + e)^2] = 3 (x^2 + sigma^2)."""
    smooth = partial(attribution.smooth, partial(attribution.gradient, cubic))
    found = smooth(IMAGE, jax.random.key(3), n=20_000, sigma=0.2)
    np.testing.assert_allclose(found, 3 * WEIGHTS * (IMAGE**2 + 0.04), atol=0.05)


def test_magnitude_sums_channels_without_sign():
    found = attribution.magnitude(jnp.array([[[1.0, -2.0], [0.5, 0.0]]]))
    np.testing.assert_array_equal(found, [[3.0, 0.5]])


def test_ranks_are_a_permutation_and_break_ties_by_place():
    importance = jnp.array([[0.0, 2.0, 0.0], [5.0, 2.0, 1.0]])
    np.testing.assert_array_equal(attribution.ranks(importance), [[4, 1, 5], [0, 2, 3]])
    many = attribution.ranks(jnp.zeros((8, 8)))
    np.testing.assert_array_equal(many.ravel(), np.arange(64))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("count", [0, 7, 20])
def test_an_occlusion_replaces_exactly_so_many_pixels(count, keep):
    places = attribution.ranks(IMAGE.sum(-1))
    fill = jnp.array([[[0.1, 0.2, 0.3]]])
    found = jax.jit(partial(attribution.occlude, keep=keep))(IMAGE, places, count, fill)
    replaced = (found == fill).all(-1)
    assert replaced.sum() == (20 - count if keep else count)
    np.testing.assert_array_equal(replaced, (places < count) != keep)
    np.testing.assert_array_equal(found[~replaced], IMAGE[~replaced])
