"""What the families share: one convolution, torch's initialisers and pools, the normalisation."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rrjax.errors import BadInput

_NHWC = lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
_NHWC_HWOI = lax.ConvDimensionNumbers((0, 3, 1, 2), (2, 3, 0, 1), (0, 3, 1, 2))
_CHWN_IHWO_HWNC = lax.ConvDimensionNumbers((3, 0, 1, 2), (3, 0, 1, 2), (2, 3, 0, 1))

# Of a kernel that XLA:CPU multiplies with faster than it convolves, at most: of 3x3 ones from 1, 3
# and 4 channels to 4 and 16 all were, of those to 64 or from 8 none.
_SMALL_INPUTS, _SMALL_OUTPUTS = 36, 16

# The numbers that a convolution gives, from which on the cotangent is too large a kernel for a
# CPU's caches to convolve with. Of 128 images, an image at a time took 0.16 of the whole with 32 or
# 64 channels of 32x32, and 0.27 with 128 of 16x16; a product took 0.7 with 16 of 32x32, and longer
# than the whole with 32 of 16x16, 1.0 million numbers.
_LARGE = 2_000_000

BN_EPSILON = 1e-5  # torch's

# torch: nn.init.kaiming_normal_(mode="fan_out", nonlinearity="relu"): N(0, 2 / fan_out).
kaiming_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


def torch_default(fan_in):
    """Initialise as torch's Conv2d and Linear do, weight and bias alike: U(±1/√fan_in).

    A flax bias initialiser sees only the bias's shape, so the caller says what fan_in is.
    """
    bound = fan_in**-0.5

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def convolution(
    lhs,
    rhs,
    window_strides,
    padding,
    lhs_dilation=None,
    rhs_dilation=None,
    dimension_numbers=None,
    feature_group_count=1,
    batch_group_count=1,
    precision=None,
    preferred_element_type=None,
):
    """Convolve as `lax.conv_general_dilated` does, in the forms XLA:CPU runs fast.

    Same arguments, same numbers, any derivative of any order. Off the CPU, and for grouped,
    not-NHWC or kernel-dilated convolutions, it is `lax.conv_general_dilated` itself. On the CPU a
    small kernel, or a 1x1, is a matrix product, and the others carry `_transposable`'s derivative,
    that of the kernel being `_across_dilated`'s where the image is dilated (and nothing strided),
    and a matrix product or `_across_each`'s where there are `_LARGE` numbers of output.
    """
    precise = {"precision": precision, "preferred_element_type": preferred_element_type}

    def stock(image, kernel, numbers):
        return lax.conv_general_dilated(
            image,
            kernel,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            numbers,
            feature_group_count,
            batch_group_count,
            **precise,
        )

    strided = any(s != 1 for s in window_strides)
    spread = any(d != 1 for d in lhs_dilation or ())
    dilated = any(d != 1 for d in rhs_dilation or ()) or (spread and strided)
    grouped = feature_group_count != 1 or batch_group_count != 1
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    if jax.default_backend() != "cpu" or dilated or grouped or numbers != _NHWC:
        return stock(lhs, rhs, numbers)
    if spread:
        along_kernel = partial(_across_dilated, padding, lhs_dilation, precise)
        return _transposable(stock, along_kernel)(lhs, rhs)
    *inputs, outputs = rhs.shape
    small = np.prod(inputs) <= _SMALL_INPUTS and outputs <= _SMALL_OUTPUTS
    product = partial(_product, strides=window_strides, padding=padding, precise=precise)
    if inputs[:2] == [1, 1] or small:
        return product(lhs, rhs)
    large = jax.eval_shape(partial(stock, numbers=numbers), lhs, rhs).size >= _LARGE
    if large and outputs <= _SMALL_OUTPUTS:
        along_kernel = product
    else:
        along_kernel = partial(_across_each if large else _across, stock)
    return _transposable(stock, along_kernel)(lhs, rhs)


def _product(image, kernel, strides, padding, precise):
    """Convolve as a matrix product: every pixel's patch with the kernel."""
    (rows, columns), outputs = kernel.shape[:2], kernel.shape[3]
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(image.shape[1:3], (rows, columns), strides, padding)
    edges = [(0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)]
    padded = lax.pad(image, jnp.zeros((), image.dtype), edges)
    down, across = (
        [slice(i, n - k + 1 + i, stride) for i in range(k)]
        for n, k, stride in zip(padded.shape[1:3], (rows, columns), strides, strict=True)
    )
    patches = jnp.concatenate([padded[:, i, j] for i in down for j in across], axis=-1)
    return jnp.matmul(patches, kernel.reshape(-1, outputs), **precise)


def _transposable(stock, along_kernel):
    """Give `stock(image, kernel, numbers)` derivatives whose transposes XLA:CPU runs fast.

    XLA:CPU brings convolutions into the layout it is fast in (NHWC, HWIO) outside of loops only: in
    a loop body the image's gradient is up to three times slower, the kernel's up to a hundred
    times. The transpose of a convolution is one too; so here each tangent is written with its
    arrays laid out, behind barriers, such that its transpose, which is what every gradient step
    runs, is in the fast layout. `along_kernel(image, d_kernel)` is the kernel's.
    """

    @jax.custom_jvp
    def fast(image, kernel):
        return stock(image, kernel, _NHWC)

    @fast.defjvp
    def _tangent(primals, tangents):
        (image, kernel), (d_image, d_kernel) = primals, tangents
        # Its transpose convolves with the flipped kernel, channels swapped: laid out as a forward
        # pass would have it.
        swapped = lax.optimization_barrier(jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
        along_image = stock(d_image, jnp.flip(swapped, (0, 1)), _NHWC_HWOI)
        return stock(image, kernel, _NHWC), along_image + along_kernel(image, d_kernel)

    return fast


def _across(stock, image, d_kernel):
    """Convolve with a kernel's tangent.

    Its transpose convolves the images, channels as batch, with the cotangent as the kernel.
    """
    across = lax.optimization_barrier(image.transpose(3, 1, 2, 0))
    d_across = lax.optimization_barrier(d_kernel.transpose(2, 0, 1, 3))
    along = lax.optimization_barrier(stock(across, d_across, _CHWN_IHWO_HWNC))
    return along.transpose(2, 0, 1, 3)


def _across_each(stock, images, d_kernel):
    """Do `_across` an image at a time: its transpose's kernels are small."""
    return lax.map(lambda image: _across(stock, image[None], d_kernel)[0], images)


def _across_dilated(padding, dilation, precise, image, d_kernel):
    """Convolve a dilated image with a kernel's tangent.

    `_across`'s transpose would convolve the image with its zeros. A convolution commutes: here the
    image is the kernel, dilated and flipped, and the transpose convolves the cotangent, channels as
    batch, with the image.
    """
    flipped = jnp.flip(d_kernel, (0, 1)).transpose(3, 0, 1, 2)
    across = lax.optimization_barrier(image.transpose(1, 2, 0, 3))
    sides = zip(dilation, image.shape[1:3], d_kernel.shape[:2], padding, strict=True)
    pads = [[d * (n - 1) - (k - 1) + pad for pad in pair] for d, n, k, pair in sides]
    along = lax.conv_general_dilated(
        lax.optimization_barrier(flipped),
        jnp.flip(across, (0, 1)),
        (1, 1),
        pads,
        rhs_dilation=dilation,
        dimension_numbers=_NHWC_HWOI,
        **precise,
    )
    return lax.optimization_barrier(along).transpose(3, 1, 2, 0)


def conv(features, size, stride=1, pad=0, **fields):
    """Make an nn.Conv with a size x size kernel and torch's explicit, symmetric padding."""
    return nn.Conv(features, (size, size), stride, pad, conv_general_dilated=convolution, **fields)


def conv_transposed(features, size, stride, pad, **fields):
    """Make a transposed convolution, size x size, with torch's padding: an nn.Conv.

    Its parameters are `nn.ConvTranspose`'s.
    """
    pads = ((size - 1 - pad,) * 2,) * 2
    dilated = {"input_dilation": stride, "conv_general_dilated": convolution}
    return nn.Conv(features, (size, size), 1, pads, **dilated, **fields)


def batch_norm(train, *, dtype, param_dtype, **fields):
    """Make torch's BatchNorm2d (a running average that keeps 0.9 of itself).

    Statistics stay float32 under bfloat16 and are float64 in float64. The running variance
    averages the biased batch variance, as flax does; torch averages the unbiased one, larger
    by n/(n-1) with n = N*H*W. Both normalise a training batch by the biased one.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=BN_EPSILON,
        dtype=dtype,
        param_dtype=param_dtype,
        # flax's "float32 reductions" would also hold float64 statistics down to float32.
        force_float32_reductions=param_dtype != jnp.float64,
        **fields,
    )


def dense(x, features, **fields):
    """Apply an nn.Dense initialised as torch's Linear."""
    init = torch_default(x.shape[-1])
    return nn.Dense(features, kernel_init=init, bias_init=init, **fields)(x)


def spectral_norm(layer, x, train):
    """Apply a layer, its kernel divided by its largest singular value (Miyato et al. 2018).

    The kernel is the matrix (all else, outputs). One power iteration, whose vector is kept in
    batch_stats and advances when training. flax draws the kernel so divided already: the scale of
    the layer's initialiser is lost.
    """
    name = f"{layer.name}_spectral"
    return nn.SpectralNorm(layer, param_dtype=layer.param_dtype, name=name)(x, update_stats=train)


def straight_through_relu(x):
    """Take the ReLU forward (exactly, for finite x) and the identity backward.

    The `fake_relu` of MadryLab/robustness: as `last_act` it lets a dead coordinate of R(x)
    pass a gradient, which inversion needs.
    """
    return x + lax.stop_gradient(nn.relu(x) - x)


def normalize(images, mean, std, dtype):
    """Standardise float (N, H, W, C) images in [0, 1] channel by channel, and cast to dtype.

    Raises BadInput unless images are floating point with one channel for each mean.
    """
    if not jnp.issubdtype(images.dtype, jnp.floating) or images.shape[-1] != len(mean):
        raise BadInput(
            f"images must be floating point with {len(mean)} channels last, "
            f"one for each mean; got {images.dtype}{images.shape}"
        )
    wide = jnp.promote_types(images.dtype, dtype)
    shape = (1,) * (images.ndim - 1) + (-1,)
    mean, std = (jnp.asarray(values, wide).reshape(shape) for values in (mean, std))
    return ((images - mean) / std).astype(dtype)


def at_least_float32(logits):
    """Widen bfloat16 logits, so that a loss is never computed in bfloat16."""
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


def flatten(x):
    """Flatten (N, H, W, C) to (N, C*H*W): torch's order, so its Linear weights fit unpermuted."""
    return x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)


def max_pool(x):
    """Take the maxima of 2x2 pixels, of (N, H, W, C) to (N, H // 2, W // 2, C).

    As `nn.max_pool` does, the gradient going to the first of equals, but several times as fast on
    a CPU; any derivative of any order.
    """
    n, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    x = x.reshape(n, height // 2, 2, width // 2, 2, channels)
    x = _first_largest(x[..., 0, :], x[..., 1, :])
    return _first_largest(x[:, :, 0], x[:, :, 1])


def _first_largest(a, b):
    return jnp.where((a >= b) | jnp.isnan(a), a, b)


def adaptive_avg_pool(x, size):
    """Average (N, H, W, C) to (N, *size, C) with the bins of torch.nn.AdaptiveAvgPool2d."""
    if x.shape[1:3] == tuple(size):
        return x
    rows, columns = (
        jnp.asarray(_bins(n, m), x.dtype) for n, m in zip(x.shape[1:3], size, strict=True)
    )
    return jnp.einsum("ih,nhwc,jw->nijc", rows, x, columns, precision=lax.Precision.HIGHEST)


def _bins(n, m):
    """Return the (m, n) matrix whose row i averages floor(i*n/m) up to ceil((i+1)*n/m)."""
    matrix = np.zeros((m, n))
    for i in range(m):
        start, stop = i * n // m, -(-(i + 1) * n // m)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix
