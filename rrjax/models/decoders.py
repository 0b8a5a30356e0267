"""Decoders: from the features of a network's stage back to the image.

Those of Rojas-Gomez et al. (2021), arXiv:2106.06927, as released for AlexNet, and `mirror`, their
like for a stage of any network. `(features, train) -> images`, float (N, H, W, C) in [0, 1]. A
decoder is a table of rows, each a convolution with spectral norm and no bias, BN and ReLU.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rrjax import BadInput
from rrjax.models import layers, wavelets

_normal = nn.initializers.normal(0.02)

# A convolution, `(x, features, train, **fields) -> x`, and its features.
Row = tuple[Callable, int]


def same(x: jax.Array, features: int, train: bool, **fields: Any) -> jax.Array:
    """Convolve 3x3: the size stays."""
    layer = layers.conv(features, 3, 1, 1, use_bias=False, kernel_init=_normal, **fields)
    return layers.spectral_norm(layer, x, train)


def nearest(x: jax.Array, features: int, train: bool, **fields: Any) -> jax.Array:
    """Repeat every pixel 2x2, then convolve 3x3: the size doubles."""
    return same(x.repeat(2, axis=1).repeat(2, axis=2), features, train, **fields)


def double(x: jax.Array, features: int, train: bool, **fields: Any) -> jax.Array:
    """Convolve 4x4, transposed, with stride 2: the size doubles."""
    return _transposed(x, features, train, 2, **fields)


def grow(x: jax.Array, features: int, train: bool, **fields: Any) -> jax.Array:
    """Convolve 4x4, transposed, with stride 1: the size grows by one."""
    return _transposed(x, features, train, 1, **fields)


def _transposed(x: jax.Array, features: int, train: bool, stride: int, **fields: Any) -> jax.Array:
    fields |= {"use_bias": False, "kernel_init": _normal}
    layer = layers.conv_transposed(features, 4, stride, 1, **fields)
    return layers.spectral_norm(layer, x, train)


class Rows(nn.Module):
    """Apply rows to (N, H, W, C), with BN and ReLU after each."""

    rows: tuple[Row, ...]
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Map (N, h, w, C) to (N, H, W, C')."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        for i, (convolve, features) in enumerate(self.rows, 1):
            x = convolve(x, features, train, name=f"conv{i}", **types)
            x = layers.batch_norm(train, name=f"bn{i}", scale_init=_near_one, **types)(x)
            x = nn.relu(x)
        return x


def _near_one(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    return 1 + _normal(key, shape, dtype)


class Picture(nn.Module):
    """Turn (N, H, W, C) into images (N, H, W, channels) in [0, 1]: 3x3 with a bias, and tanh."""

    channels: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Return images in [0, 1]."""
        inits = {"kernel_init": _normal, "bias_init": layers.torch_default(9 * x.shape[-1])}
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        layer = layers.conv(self.channels, 3, 1, 1, name="conv", **inits, **types)
        x = layers.at_least_float32(layers.spectral_norm(layer, x, train))
        return (nn.tanh(x) + 1) / 2


class Decoder(nn.Module):
    """Map features (N, h, w, C) to images (N, H, W, channels), float in [0, 1].

    `rows`, one of the tables below or a `mirror`, say how much larger H and W are.
    """

    rows: tuple[Row, ...]
    channels: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, train: bool) -> jax.Array:
        """Return images in [0, 1]."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = Rows(self.rows, name="rows", **types)(features, train)
        return Picture(self.channels, name="picture", **types)(x, train)


class WaveletDecoder(nn.Module):
    """Map AlexNet's conv5 and the details of its Haar pooling to images (N, H, W, 3) in [0, 1].

    `details` are those of conv5, conv2 and conv1, in this order, as `AlexNet.haar` gives them,
    each (N, 3, h, w, C). H and W are any multiples of 32 from 64 on.
    """

    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, details: Sequence[jax.Array], train: bool) -> jax.Array:
        """Return images in [0, 1]."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}

        def apply(name: str, x: jax.Array, *rows: Row) -> jax.Array:
            return Rows(rows, name=name, **types)(x, train)

        of_conv5, of_conv2, of_conv1 = details
        x = apply("rows1", features, (same, 256))
        x = apply("rows2", _unpool(x, of_conv5), (same, 256))
        x = apply("rows3", _reflect(x, 1), (same, 256), (same, 192))
        x = _reflect(_unpool(x, of_conv2), 1)
        x = apply("rows4", x, (same, 128), (same, 64))
        x = _reflect(_unpool(x, of_conv1), 2)
        x = apply("rows5", x, (same, 64), (nearest, 32), (same, 32), (nearest, 3))
        return Picture(3, name="picture", **types)(x, train)


def _unpool(x: jax.Array, details: jax.Array) -> jax.Array:
    return jax.vmap(wavelets.unpool)(jnp.concatenate([x[:, None], details], axis=1))


def _reflect(x: jax.Array, n: int) -> jax.Array:
    """Pad (N, H, W, C) with n mirrored rows below and columns on the left, as the authors do."""
    return jnp.pad(x, ((0, 0), (0, n), (n, 0), (0, 0)), mode="reflect")


def mirror(stride: int, channels: int) -> tuple[Row, ...]:
    """Make the rows that undo a stage of `channels` channels and 1/stride of the image's size.

    Each doubling halves the channels, from 512 at most to 32 at least. Images of any multiple of
    the stride come back. Resized, not transposed, convolutions: no checkerboards.

    Raises:
      BadInput: unless the stride is a power of two.
    """
    if stride < 1 or stride & (stride - 1):
        raise BadInput(f"stride {stride} of the stage to decode: it must be a power of two")
    widths = [max(32, min(channels, 512) >> i) for i in range(stride.bit_length())]
    doublings = [row for width in widths[1:] for row in ((nearest, width), (same, width))]
    return ((same, widths[0]), *doublings)


# AlexNet's. Images of 32 m pixels, m from 2 on, have m - 1 at conv5, 2 m - 1 at conv2 and 4 m - 1
# at conv1: the one that is missing grows first. Three channels before the last are the authors'.
CONV5_TRANSPOSED = (
    (same, 256),
    (grow, 256),
    (same, 256),
    (double, 256),
    (same, 256),
    (double, 128),
    (same, 128),
    (double, 64),
    (same, 64),
    (double, 32),
    (same, 32),
    (double, 3),
)
CONV5_NEAREST = (
    (same, 256),
    (grow, 256),
    (same, 256),
    (nearest, 256),
    (nearest, 128),
    (nearest, 64),
    (nearest, 32),
    (nearest, 3),
)
CONV2_NEAREST = (
    (same, 192),
    (grow, 192),
    (same, 96),
    (nearest, 96),
    (same, 64),
    (nearest, 64),
    (nearest, 64),
    (nearest, 32),
    (same, 3),
)
CONV1_NEAREST = (
    (same, 64),
    (grow, 64),
    (same, 64),
    (nearest, 64),
    (same, 32),
    (nearest, 32),
    (nearest, 16),
    (same, 3),
)
