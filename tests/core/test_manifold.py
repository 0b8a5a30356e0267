"""Laws of manifolds where they are known: planes, and a circle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax.core import manifold

SHAPE = (2, 3, 1)


@pytest.fixture(scope="module")
def plane():
    """Images in a plane of two dimensions, and the manifold of their principal components."""
    rng = np.random.default_rng(0)
    images = 0.5 + rng.normal(size=(20, 2)) @ rng.normal(size=(2, 6))
    images = images.reshape(20, *SHAPE).astype(np.float32)
    return images, manifold.principal(images, 2)


def test_images_of_a_plane_are_their_own_projections(plane):
    images, flat = plane
    project = jax.vmap(lambda image: manifold.project(flat, image))
    np.testing.assert_allclose(project(images), images, atol=1e-5)
    off = np.random.default_rng(1).normal(size=(5, *SHAPE)).astype(np.float32)
    once = project(off)
    np.testing.assert_allclose(project(once), once, atol=1e-5)
    basis = manifold.tangent(flat, images[0])
    np.testing.assert_allclose((off - once).reshape(5, -1) @ basis, 0, atol=1e-5)


def test_the_tangent_of_a_plane_is_the_plane(plane):
    images, flat = plane
    basis = manifold.tangent(flat, images[3])
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-5)
    within = images[1] - images[0]
    np.testing.assert_allclose(manifold.tangential_energy(within, basis), 1, atol=1e-5)
    across = np.linalg.svd(np.asarray(basis).T)[2][3].reshape(SHAPE)
    np.testing.assert_allclose(manifold.tangential_energy(across, basis), 0, atol=1e-6)
    np.testing.assert_allclose(
        manifold.tangential_energy(within / jnp.linalg.norm(within) + across, basis), 0.5, atol=1e-5
    )
    assert np.isnan(manifold.tangential_energy(jnp.zeros(SHAPE), basis))


def test_a_point_is_drawn_with_the_deviation_of_its_latent(plane):
    images, flat = plane
    np.testing.assert_array_equal(flat.deviation(images[0]), np.zeros(2))
    exact = manifold.sample(flat, images[0], jax.random.key(0))
    np.testing.assert_array_equal(exact, manifold.project(flat, images[0]))
    unsure = flat._replace(deviation=lambda image: jnp.array([0.0, 0.5]))
    keys = jax.random.split(jax.random.key(0), 4000)
    points = jax.vmap(lambda key: manifold.sample(unsure, images[0], key))(keys)
    latents = jax.vmap(flat.encode)(points)
    np.testing.assert_allclose(latents.mean(0), flat.encode(images[0]), atol=0.03)
    np.testing.assert_allclose(latents.std(0), [0, 0.5], atol=0.02)


def test_by_chance_the_energy_is_the_share_of_dimensions(plane):
    _, flat = plane
    basis = manifold.tangent(flat, jnp.zeros(SHAPE))
    directions = jax.random.normal(jax.random.key(0), (4000, *SHAPE))
    energy = jax.vmap(manifold.tangential_energy, (0, None))(directions, basis)
    np.testing.assert_allclose(energy.mean(), 2 / 6, atol=0.02)


def test_the_refined_point_of_a_circle_is_the_nearest():
    # An encoder that is wrong by a quarter turn; the circle's nearest point is in the direction.
    circle = manifold.Manifold(
        lambda image: jnp.arctan2(image[0, 1], image[0, 0]) + jnp.pi / 4,
        lambda angle: jnp.stack([jnp.cos(angle), jnp.sin(angle)])[None],
        jnp.zeros_like,
    )
    image = jnp.array([[[0.9], [1.2]]])
    far = manifold.distance(image, manifold.project(circle, image))
    point = manifold.refine(circle, image, steps=300, learning_rate=0.02)
    np.testing.assert_allclose(point, image / 1.5, atol=1e-3)
    np.testing.assert_allclose(manifold.distance(image, point), 0.5, atol=1e-5)
    assert far > 0.7
    worse = manifold.refine(circle, image, steps=1, learning_rate=3.0)
    assert manifold.distance(image, worse) <= far
