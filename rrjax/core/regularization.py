"""What makes feature visualizations of standard networks legible: a Fourier basis and transforms.

In the manner of Lucid (Olah et al. 2017, "Feature Visualization"): the image is written in
decorrelated colors and Fourier coefficients, whose steps are scaled as natural images' spectra
are, and is shifted, scaled and rotated a little at random before every step. One image each.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.ndimage import map_coordinates

from rrjax.core import objectives

# Lucid's, of ImageNet: the square root of the covariance of colors, largest column norm 1.
_COLORS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
_COLORS = _COLORS / np.linalg.norm(_COLORS, axis=0).max()
_STANDARD_DEVIATION = 0.01  # of the coefficients that Lucid starts from
_SIZE = 224  # pixels, of the images that Lucid's shifts of 8 and 4 are meant for


def coefficients(key: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
    """Draw a start for an image (H, W, C): (2, H, W // 2 + 1, C), real and imaginary parts."""
    height, width, channels = shape
    return _STANDARD_DEVIATION * jax.random.normal(key, (2, height, width // 2 + 1, channels))


def image(coefficients: jax.Array, width: int) -> jax.Array:
    """Return the image (H, W, C), in (0,1), of coefficients (2, H, W // 2 + 1, C)."""
    height, channels = coefficients.shape[1], coefficients.shape[-1]
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    scale = np.sqrt(height * width) / np.maximum(frequencies, 1 / max(height, width))
    scale = scale[..., None].astype(np.float32)
    spectrum = jax.lax.complex(coefficients[0] * scale, coefficients[1] * scale)
    x = jnp.fft.irfft2(spectrum, (height, width), axes=(0, 1)) / 4
    if channels == 3:
        x = x @ _COLORS.T
    return jax.nn.sigmoid(x)


def jitter(key: jax.Array, x: jax.Array) -> jax.Array:
    """Shift an image (H, W, C) by up to 6 pixels of 224, scale it by 0.9 to 1.1, rotate it by 10°.

    Lucid's two shifts, of 8 and 4 pixels about the middle, its scales and its angles, in one
    bilinear resampling; what comes in from outside is mid-gray.
    """
    height, width, _ = x.shape
    shift_key, scale_key, angle_key = jax.random.split(key, 3)
    reach = 6 * max(height, width) / _SIZE
    shift = jax.random.uniform(shift_key, (2, 1, 1), minval=-reach, maxval=reach)
    scale = jax.random.uniform(scale_key, minval=0.9, maxval=1.1)
    angle = jnp.radians(jax.random.uniform(angle_key, minval=-10.0, maxval=10.0))
    center = np.array([height - 1, width - 1], np.float32).reshape(2, 1, 1) / 2
    y, x_ = np.indices((height, width)).astype(np.float32) - center
    rotated = jnp.stack(
        [
            jnp.cos(angle) * y - jnp.sin(angle) * x_,
            jnp.sin(angle) * y + jnp.cos(angle) * x_,
        ]
    )
    sources = rotated / scale + center + shift
    sample = partial(map_coordinates, order=1, mode="constant", cval=0.5)
    return jax.vmap(sample, in_axes=(-1, None), out_axes=-1)(x, tuple(sources))


def visualize(
    apply: objectives.Apply,
    unit: jax.Array,
    key: jax.Array,
    shape: tuple[int, int, int],
    *,
    steps: int = 512,
    learning_rate: float = 0.05,
) -> jax.Array:
    """Grow one coordinate of the representation in that parameterization, with Adam.

    Args:
      apply: image -> (logits, reps).
      unit: which coordinate.
      key: of the start and of the transforms.
      shape: (H, W, C) of the image.
      steps: the number of Adam's steps; the default is Lucid's.
      learning_rate: Adam's; the default is Lucid's.

    Returns:
      The image (H, W, C), in (0,1), not transformed.
    """
    adam = optax.adam(learning_rate)
    start_key, key = jax.random.split(key)
    start = coefficients(start_key, shape)

    def advance(i, carry):
        parameters, state = carry
        transform = partial(jitter, jax.random.fold_in(key, i))
        objective = objectives.activate(lambda x: apply(transform(x)), unit)
        gradient = jax.grad(lambda p: objective(image(p, shape[1])))(parameters)
        with jax.numpy_dtype_promotion("standard"):  # optax multiplies its counts by floats
            updates, state = adam.update(gradient, state)
        return optax.apply_updates(parameters, updates), state

    parameters, _ = jax.lax.fori_loop(0, steps, advance, (start, adam.init(start)))
    return image(parameters, shape[1])
