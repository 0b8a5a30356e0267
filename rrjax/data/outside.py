"""Images from outside every training distribution, for studies.

Each function takes (n, image_size, channels, seed) and gives float32 (n, image_size, image_size,
channels) in [0, 1]. Image i of photographs and of patterns depends on the seed and on i, not on n.
"""

import numpy as np
from PIL import Image

from rrjax.data import folder, transforms


def photographs(n: int, image_size: int, channels: int, seed: int) -> np.ndarray:
    """Crop random squares, 96 pixels wide or wider, from scikit-learn's two photographs."""
    from sklearn.datasets import load_sample_images  # a second, which nothing else here needs

    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    if channels == 1:
        photos = [photo.convert("L") for photo in photos]
    crops = [
        _crop(photos[i % len(photos)], image_size, np.random.default_rng((seed, i)))
        for i in range(n)
    ]
    images = np.stack(crops).reshape(n, image_size, image_size, channels)
    return images.astype(np.float32) / 255


def _crop(photo: Image.Image, size: int, rng: np.random.Generator) -> np.ndarray:
    widest = min(photo.size)
    side = int(rng.integers(min(max(size, 96), widest), widest + 1))
    left, top = (int(rng.integers(length - side + 1)) for length in photo.size)
    box = (left, top, left + side, top + side)
    return np.asarray(photo.resize((size, size), Image.Resampling.BILINEAR, box=box))


def patterns(n: int, image_size: int, channels: int, seed: int) -> np.ndarray:
    """Draw gratings, checkerboards, ellipses and smooth fields, in turn, in two random colors."""
    images = []
    for i in range(n):
        rng = np.random.default_rng((seed, i))
        pattern = PATTERNS[i % len(PATTERNS)](rng, image_size)[..., None]
        # Far apart in every channel, so that no pattern vanishes.
        first, second = rng.uniform(0, 0.35, channels), rng.uniform(0.65, 1, channels)
        swap = rng.random(channels) < 0.5
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        images.append(first + (second - first) * pattern)
    return np.stack(images).astype(np.float32)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels' centers, y (size, 1) and x (1, size), in [0, 1]."""
    centers = (np.arange(size) + 0.5) / size
    return centers[:, None], centers[None, :]


def _grating(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = _grid(size)
    cycles, angle, phase = rng.uniform((1, 0, 0), (min(8, size / 4), np.pi, 2 * np.pi))
    wave = 2 * np.pi * cycles * (x * np.cos(angle) + y * np.sin(angle)) + phase
    return 0.5 + 0.5 * np.sin(wave)


def _checkerboard(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = _grid(size)
    squares = rng.integers(2, max(3, min(9, size // 2)))
    dy, dx = rng.random(2)
    return (np.floor(y * squares + dy) + np.floor(x * squares + dx)) % 2


def _ellipses(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = _grid(size)
    inside = np.zeros((size, size))
    for _ in range(3):
        cy, cx, angle = rng.uniform((0.2, 0.2, 0), (0.8, 0.8, np.pi))
        long, short = rng.uniform((0.15, 0.1), (0.35, 0.2))
        along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        inside = np.maximum(inside, (along / long) ** 2 + (across / short) ** 2 < 1)
    return inside


def _field(rng: np.random.Generator, size: int) -> np.ndarray:
    coarse = Image.fromarray(rng.random((4, 4), dtype=np.float32))
    field = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
    return (field - field.min()) / (field.max() - field.min())


PATTERNS = (_grating, _checkerboard, _ellipses, _field)
KINDS = {"photographs": photographs, "patterns": patterns}


def pictures(kind: str, n: int, image_size: int, channels: int, seed: int) -> np.ndarray:
    """Return images of a kind: "photographs", "patterns", or the middles of a folder's images.

    Raises:
      BadInput: as `folder.pictures` does.
    """
    if kind in KINDS:
        return KINDS[kind](n, image_size, channels, seed)
    images = folder.pictures(kind, n, channels, seed)
    middles = [transforms.resize_center_crop(image, image_size, image_size) for image in images]
    return np.stack(middles).astype(np.float32) / 255
