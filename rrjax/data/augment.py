"""A batch on its device: uint8 to pixels in [0,1], and the changes of color that it drew."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rrjax import BadInput

Batch = dict[str, np.ndarray]

DRAWS = ("jitter", "order", "lighting", "angle")  # what a training record may gain
GRAY = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow's mode L


def pixels(images: Any) -> Any:
    """Map uint8 images, of numpy or jax, to float32 in [0,1], of the same kind.

    Raises:
      BadInput: for floats, which are pixels already.
    """
    if images.dtype != np.uint8:
        raise BadInput(f"images are {images.dtype}: uint8 is divided by 255, and nothing else")
    return images.astype(np.float32) / 255


def augmented(batch: dict[str, jax.Array]) -> jax.Array:
    """Map a training batch to its images, float32 in [0,1], with the color changes it drew."""
    draws = {name: batch[name] for name in DRAWS if name in batch}
    return jax.vmap(augment)(pixels(batch["image"]), draws)


def augment(image: jax.Array, draws: dict[str, jax.Array]) -> jax.Array:
    """Apply the draws of `data.transforms` to one image (H, W, C), float32 in [0,1].

    Jitter, then rotation, then lighting, as the reference; but the reference rounds to 8 bits
    after each of jitter's changes, and lets lighting leave [0,1].

    Args:
      image: (H, W, C), float32 in [0,1].
      draws: what `data.transforms.draw_augmentation` returns; changes that are not there are not
        made.

    Returns:
      (H, W, C), float32 in [0,1].
    """
    image = jnp.asarray(image)
    if "jitter" in draws:
        image = _jitter(image, draws["jitter"], draws["order"])
    if "angle" in draws:
        image = _rotate(image, draws["angle"])
    if "lighting" in draws:
        image = jnp.clip(image + draws["lighting"].reshape(1, 1, 3), 0, 1)
    return image


def _jitter(image: jax.Array, factors: jax.Array, order: jax.Array) -> jax.Array:
    weights = jnp.array(GRAY if image.shape[2] == 3 else (1,), image.dtype).reshape(1, 1, -1)
    for k in range(3):
        change = order[k]
        gray = jnp.sum(weights * image, axis=2, keepdims=True)
        # Away from black, from the mean gray, from each pixel's own gray.
        base = jnp.where(change == 0, 0, jnp.where(change == 1, gray.mean(), gray))
        factor = factors[change]
        image = jnp.clip(factor * image + (1 - factor) * base, 0, 1)
    return image


def _rotate(image: jax.Array, degrees: jax.Array) -> jax.Array:
    # Counterclockwise about the center, nearest pixel, zeros outside. In Pillow's fixed point,
    # 1/65536 of a pixel, so that the same pixels are chosen; it holds to 2^14 pixels a side.
    height, width, _ = image.shape
    cos, sin = jnp.cos(jnp.deg2rad(degrees)), jnp.sin(jnp.deg2rad(degrees))
    y, x = (height - 1) / 2, (width - 1) / 2
    top, left = height / 2 - sin * x - cos * y, width / 2 - cos * x + sin * y
    cos, sin, top, left = (jnp.round(a * 2**16).astype(jnp.int32) for a in (cos, sin, top, left))
    rows, columns = jnp.indices((height, width), dtype=jnp.int32)
    from_row = (top + sin * columns + cos * rows) >> 16
    from_column = (left + cos * columns - sin * rows) >> 16
    return image.at[from_row, from_column].get(
        mode="fill", fill_value=0, wrap_negative_indices=False
    )
