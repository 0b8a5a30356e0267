"""Layers that the families share: torch's initializers, paddings and pools; the normalization."""

import math
from collections.abc import Callable
from functools import cache, partial, reduce
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rrjax import BadInput
from rrjax.models.convolution import convolution

BN_EPSILON = 1e-5  # torch's

# torch: nn.init.kaiming_normal_(mode="fan_out", nonlinearity="relu"): N(0, 2 / fan_out).
kaiming_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


def torch_default(fan_in: int) -> Callable[..., jax.Array]:
    """Initialize as torch's Conv2d and Linear do, weight and bias alike: U(±1/√fan_in).

    A flax bias initializer sees only the bias's shape, so the caller says what fan_in is.
    """
    bound = fan_in**-0.5

    def init(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


@partial(jax.jit, static_argnums=0, static_argnames="inputs")
def _draw(module: nn.Module, key: jax.Array, inputs: tuple) -> Any:
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), inputs)
    return module.init(key, *zeros, train=False)


def draw(module: nn.Module, key: jax.Array, *inputs: Any) -> dict[str, Any]:
    """Draw the variables of a network, in one program: an operation at a time takes twice as long.

    inputs: of its call, as trees of jax.ShapeDtypeStruct.
    """
    return _draw(module, key, inputs)


def torch_kernel(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Draw a kernel (..., in, out) as torch's Conv2d and Linear do, by its own fan_in."""
    return torch_default(math.prod(shape[:-1]))(key, shape, dtype)


def conv(features: int, size: int, stride: int = 1, pad: int | str = 0, **fields: Any) -> nn.Conv:
    """Make an nn.Conv with a size x size kernel and torch's explicit, symmetric padding.

    Args:
      features: output channels.
      size: rows and columns of the kernel.
      stride: in both directions.
      pad: pixels on every side, or "SAME".
      **fields: other fields of nn.Conv.
    """
    return nn.Conv(features, (size, size), stride, pad, conv_general_dilated=convolution, **fields)


def conv_transposed(features: int, size: int, stride: int, pad: int, **fields: Any) -> nn.Conv:
    """Make a transposed convolution, size x size, with torch's padding: an nn.Conv.

    Its parameters are `nn.ConvTranspose`'s. Arguments as those of `conv`.
    """
    pads = ((size - 1 - pad,) * 2,) * 2
    dilated = {"input_dilation": stride, "conv_general_dilated": convolution}
    return nn.Conv(features, (size, size), 1, pads, **dilated, **fields)


def batch_norm(
    train: bool, *, dtype: Any, param_dtype: Any, momentum: float = 0.9, **fields: Any
) -> nn.BatchNorm:
    """Make torch's BatchNorm2d (its momentum of 0.1 is flax's 0.9).

    Statistics stay float32 under bfloat16 and are float64 in float64. The running variance
    averages the biased batch variance, as flax does; torch averages the unbiased one, larger
    by n/(n-1) with n = N*H*W. Both normalize a training batch by the biased one.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=momentum,
        epsilon=BN_EPSILON,
        dtype=dtype,
        param_dtype=param_dtype,
        # flax's "float32 reductions" would also hold float64 statistics down to float32.
        force_float32_reductions=param_dtype != jnp.float64,
        **fields,
    )


def batch_norm_over_devices(train: bool, **fields: Any) -> nn.BatchNorm:
    """Make `batch_norm` whose training statistics are those of all devices' images.

    It runs where an axis of devices is called "batch", as in a training step.
    """
    return batch_norm(train, axis_name="batch", **fields)


def dense(x: jax.Array, features: int, **fields: Any) -> jax.Array:
    """Apply an nn.Dense initialized as torch's Linear."""
    init = torch_default(x.shape[-1])
    return nn.Dense(features, kernel_init=init, bias_init=init, **fields)(x)


def spectral_norm(layer: nn.Module, x: jax.Array, train: bool) -> jax.Array:
    """Apply a layer, its kernel divided by its largest singular value (Miyato et al. 2018).

    The kernel is the matrix (all else, outputs). One power iteration, whose vector is kept in
    batch_stats and advances when training. flax draws the kernel so divided already: the scale of
    the layer's initializer is lost.
    """
    name = f"{layer.name}_spectral"
    return nn.SpectralNorm(layer, param_dtype=layer.param_dtype, name=name)(x, update_stats=train)


class _SpectralBound(nn.SpectralNorm):
    """Divide a kernel by its largest singular value where that is above 1."""

    def _spectral_normalize(self, path, vs, update_stats):
        normalized = super()._spectral_normalize(path, vs, update_stats)
        if vs.ndim < 2:
            return normalized
        sigma = jnp.linalg.norm(vs) / jnp.linalg.norm(normalized)
        return normalized * jnp.minimum(sigma, 1)


def spectral_bound(layer: nn.Module, x: jax.Array, train: bool) -> jax.Array:
    """Apply a layer as `spectral_norm`, its kernel w divided by max(sigma, 1).

    As in the code of Kim et al. (2019): a kernel that is small already stays as it is.
    """
    name = f"{layer.name}_spectral"
    return _SpectralBound(layer, param_dtype=layer.param_dtype, name=name)(x, update_stats=train)


def relu(x: jax.Array) -> jax.Array:
    """Take max(x, 0) of (N, ...); the derivative, 0 at 0, is `nn.relu`'s, of every order.

    Of one image it is read off the output: an attack's network has no BN that reads the input
    again, and on a GPU the ReLU then stays in the kernel of the convolution before it. In a batch
    the gradient of BN reads the input anyway.
    """
    # Without the axis of one image `vmap` leaves the shape that the convolution has.
    return _relu(x[0])[None] if len(x) == 1 else nn.relu(x)


@jax.custom_jvp
def _relu(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, 0)


@_relu.defjvp
def _relu_tangent(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (d_x,) = primals, tangents
    y = _relu(x)
    # Behind a barrier, or XLA makes x > 0 of it again.
    passes = lax.optimization_barrier(y) > 0
    return y, lax.select(passes, d_x, jnp.zeros_like(d_x))


def relu6(x: jax.Array) -> jax.Array:
    """Take min(max(x, 0), 6) of (N, ...); the derivative is 0 at 0 and at 6, as torch's."""
    y = relu(x)
    return jnp.where(y >= 6, jnp.array(6, y.dtype), y)


@cache  # one function an activation, so that equal models stay equal
def straight_through(act: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """Make what is `act` forward (exactly, for finite x) and the identity backward.

    Of a ReLU it is the `fake_relu` of MadryLab/robustness: as `last_act` it lets a dead coordinate
    of R(x) pass a gradient, which inversion needs.
    """

    def through(x: jax.Array) -> jax.Array:
        return lax.stop_gradient(act(x)) + (x - lax.stop_gradient(x))

    return through


def normalize(
    images: jax.Array, mean: tuple[float, ...], std: tuple[float, ...], dtype: Any
) -> jax.Array:
    """Standardize float (N, H, W, C) images in [0, 1] channel by channel, and cast to dtype.

    Raises:
      BadInput: unless images are floating point with one channel for each mean.
    """
    if not jnp.issubdtype(images.dtype, jnp.floating) or images.shape[-1] != len(mean):
        raise BadInput(
            f"images must be floating point with {len(mean)} channels last, "
            f"one for each mean; got {images.dtype}{images.shape}"
        )
    wide = np.promote_types(images.dtype, dtype)
    shape = (1,) * (images.ndim - 1) + (-1,)
    centers, scales = (jnp.asarray(values, wide).reshape(shape) for values in (mean, std))
    return ((images.astype(wide) - centers) / scales).astype(dtype)


def at_least_float32(logits: jax.Array) -> jax.Array:
    """Widen bfloat16 logits, so that a loss is never computed in bfloat16."""
    return logits.astype(np.promote_types(logits.dtype, jnp.float32))


def flatten(x: jax.Array) -> jax.Array:
    """Flatten (N, H, W, C) to (N, C*H*W): torch's order, so its Linear weights fit unpermuted.

    Raises:
      BadInput: if there are no pixels.
    """
    _check_pixels(x)
    return x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)


def max_pool(x: jax.Array) -> jax.Array:
    """Take the maxima of 2x2 pixels, of (N, H, W, C) to (N, H // 2, W // 2, C).

    As `nn.max_pool` does, the gradient going to the first of equals, but several times as fast on
    a CPU; any derivative of any order.
    """
    n, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    x = x.reshape(n, height // 2, 2, width // 2, 2, channels)
    x = _first_largest(x[..., 0, :], x[..., 1, :])
    return _first_largest(x[:, :, 0], x[:, :, 1])


def overlapping_max_pool(x: jax.Array, pad: int) -> jax.Array:
    """Take the maxima of 3x3 pixels, 2 apart, of (N, H, W, C) with `pad` pixels on every side.

    As `nn.max_pool` does, the gradient going to the first of equals, but several times as fast on
    a CPU, and without a scatter on a GPU; any derivative of any order. On a TPU it is `nn.max_pool`
    itself: with the other one an attack step of ResNet-50 moves a fifth more bytes there.
    """
    return lax.platform_dependent(
        x, tpu=partial(_stock_max_pool, pad), default=partial(_shifted_max_pool, pad)
    )


def _stock_max_pool(pad: int, x: jax.Array) -> jax.Array:
    return nn.max_pool(x, (3, 3), (2, 2), ((pad, pad), (pad, pad)))


def _shifted_max_pool(pad: int, x: jax.Array) -> jax.Array:
    sides = (pad, pad, 0)
    x = lax.pad(x, jnp.array(-jnp.inf, x.dtype), ((0, 0, 0), sides, sides, (0, 0, 0)))
    # Of rows, then of those: XLA:CPU would look at all nine in the gradient of every pixel.
    columns, rows = ([slice(i, n - 2 + i, 2) for i in range(3)] for n in (x.shape[2], x.shape[1]))
    x = reduce(_first_largest, [x[:, :, j] for j in columns])
    return reduce(_first_largest, [x[:, i] for i in rows])


def _first_largest(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.where((a >= b) | jnp.isnan(a), a, b)


def avg_pool(x: jax.Array) -> jax.Array:
    """Take the means of 2x2 pixels, of (N, H, W, C) to (N, H // 2, W // 2, C).

    Raises:
      BadInput: if none is left.
    """
    n, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    _check_pixels(x)
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def adaptive_avg_pool(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Average (N, H, W, C) to (N, *size, C) with the bins of torch.nn.AdaptiveAvgPool2d.

    Raises:
      BadInput: if there are no pixels.
    """
    _check_pixels(x)
    if x.shape[1:3] == tuple(size):
        return x
    rows, columns = (
        jnp.asarray(_bins(n, m), x.dtype) for n, m in zip(x.shape[1:3], size, strict=True)
    )
    return jnp.einsum("ih,nhwc,jw->nijc", rows, x, columns, precision=lax.Precision.HIGHEST)


def _check_pixels(x: jax.Array) -> None:
    if 0 in x.shape[1:3]:
        raise BadInput("pooled until none is left before the Linear layers: give more pixels")


def _bins(n: int, m: int) -> np.ndarray:
    """Return the (m, n) matrix whose row i averages floor(i*n/m) up to ceil((i+1)*n/m)."""
    matrix = np.zeros((m, n))
    for i in range(m):
        start, stop = i * n // m, -(-(i + 1) * n // m)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix
