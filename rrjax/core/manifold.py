"""A manifold of images, learned or exact: the distance to it, and its tangent at an image.

Anything that encodes an image and decodes it again is one: principal components, a VAE-GAN (Kim et
al. 2019), the robust autoencoder. Images are (H, W, C), float in [0,1]. Every function takes one
image; `jax.vmap` adds a batch axis.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from rrjax.core.direction import unit
from rrjax.core.pgd import pgd


class Manifold(NamedTuple):
    """Three functions, pytrees all.

    encode: image (H, W, C) -> latent (d,). decode: latent -> image. deviation: image -> the
    standard deviations (d,) of its latent, zeros where encoding is exact.
    """

    encode: Callable[[jax.Array], jax.Array]
    decode: Callable[[jax.Array], jax.Array]
    deviation: Callable[[jax.Array], jax.Array]


def principal(images: jax.Array, dimension: int) -> Manifold:
    """Make the affine manifold of the first principal components of images (N, H, W, C)."""
    flat = images.reshape(len(images), -1)
    mean = flat.mean(0)
    _, _, axes = jnp.linalg.svd(flat - mean[None], full_matrices=False)
    arrays = (axes[:dimension], mean.reshape(images.shape[1:]))
    partially = jax.tree_util.Partial
    exact = partially(_exact, jnp.zeros(dimension))
    return Manifold(partially(_components, *arrays), partially(_composed, *arrays), exact)


def _components(axes, mean, image):
    return axes @ (image - mean).ravel()


def _composed(axes, mean, latent):
    return mean + (latent @ axes).reshape(mean.shape)


def _exact(zeros, _image):
    return zeros


def flattened(encode: Callable, decode: Callable, image_shape: tuple[int, ...]) -> Manifold:
    """Make the manifold of an autoencoder whose features, a pytree of arrays, become latents.

    encode: image (H, W, C) -> features; decode: features -> image; both pytrees.
    """
    partially = jax.tree_util.Partial
    features = encode(jnp.zeros(image_shape))
    size = sum(x.size for x in jax.tree.leaves(features))
    return Manifold(
        partially(_flat, encode),
        partially(_unflat, decode, features),
        partially(_exact, jnp.zeros(size)),
    )


def _flat(encode, image):
    return ravel_pytree(encode(image))[0]


def _unflat(decode, like, latent):
    return decode(ravel_pytree(like)[1](latent))


def project(manifold: Manifold, image: jax.Array) -> jax.Array:
    """Encode an image and decode it again: a point of the manifold, for PCA the nearest one."""
    return manifold.decode(manifold.encode(image))


def sample(manifold: Manifold, image: jax.Array, key: jax.Array) -> jax.Array:
    """Draw one of the points that an image's latent may stand for, as Kim et al. (2019) do."""
    deviation = manifold.deviation(image)
    drawn = jax.random.normal(key, deviation.shape)
    return manifold.decode(manifold.encode(image) + deviation * drawn)


def refine(
    manifold: Manifold, image: jax.Array, *, steps: int = 300, learning_rate: float = 0.01
) -> jax.Array:
    """Search the point (H, W, C) of the manifold that is nearest to an image in l2.

    Adam on the latent (Stutz et al. 2019), from the image's own, by `pgd` without a projection. The
    best of all iterates is returned: it is never farther than `project`'s point.
    """

    def squared_distance(latent: jax.Array) -> jax.Array:
        return jnp.sum((manifold.decode(latent) - image) ** 2)

    search = pgd(
        squared_distance,
        manifold.encode(image),
        project=lambda latent: latent,
        step=optax.adam(learning_rate),
        steps=steps,
    )
    return manifold.decode(search.x)


def distance(image: jax.Array, point: jax.Array) -> jax.Array:
    """Return the l2 distance of an image and its point of the manifold."""
    return jnp.linalg.norm(image - point)


def tangent(manifold: Manifold, image: jax.Array) -> jax.Array:
    """Return an orthonormal basis (H*W*C, d) of the manifold's tangent space at an image.

    It is the QR factor of the decoder's Jacobian at the image's latent.
    """
    latent = manifold.encode(image)
    jacobian = jax.jacfwd(lambda z: manifold.decode(z).ravel())(latent)
    return jnp.linalg.qr(jacobian)[0]


def tangential_energy(direction: jax.Array, basis: jax.Array) -> jax.Array:
    """Return the share of a direction's (H, W, C) squared norm that lies in the basis's span.

    By chance: d / (H*W*C). NaN for a direction of zeros, which points nowhere.
    """
    flat = unit(direction).ravel()
    return jnp.where(jnp.any(flat), jnp.sum((flat @ basis) ** 2), jnp.nan)
