"""One convolution, in the forms that XLA:CPU runs fast.

`convolution` takes the arguments of `lax.conv_general_dilated` and gives its numbers. Which form
computes them depends on the shapes (`_form`) and on the platform that the program is compiled for,
whatever the host that it is traced on:

| form      | when                                      | value     | gradient of the kernel       |
| --------- | ----------------------------------------- | --------- | ---------------------------- |
| "stock"   | off the CPU; grouped; not NHWC; a dilated | lax's     | lax's                        |
|           | kernel; an image dilated and strided      |           |                              |
| "shifts"  | each channel by itself (depthwise)        | a sum     | of the sum                   |
| "dilated" | a dilated image (transposed convolutions) | lax's     | the image as the kernel      |
| "product" | a 1x1 kernel; a small one; one of more    | a product | of the product               |
|           | places than the output has                |           |                              |
| "places"  | many channels; an image of many outputs   | lax's     | a product a place of it      |
| "parts"   | all others                                | lax's     | in the layout that is fast,  |
|           |                                           |           | a part of the images a time  |

Why: a matrix product is faster than XLA:CPU's convolution where the kernel is small. Where it has
more places than the image, as 3x3 on 2x2 pixels, XLA lets the two change roles, which takes 25
times as long as a product. XLA:CPU brings convolutions into the layout it is fast in outside of
loops only, and all of rrjax's searches are loops; so from "dilated" on, other than the product,
derivatives are written in that layout (`_transposable`). The gradient of a kernel is a convolution
of which the output's cotangent is the kernel: it is fast while that fits into a cache, so a part of
the images at a time. Where the kernel has many channels, or one image many outputs, products of the
image, shifted to each place of the kernel, and the cotangent are faster. The gradient of the images
of a strided convolution has as few channels as they have: blocks of pixels have more
(`_along_blocks`). A channel by itself is a sum of shifted images, each times one number of the
kernel (`_shifts`): of 4 images of 32x32 with 96 channels, 2 apart, it takes a tenth of XLA:CPU's
time, and its gradient of the kernel in a loop body a sixtieth.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_NHWC = lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
_NHWC_HWOI = lax.ConvDimensionNumbers((0, 3, 1, 2), (2, 3, 0, 1), (0, 3, 1, 2))
_CHWN_IHWO_HWNC = lax.ConvDimensionNumbers((3, 0, 1, 2), (3, 0, 1, 2), (2, 3, 0, 1))

# The largest kernel that XLA:CPU multiplies with faster than it convolves: of 3x3 ones from 1, 3
# and 4 channels to 4 and 16 all were, of those to 64 or from 8 none.
_SMALL_INPUTS, _SMALL_OUTPUTS = 36, 16

# The most channels of which a strided convolution takes the gradient in blocks: those of an image.
_FEW_CHANNELS = 4

# The most numbers of a cotangent that a CPU convolves with, half a MiB, an image's at least: of 32
# images of 16x16 and 128 channels, 2 or 4 a time took a third of the time of all at once, of 128 of
# 32x32 and 16 channels 8 or 16 a time a seventh.
_PART = 2**17

# The inputs times outputs of a kernel from which on products are faster than that (1.1 to 1.8 times
# from 128 to 256 channels on, 0.9 of 128 to 128), and an image's outputs, from 64 inputs on (1.2
# times at 112x112; 0.6 at 56x56).
_MANY_CHANNELS = 2**15
_MANY_OUTPUTS, _THEIR_INPUTS = 2**19, 64

Padding = str | tuple[tuple[int, int], ...]
# (image, kernel[, dimension numbers]) -> outputs, of one geometry.
Stock = Callable[..., jax.Array]


def convolution(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> jax.Array:
    """Convolve as `lax.conv_general_dilated` does, in the form that XLA:CPU runs fast.

    Same arguments, same numbers, any derivative of any order; the module says which form is taken.
    """
    strides, dilations = tuple(window_strides), (_numbers(lhs_dilation), _numbers(rhs_dilation))
    groups, precise = (feature_group_count, batch_group_count), (precision, preferred_element_type)
    pad = padding if isinstance(padding, str) else tuple((low, high) for low, high in padding)
    stock = _stock(strides, pad, dilations, groups, precise)
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    image_dilated, kernel_dilated = map(_dilates, dilations)
    # Of a dilated image lax takes the padding in numbers alone, and says so.
    limited = image_dilated and (_dilates(strides) or isinstance(pad, str))
    depthwise = groups == (rhs.shape[-1], 1) and rhs.shape[2] == 1 and not image_dilated
    grouped = groups != (1, 1) and not (depthwise and preferred_element_type is None)
    if grouped or kernel_dilated or limited or numbers != _NHWC:
        return stock(lhs, rhs, numbers)
    if groups == (1, 1):
        form = _form(rhs.shape, image_dilated, lambda: jax.eval_shape(stock, lhs, rhs).shape)
    else:
        form = "shifts"
    pads = _pads(pad, lhs.shape[1:3], rhs.shape[:2], strides)
    in_blocks = _dilates(strides) and rhs.shape[2] <= _FEW_CHANNELS
    on_cpu = _on_cpu(form, stock, strides, pads, dilations[0], in_blocks, precise)
    return lax.platform_dependent(lhs, rhs, cpu=on_cpu, default=stock)


@cache  # one function a geometry: what jax has traced of it is used again
def _stock(
    strides: tuple[int, ...],
    padding: Padding,
    dilations: tuple[tuple[int, ...] | None, tuple[int, ...] | None],
    groups: tuple[int, int],
    precise: tuple[Any, Any],
) -> Stock:
    """Make lax's own convolution, of one geometry."""

    def stock(
        image: jax.Array, kernel: jax.Array, numbers: lax.ConvDimensionNumbers = _NHWC
    ) -> jax.Array:
        return lax.conv_general_dilated(
            image, kernel, strides, padding, *dilations, numbers, *groups, *precise
        )

    return stock


@cache
def _on_cpu(
    form: str,
    stock: Stock,
    strides: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    image_dilation: tuple[int, ...] | None,
    in_blocks: bool,
    precise: tuple[Any, Any],
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Make a convolution in one of the forms below "stock" in the module's table."""
    product = partial(_product, strides=strides, pads=pads, precise=precise)
    if form == "product":
        return product
    if form == "shifts":
        shifts = partial(_shifts, strides=strides, pads=pads)
        return _transposable(shifts, partial(_along_shifts, strides, pads), shifts)
    along_kernel = {
        "dilated": partial(_across_dilated, pads, image_dilation or (1, 1), precise),
        "places": partial(_across_places, strides, pads, precise),
        "parts": partial(_across_parts, stock),
    }[form]
    along_image = partial(_along, stock)
    if in_blocks:
        along_image = partial(_along_blocks, strides, pads, precise)
    return _transposable(stock, along_image, along_kernel)


def _numbers(factors: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if factors is None else tuple(factors)


def _pads(
    padding: Padding, image: Sequence[int], window: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Return a padding in numbers, by the sizes of the image and of the window."""
    if isinstance(padding, str):
        return tuple(lax.padtype_to_pads(image, window, strides, padding))
    return padding


def _dilates(factors: Sequence[int] | None) -> bool:
    """Say whether strides or dilations are other than 1."""
    return any(factor != 1 for factor in factors or ())


def _form(
    kernel_shape: tuple[int, ...], image_dilated: bool, output_shape: Callable[[], tuple[int, ...]]
) -> str:
    """Choose the row of the module's table, of those below "stock"."""
    if image_dilated:
        return "dilated"
    *window, inputs, outputs = kernel_shape
    small = outputs <= _SMALL_OUTPUTS and math.prod(window) * inputs <= _SMALL_INPUTS
    if window == [1, 1] or small:
        return "product"
    places = output_shape()[1:3]
    if math.prod(window) > math.prod(places) > 0:
        return "product"
    large = math.prod(places) * outputs >= _MANY_OUTPUTS and inputs >= _THEIR_INPUTS
    return "places" if large or inputs * outputs >= _MANY_CHANNELS else "parts"


def _product(
    image: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    precise: tuple[Any, Any],
) -> jax.Array:
    """Convolve as a matrix product: each pixel's patch times the kernel."""
    padded = _padded(image, pads)
    patches = jnp.concatenate(_shifted(padded, kernel.shape[:2], strides), axis=-1)
    return _multiplied(patches, kernel.reshape(-1, kernel.shape[3]), precise)


def _padded(
    image: jax.Array, pads: Sequence[tuple[int, int]], dilation: Sequence[int] = (1, 1)
) -> jax.Array:
    """Dilate (N, H, W, C) and put zeros around it."""
    sides = zip(pads, dilation, strict=True)
    edges = [(0, 0, 0), *((low, high, d - 1) for (low, high), d in sides), (0, 0, 0)]
    return lax.pad(image, jnp.zeros((), image.dtype), edges)


def _multiplied(x: jax.Array, matrix: jax.Array, precise: tuple[Any, Any]) -> jax.Array:
    """Multiply (..., C) with a matrix (C, D), as one of two axes.

    Of more axes the transpose, along which gradients of kernels go, is a product for which XLA:CPU
    turns the cotangent around: a third of ResNet-50's standard step.
    """
    flat = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    product = jnp.matmul(flat, matrix, precision=precise[0], preferred_element_type=precise[1])
    return product.reshape(*x.shape[:-1], matrix.shape[1])


def _shifted(padded: jax.Array, window: Sequence[int], strides: Sequence[int]) -> list[jax.Array]:
    """Return what each place of the window sees of (N, H, W, C)."""
    down, across = (
        [slice(i, n - k + 1 + i, stride) for i in range(k)]
        for n, k, stride in zip(padded.shape[1:3], window, strides, strict=True)
    )
    return [padded[:, i, j] for i in down for j in across]


def _shifts(
    image: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    dilation: Sequence[int] = (1, 1),
) -> jax.Array:
    """Convolve each channel by itself: shifted images, each times one number a channel, added."""
    padded = _padded(image, pads, dilation)
    # As a convolution does, bfloat16 is added in float32.
    wide = jnp.promote_types(image.dtype, jnp.float32)
    factors = kernel.astype(wide).reshape(-1, 1, 1, 1, kernel.shape[3])
    shifted = _shifted(padded, kernel.shape[:2], strides)
    terms = [x.astype(wide) * factor for x, factor in zip(shifted, factors, strict=True)]
    return sum(terms[1:], terms[0]).astype(image.dtype)


def _along_shifts(
    strides: Sequence[int], pads: Sequence[tuple[int, int]], d_image: jax.Array, kernel: jax.Array
) -> jax.Array:
    """Convolve an image's tangent, such that the transpose is `_shifts` of the dilated cotangent.

    The transpose of `_shifts` itself would add padded images, which XLA:CPU does not do at once.
    """
    shape = jax.eval_shape(partial(_shifts, strides=strides, pads=pads), d_image, kernel)
    sizes = zip(d_image.shape[1:3], shape.shape[1:3], kernel.shape[:2], strides, pads, strict=True)
    back = [(k - 1 - low, n + low - stride * (m - 1) - 1) for n, m, k, stride, (low, _) in sizes]

    def transposed(cotangent: jax.Array) -> jax.Array:
        return _shifts(cotangent, jnp.flip(kernel, (0, 1)), (1, 1), back, strides)

    return jax.linear_transpose(transposed, shape)(d_image)[0]


def _transposable(
    value: Callable[[jax.Array, jax.Array], jax.Array],
    along_image: Callable[[jax.Array, jax.Array], jax.Array],
    along_kernel: Callable[[jax.Array, jax.Array], jax.Array],
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Give `value(image, kernel)` derivatives whose transposes XLA:CPU runs fast.

    XLA:CPU brings convolutions into the layout it is fast in (NHWC, HWIO) outside of loops only: in
    a loop body the image's gradient is up to three times slower, the kernel's up to a hundred
    times. The transpose of a convolution is one too; so here each tangent is written with its
    arrays laid out, behind barriers, such that its transpose, which is what every gradient step
    runs, is in the fast layout. `along_image(d_image, kernel)` is the image's tangent,
    `along_kernel(image, d_kernel)` the kernel's.
    """

    @jax.custom_jvp
    def fast(image: jax.Array, kernel: jax.Array) -> jax.Array:
        return value(image, kernel)

    @fast.defjvp
    def _tangent(
        primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        (image, kernel), (d_image, d_kernel) = primals, tangents
        along = along_image(d_image, kernel) + along_kernel(image, d_kernel)
        return value(image, kernel), along

    return fast


def _along(stock: Stock, d_image: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve an image's tangent.

    Its transpose convolves with the flipped kernel, channels swapped: laid out as a forward pass
    would have it.
    """
    swapped = lax.optimization_barrier(jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
    return stock(d_image, jnp.flip(swapped, (0, 1)), _NHWC_HWOI)


def _along_blocks(
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    precise: tuple[Any, Any],
    d_image: jax.Array,
    kernel: jax.Array,
) -> jax.Array:
    """Convolve an image's tangent without strides, blocks of pixels as large as a stride as one."""
    edges, ends = [], []  # zeros, of the image and of the kernel, that make blocks of both
    sizes = zip(d_image.shape[1:3], kernel.shape[:2], strides, pads, strict=True)
    for n, k, stride, (low, high) in sizes:
        end = -k % stride
        last = (low + n + high - k) // stride * stride
        edges.append((low, last + k + end - n - low, 0))
        ends.append((0, end, 0))
    none = (0, 0, 0)
    d_image = lax.pad(d_image, jnp.zeros((), d_image.dtype), [none, *edges, none])
    kernel = lax.pad(kernel, jnp.zeros((), kernel.dtype), [*ends, none, none])
    d_image = _blocks(d_image, strides)
    kernel = _blocks(kernel.transpose(3, 0, 1, 2), strides).transpose(1, 2, 3, 0)
    stock = _stock((1, 1), ((0, 0), (0, 0)), (None, None), (1, 1), precise)
    return _along(stock, d_image, kernel)


def _blocks(x: jax.Array, size: Sequence[int]) -> jax.Array:
    """Make one pixel of each block of (N, H, W, C), its numbers as channels."""
    n, height, width, channels = x.shape
    (rows, columns), (down, across) = size, (height // size[0], width // size[1])
    x = x.reshape(n, down, rows, across, columns, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, down, across, -1)


def _across(stock: Stock, image: jax.Array, d_kernel: jax.Array) -> jax.Array:
    """Convolve with a kernel's tangent.

    Its transpose convolves the images, channels as batch, with the cotangent as the kernel.
    """
    across = lax.optimization_barrier(image.transpose(3, 1, 2, 0))
    d_across = lax.optimization_barrier(d_kernel.transpose(2, 0, 1, 3))
    along = lax.optimization_barrier(stock(across, d_across, _CHWN_IHWO_HWNC))
    return along.transpose(2, 0, 1, 3)


def _across_parts(stock: Stock, images: jax.Array, d_kernel: jax.Array) -> jax.Array:
    """Do `_across` a part of the images at a time: its transpose's kernels are small."""
    n = len(images)
    outputs = math.prod(jax.eval_shape(stock, images, d_kernel).shape[1:])
    number = -(-n // max(1, _PART // max(1, outputs)))
    if number <= 1:
        return _across(stock, images, d_kernel)
    size = -(-n // number)
    # As many a part, with images of zeros where they do not suffice.
    ends = [(0, size * number - n, 0), *[(0, 0, 0)] * 3]
    padded = lax.pad(images, jnp.zeros((), images.dtype), ends)
    parts = padded.reshape(number, size, *images.shape[1:])
    # The transpose adds the parts' gradients: as a convolution does, in float32 at least.
    wide = d_kernel.astype(jnp.promote_types(d_kernel.dtype, jnp.float32))
    along = lax.map(lambda part: _across(stock, part, wide.astype(d_kernel.dtype)), parts)
    return along.reshape(number * size, *along.shape[2:])[:n]


def _across_places(
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    precise: tuple[Any, Any],
    image: jax.Array,
    d_kernel: jax.Array,
) -> jax.Array:
    """Convolve with a kernel's tangent: a product for each of the kernel's places, added.

    Its transpose is a product of the cotangent and the image, shifted to that place.
    """
    padded = lax.optimization_barrier(_padded(image, pads))
    places = d_kernel.reshape(-1, *d_kernel.shape[2:])
    shifted = _shifted(padded, d_kernel.shape[:2], strides)
    terms = [_multiplied(x, place, precise) for x, place in zip(shifted, places, strict=True)]
    wide = jnp.promote_types(terms[0].dtype, jnp.float32)  # in which a convolution adds
    first, *rest = (term.astype(wide) for term in terms)
    return sum(rest, first).astype(terms[0].dtype)


def _across_dilated(
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    precise: tuple[Any, Any],
    image: jax.Array,
    d_kernel: jax.Array,
) -> jax.Array:
    """Convolve a dilated image with a kernel's tangent.

    `_across`'s transpose would convolve the image with its zeros. A convolution commutes: here the
    image is the kernel, dilated and flipped, and the transpose convolves the cotangent, channels as
    batch, with the image.
    """
    flipped = jnp.flip(d_kernel, (0, 1)).transpose(3, 0, 1, 2)
    across = lax.optimization_barrier(image.transpose(1, 2, 0, 3))
    sides = zip(dilation, image.shape[1:3], d_kernel.shape[:2], padding, strict=True)
    pads = [
        (d * (n - 1) - (k - 1) + low, d * (n - 1) - (k - 1) + high)
        for d, n, k, (low, high) in sides
    ]
    along = lax.conv_general_dilated(
        lax.optimization_barrier(flipped),
        jnp.flip(across, (0, 1)),
        (1, 1),
        pads,
        rhs_dilation=dilation,
        dimension_numbers=_NHWC_HWOI,
        precision=precise[0],
        preferred_element_type=precise[1],
    )
    return lax.optimization_barrier(along).transpose(3, 1, 2, 0)
