"""Inversion finds what a linear network determines, and keeps what it does not."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from rrjax import representation

SHAPE = (4, 4, 1)
SEEN = jax.random.normal(jax.random.key(0), (6, 16))


def apply(image):
    """A network that sees six directions of sixteen."""
    return jnp.zeros(3), {"representation": SEEN @ image.ravel()}


def images(seed, n=3):
    return jax.random.uniform(jax.random.key(seed), (n, *SHAPE), minval=0.3, maxval=0.7)


APPLY = jax.tree_util.Partial(apply)  # as a Frozen network's: jit takes it as an argument
invert = partial(representation.invert_images, APPLY, APPLY)


def test_inversion_reaches_the_representation_and_moves_only_where_the_network_sees():
    starts, targets = images(1), images(2)
    found = invert(starts, targets, eps=1000.0, step_size=0.01, steps=400)
    assert found.value.max() < 0.02
    moved = (found.x - starts).reshape(3, 16)
    blind = np.linalg.svd(SEEN)[2][6:]
    np.testing.assert_allclose(moved @ blind.T, 0, atol=1e-4)
    assert jnp.linalg.norm(moved, axis=1).min() > 0.1


def test_an_image_is_its_own_inversion():
    targets = images(2)
    found = invert(targets, targets, eps=1000.0, step_size=0.1, steps=5)
    np.testing.assert_array_equal(found.x, targets)
    np.testing.assert_array_equal(found.value, 0)


def test_the_radius_binds():
    starts, targets = images(1), images(2)
    found = invert(starts, targets, eps=0.05, step_size=0.02, steps=50)
    distances = jnp.linalg.norm((found.x - starts).reshape(3, -1), axis=1)
    np.testing.assert_allclose(distances, 0.05, atol=1e-5)


def test_many_images_are_each_inverted_alone():
    starts, targets = images(1), images(2)
    found = invert(starts, targets, eps=1000.0, step_size=0.01, steps=30)
    _, reps = apply(targets[1])
    alone = representation.invert(
        apply, starts[1], reps["representation"], eps=1000.0, step_size=0.01, steps=30
    )
    np.testing.assert_allclose(found.x[1], alone.x, atol=1e-5)


def test_noise_is_the_papers():
    noise = representation.noise((50, 16, 16, 3), np.random.default_rng(0))
    np.testing.assert_allclose([noise.mean(), noise.std()], [0.5, 0.05], atol=1e-3)
    assert noise.dtype == np.float32 and noise.min() >= 0 and noise.max() <= 1
