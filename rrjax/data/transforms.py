"""The reference's transforms of one image, on the host, and the draws of those on the device.

An image is uint8 (H, W, 1 or 3), numpy's, and random numbers come from the given generator. Changes
of color, and the rotation after them, are drawn record by record here and applied by
`rrjax.data.augment.augment`: so the device receives uint8, and a resumed run draws the numbers that
the interrupted one would have drawn.
"""

import math
from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from rrjax import BadInput

Record = dict[str, Any]

LOG_RATIO = math.log(4 / 3)  # a random resized crop is 3:4 to 4:3
# Principal colors of ImageNet's pixels in [0,1] (Krizhevsky et al. 2012; the reference's digits);
# an eigenvector is a column.
EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
EIGENVECTORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)


def check(config: ConfigDict, channels: int) -> None:
    """Check that a `config.data` is possible for images of `channels` channels.

    Raises:
      BadInput: naming the field.
    """
    size, scale = config.image_size, config.crop_scale
    numbers = isinstance(scale, tuple | list) and all(isinstance(part, Real) for part in scale)
    requirements = (
        (size >= 1, "image_size", "give at least 1"),
        (config.resize >= size, "resize", f"give at least image_size={size}"),
        (
            numbers and (not scale or (len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1)),
            "crop_scale",
            "give () or two fractions of the area, 0 < least <= most <= 1",
        ),
        (config.crop_padding >= 0, "crop_padding", "give at least 0"),
        (
            not scale or config.crop_padding == 0,
            "crop_padding",
            f"set it to 0, or crop_scale={scale} to (): one crop at a time",
        ),
        (0 <= config.jitter <= 1, "jitter", "give 0 to 1"),
        (0 <= config.lighting < math.inf, "lighting", "give a finite number, at least 0"),
        (
            config.lighting == 0 or channels == 3,
            "lighting",
            f"set it to 0: it shifts three channels, and the images have {channels}",
        ),
        (0 <= config.rotation <= 180, "rotation", "give 0 to 180 degrees"),
    )
    for met, field, fix in requirements:
        if not met:
            raise BadInput(f"data.{field}={getattr(config, field)}: {fix}")


def train_transform(config: ConfigDict) -> Callable[[Record, np.random.Generator], Record]:
    """Build (record, rng) -> record: crop to `config.image_size`, mirror, draw the rest.

    With `config.crop_scale` the crop is `random_resized_crop`; otherwise it is the test's, then
    `random_crop` by `config.crop_padding` pixels. The record gains what `draw_augmentation` draws.
    """
    size, scale = config.image_size, tuple(config.crop_scale)
    resize, padding, flip = config.resize, config.crop_padding, config.flip
    draw = partial(
        draw_augmentation, jitter=config.jitter, lighting=config.lighting, rotation=config.rotation
    )

    def transform(record: Record, rng: np.random.Generator) -> Record:
        image = record["image"]
        if scale:
            image = random_resized_crop(image, size, scale, rng)
        else:
            image = resize_center_crop(image, resize, size)
        if padding:
            image = random_crop(image, padding, rng)
        if flip:
            image = horizontal_flip(image, rng)
        return {**record, "image": image, **draw(rng)}

    return transform


def eval_transform(config: ConfigDict) -> Callable[[Record], Record]:
    """Build record -> record: `resize_center_crop` to `config.resize` and `config.image_size`."""
    resize, size = config.resize, config.image_size
    return lambda record: {**record, "image": resize_center_crop(record["image"], resize, size)}


def resize_center_crop(image: np.ndarray, resize: int, size: int) -> np.ndarray:
    """Scale the shorter side to `resize`, antialiased, and cut out the middle: (size, size, C).

    Rounds as torchvision's Resize and CenterCrop; needs size <= resize.
    """
    height, width, _ = image.shape
    shorter = min(height, width)
    image = _resize(image, resize * height // shorter, resize * width // shorter)
    # Python rounds halves to even: of 3 pixels too many, 2 go at the left, and of 5 also 2.
    top, left = (round((length - size) / 2) for length in image.shape[:2])
    return image[top : top + size, left : left + size]


def random_resized_crop(
    image: np.ndarray, size: int, scale: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Cut out a `random_box` and scale it to (size, size, C), antialiased, as torchvision does."""
    # Cut first: resizing a box of the whole would blend in the pixels around it.
    top, left, height, width = random_box(image.shape[0], image.shape[1], scale, rng)
    return _resize(image[top : top + height, left : left + width], size, size)


def random_box(
    height: int, width: int, scale: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draw a box in an image: (top, left, height, width), as torchvision's RandomResizedCrop.

    Its area is a uniform fraction of the image's, scale[0] to scale[1]; the logarithm of its width
    over height is uniform from 3:4 to 4:3; its position is uniform. A box that does not fit is
    drawn again, and after ten tries the middle is taken.
    """
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        ratio = math.exp(rng.uniform(-LOG_RATIO, LOG_RATIO))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    # As much of the middle as the ratio allows.
    h, w = min(height, round(width * 4 / 3)), min(width, round(height * 4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    pillow = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    resized = pillow.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized).reshape(height, width, image.shape[2])


def random_crop(image: np.ndarray, padding: int, rng: np.random.Generator) -> np.ndarray:
    """Put `padding` zeros around the image and cut its own size out, anywhere, uniformly."""
    height, width, _ = image.shape
    top, left = rng.integers(0, 2 * padding + 1, size=2)
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    return padded[top : top + height, left : left + width]


def horizontal_flip(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror left and right with probability one half."""
    return image[:, ::-1] if rng.random() < 0.5 else image


def draw_augmentation(
    rng: np.random.Generator, *, jitter: float, lighting: float, rotation: float
) -> dict[str, np.ndarray | np.float32]:
    """Draw the changes that `rrjax.data.augment.augment` applies, without those of strength 0.

    Returns:
      A dict of "jitter", float32 (3,), the factors of brightness, contrast and saturation, uniform
      in [1 - jitter, 1 + jitter], with "order", int32 (3,), a random permutation of these three;
      "lighting", float32 (3,), a shift along ImageNet's principal colors, each a normal draw of
      standard deviation `lighting` times the eigenvalue; "angle", float32 (), degrees, uniform in
      [-rotation, rotation].
    """
    # All are drawn, used or not, so that switching one on leaves the others as they were.
    factors = rng.uniform(1 - jitter, 1 + jitter, 3)
    order = rng.permutation(3)
    shift = EIGENVECTORS @ (EIGENVALUES * rng.normal(0, lighting, 3))
    angle = rng.uniform(-rotation, rotation)
    draws: dict[str, np.ndarray | np.float32] = {}
    if jitter:
        draws |= {"jitter": factors.astype(np.float32), "order": order.astype(np.int32)}
    if lighting:
        draws["lighting"] = shift.astype(np.float32)
    if rotation:
        draws["angle"] = np.float32(angle)
    return draws
