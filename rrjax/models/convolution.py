"""One convolution, in the forms that XLA:CPU runs fast."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

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
