"""Change one record: numpy, uint8 (H, W, C) in and out; chance comes from the given generator."""

import numpy as np
from PIL import Image


def train_transform(config):
    """Build (record, rng) -> record: resize and crop to `config.image_size`, then augment.

    `config.crop_padding` pixels of zeros are put around the image before a random crop (0: no
    crop); `config.flip` mirrors half of the images.
    """
    resize, padding, flip = test_transform(config), config.crop_padding, config.flip

    def transform(record, rng):
        record = resize(record)
        image = random_crop(record["image"], padding, rng) if padding else record["image"]
        return {**record, "image": horizontal_flip(image, rng) if flip else image}

    return transform


def test_transform(config):
    """Build record -> record: resize and crop the middle to `config.image_size`."""
    size = config.image_size
    return lambda record: {**record, "image": resize_center_crop(record["image"], size)}


def resize_center_crop(image, size):
    """Scale the shorter side to `size`, antialiased, and cut out the middle: (size, size, C).

    The sizes are rounded as torchvision's Resize rounds them; a (size, size) image is unchanged.
    """
    height, width, channels = image.shape
    if (height, width) == (size, size):
        return image
    shorter = min(height, width)
    height, width = size * height // shorter, size * width // shorter
    pillow = Image.fromarray(image[..., 0] if channels == 1 else image)
    resized = np.asarray(pillow.resize((width, height), Image.Resampling.BILINEAR))
    top, left = (height - size) // 2, (width - size) // 2
    return resized[top : top + size, left : left + size].reshape(size, size, channels)


def random_crop(image, padding, rng):
    """Put `padding` zeros around the image and cut its own size out, anywhere, uniformly."""
    height, width, _ = image.shape
    top, left = rng.integers(0, 2 * padding + 1, size=2)
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    return padded[top : top + height, left : left + width]


def horizontal_flip(image, rng):
    """Mirror left and right with probability one half."""
    return image[:, ::-1] if rng.random() < 0.5 else image
