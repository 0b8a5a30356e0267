"""Style as the statistics of features: whitening and coloring, Gram matrices. One map each.

Whitening and coloring give a feature map the mean and covariance of another (Li et al. 2017,
arXiv:1705.08086); Gram matrices measure how far two maps are from that (Gatys et al. 2016).
"""

import operator
from collections.abc import Callable, Sequence
from functools import reduce

import jax
import jax.numpy as jnp
from jax import lax

# Directions of less variance than this are left out, as the authors do.
_LEAST_VARIANCE = 1e-5


def transfer(
    content: jax.Array, style: jax.Array, *, alpha: float = 1.0, ridge: float = 1.0
) -> jax.Array:
    """Give a feature map (H, W, C) the style of another, (h, w, C).

    The defaults and the clip to the content's range are those of Rojas-Gomez et al. (2021),
    arXiv:2106.06927.

    Args:
      content: (H, W, C), the map to change.
      style: (h, w, C), the map whose mean and covariance it gets.
      alpha: from the content, 0, to the content in the style, 1.
      ridge: what both covariances gain on their diagonals; without it the result has the style's
        covariance, with it nearly so.
    """
    stylized = color(whiten(content, ridge=ridge), style, ridge=ridge)
    stylized = jnp.clip(stylized, content.min(), content.max())
    return alpha * stylized + (1 - alpha) * content


def stylize(
    levels: Sequence[tuple[Callable, Callable]], image: jax.Array, style: jax.Array, **options
) -> jax.Array:
    """Carry an image (H, W, C) through every level, giving its features the style's there.

    levels: (encode, decode) of one image each, the deepest first, as Rojas-Gomez et al. (2021) go.
    options: `transfer`'s; with alpha 0 the levels only reconstruct.
    """
    for encode, decode in levels:
        image = decode(transfer(encode(image), encode(style), **options))
    return image


def whiten(features: jax.Array, *, ridge: float) -> jax.Array:
    """Take the mean and the covariance from a map (H, W, C): 0 and, without a ridge, identity."""
    _, centered, variances, directions = _statistics(features, ridge)
    spanned = variances > _LEAST_VARIANCE
    scales = jnp.where(spanned, lax.rsqrt(jnp.where(spanned, variances, 1)), 0)
    return _scaled(centered, scales, directions).reshape(features.shape)


def color(whitened: jax.Array, style: jax.Array, *, ridge: float) -> jax.Array:
    """Give a whitened map (H, W, C) the mean and covariance of a style (h, w, C)."""
    mean, _, variances, directions = _statistics(style, ridge)
    spanned = variances > _LEAST_VARIANCE
    scales = jnp.where(spanned, jnp.sqrt(jnp.where(spanned, variances, 1)), 0)
    colored = _scaled(whitened.reshape(-1, whitened.shape[-1]), scales, directions)
    return (colored + mean).reshape(whitened.shape)


def _statistics(
    features: jax.Array, ridge: float
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Return mean (1, C), the centered (H*W, C), and the covariance's eigenvalues and -vectors."""
    flat = features.reshape(-1, features.shape[-1])
    mean = flat.mean(0, keepdims=True)
    centered = flat - mean
    covariance = _matmul(centered.T, centered) / (len(flat) - 1) + ridge * jnp.eye(flat.shape[1])
    return mean, centered, *jnp.linalg.eigh(covariance)


def _scaled(flat: jax.Array, scales: jax.Array, directions: jax.Array) -> jax.Array:
    """Scale the rows of (N, C) along orthonormal directions, the columns of (C, C)."""
    return _matmul(_matmul(flat, directions) * scales[None], directions.T)


def gram(features: jax.Array) -> jax.Array:
    """Return the Gram matrix (C, C) of a map (H, W, C), divided by H * W * C."""
    flat = features.reshape(-1, features.shape[-1])
    return _matmul(flat.T, flat) / flat.size


def gram_loss(features: Sequence[jax.Array], style: Sequence[jax.Array]) -> jax.Array:
    """Return how far an image is from a style, by its features at several layers, each (H, W, C).

    At each layer, the mean square difference of the channels' means and that of the Gram matrices;
    the sum over layers. The sizes of image and style may differ.
    """
    distances = [
        jnp.mean((a.mean((0, 1)) - b.mean((0, 1))) ** 2) + jnp.mean((gram(a) - gram(b)) ** 2)
        for a, b in zip(features, style, strict=True)
    ]
    return reduce(operator.add, distances)


def _matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)
