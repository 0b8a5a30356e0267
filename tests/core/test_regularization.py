"""The Fourier image and its transforms: what they are where the answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax.core import regularization

SHAPE = (16, 16, 3)


def test_no_coefficients_are_mid_gray():
    np.testing.assert_array_equal(regularization.image(jnp.zeros((2, 16, 9, 3)), 16), 0.5)


def test_one_coefficient_is_one_wave_of_one_size_at_every_frequency_times_it():
    """Scaled by 1 / frequency: a natural image's spectrum."""

    def wave(frequency):
        result = jnp.zeros((2, 16, 9, 1)).at[0, 0, frequency, 0].set(1.0)
        return jax.scipy.special.logit(regularization.image(result, 16))[..., 0]

    rows = np.arange(16)
    for frequency in (1, 2, 4):
        # irfft2 of a coefficient and its mirror: 2 / (H W); scaled by sqrt(H W) / f, and by 1/4.
        expected = 2 / 256 * 16 / (frequency / 16) / 4
        result = wave(frequency)
        np.testing.assert_allclose(result[0], result[7], atol=1e-6)
        np.testing.assert_allclose(
            result[0], expected * np.cos(2 * np.pi * frequency * rows / 16), atol=1e-5
        )


def test_an_even_image_stays_as_it_is_but_for_its_border():
    moved = regularization.jitter(jax.random.key(3), jnp.full(SHAPE, 0.5))
    np.testing.assert_allclose(moved, 0.5, atol=1e-6)
    moved = regularization.jitter(jax.random.key(3), jnp.full(SHAPE, 1.0))
    np.testing.assert_allclose(moved[5:11, 5:11], 1.0, atol=1e-6)
    assert moved.min() >= 0.5 - 1e-6


def test_another_key_moves_it_otherwise():
    image = jax.random.uniform(jax.random.key(0), SHAPE)
    one, other = (regularization.jitter(jax.random.key(k), image) for k in (1, 2))
    assert jnp.abs(one - other).max() > 0.05


@pytest.mark.parametrize("unit", [0, 1])
def test_a_unit_that_is_a_side_of_the_image_lights_up_that_side(unit):
    def apply(image):
        halves = image[:, :8].mean() - image[:, 8:].mean()
        return jnp.zeros(2), {"representation": jnp.stack([halves, -halves])}

    result = regularization.visualize(apply, unit, jax.random.key(0), SHAPE, steps=60)
    left, right = result[:, 1:6].mean(), result[:, 10:15].mean()
    assert (left - right) * (1 - 2 * unit) > 0.2
