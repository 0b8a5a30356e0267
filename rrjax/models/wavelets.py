"""The orthonormal Haar transform of one image or feature map: an invertible pooling."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def pool(x: jax.Array) -> jax.Array:
    """Split a map (H, W, C) into its bands (4, H//2, W//2, C): LL, LH, HL, HH.

    The first letter is the filter down the rows, the second along them; L averages and H is the
    later pixel less the earlier one. LL is twice the 2x2 mean. An odd last row or column is left
    out, as strided pooling without padding does.
    """
    height, width, channels = x.shape[0] // 2, x.shape[1] // 2, x.shape[2]
    blocks = x[: 2 * height, : 2 * width].reshape(height, 2, width, 2, channels)
    filters = _filters(x.dtype)
    bands = _einsum("ai,bj,hiwjc->abhwc", filters, filters, blocks)
    return bands.reshape(4, height, width, channels)


def unpool(bands: jax.Array) -> jax.Array:
    """Put bands (4, H, W, C) together to the map (2H, 2W, C) whose `pool` they are."""
    _, height, width, channels = bands.shape
    filters = _filters(bands.dtype)
    bands = bands.reshape(2, 2, height, width, channels)
    blocks = _einsum("ai,bj,abhwc->hiwjc", filters, filters, bands)
    return blocks.reshape(2 * height, 2 * width, channels)


def _filters(dtype: Any) -> jax.Array:
    return jnp.array([[1, 1], [-1, 1]], dtype) / jnp.sqrt(jnp.array(2, dtype))


def _einsum(formula: str, *arrays: jax.Array) -> jax.Array:
    return jnp.einsum(formula, *arrays, precision=lax.Precision.HIGHEST)
