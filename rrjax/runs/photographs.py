"""Photographs of one's own: files to pixels as a network takes them, pictures, arrays to files."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import ExifTags, Image

from rrjax import BadInput
from rrjax.core import checks
from rrjax.data import npy
from rrjax.data.decode import decode
from rrjax.data.folder import SUFFIXES, ask, expanded
from rrjax.data.transforms import resize_center_crop

SIDE = 2.2  # inches of an image
# EXIF's orientations whose rows, or columns, are backwards, once those from 5 on are transposed.
_BACKWARDS = slice(None, None, -1)
_ROWS, _COLUMNS = (dict.fromkeys(which, _BACKWARDS) for which in ((3, 4, 7, 8), (2, 3, 6, 7)))


class Picture(Figure):
    """A figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()


def read_image(path: str | Path, network: Any) -> np.ndarray:
    """Read an image file as a network takes it: (H, W, C), float32 in [0,1].

    It is turned upright as its camera says, scaled and cut to the middle as the network's test
    images are, and made gray for a network of one channel.

    Args:
      path: of the file: jpg, png, webp, ...
      network: what `rrjax.load`, `rrjax.load_autoencoder` or `rrjax.wrap` returned.

    Raises:
      BadInput: for a file that is missing or no image, and for what is no network.
    """
    if not hasattr(network, "config"):
        raise BadInput(
            f"a {type(network).__name__} for the network: load it first, "
            "rrjax.read_image(path, rrjax.load(...))"
        )
    pixels, config = _decoded(path), network.config
    if len(config.model.mean) == 1 and pixels.shape[-1] == 3:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], len(config.model.mean)))
    pixels = resize_center_crop(pixels, config.data.resize, config.data.image_size)
    return pixels.astype(np.float32) / 255


def _decoded(path: str | Path) -> np.ndarray:
    """Return the bytes of an image file, upright: uint8 (H, W, 1 or 3)."""
    file = Path(expanded(path))
    if "://" in str(path):
        raise BadInput(f"{path}: rrjax reads files of this machine: download it first")
    if ask(Path.is_dir, file):
        inside = sorted(each.name for each in file.iterdir() if each.suffix.lower() in SUFFIXES)
        raise BadInput(f"{path} is a folder: name its images ({', '.join(inside[:3]) or 'none'})")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}): name an image file") from error
    pixels = decode(content, str(path))
    with Image.open(io.BytesIO(content)) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1)
    if turned >= 5:
        pixels = pixels.swapaxes(0, 1)
    forwards = slice(None)
    pixels = pixels[_ROWS.get(turned, forwards), _COLUMNS.get(turned, forwards)]
    return np.ascontiguousarray(pixels)


def show(*images: ArrayLike, titles: Sequence[str] = (), labels: Sequence[str] = ()) -> Figure:
    """Draw images side by side, without pyplot; a notebook shows what is returned.

    Args:
      *images: a column each: an image (H, W, C) or a stack of them (N, H, W, C), float in [0,1]; or
        maps, (H, W), whose largest number is drawn white.
      titles: of the columns.
      labels: of the rows.

    Raises:
      BadInput: for what is no image, and for columns of different lengths.
    """
    columns = [_column(i, each) for i, each in enumerate(images)]
    if not columns or len({len(column) for column in columns}) > 1:
        sizes = ", ".join(str(len(column)) for column in columns) or "no"
        raise BadInput(f"{sizes} images: give every column as many, such as rrjax.show(x, y)")
    for name, texts, n in (("titles", titles, len(columns)), ("labels", labels, len(columns[0]))):
        if texts and (isinstance(texts, str) or len(texts) != n):
            raise BadInput(f"{name}={texts!r}: give a list of {n}")
    size = (SIDE * len(columns), SIDE * len(columns[0]) + 0.3 * bool(titles))
    figure = Picture(figsize=size, layout="constrained")
    axes = figure.subplots(len(columns[0]), len(columns), squeeze=False)
    for j, column in enumerate(columns):
        for image, axis in zip(column, axes[:, j], strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        if titles:
            axes[0, j].set_title(titles[j], fontsize="medium", parse_math=False)
    for label, axis in zip(labels, axes[:, 0], strict=False):
        axis.set_ylabel(label, parse_math=False)  # a file's name may have dollar signs
    return figure


def _column(index: int, images: ArrayLike) -> list[np.ndarray]:
    """Return images as matplotlib draws them, (H, W) or (H, W, 3)."""
    stack = np.asarray(images)
    if stack.ndim == 2:
        top = float(np.abs(stack).max()) or 1.0
        return [np.abs(stack) / top]
    stack = stack if stack.ndim == 4 else stack[None]
    if stack.ndim != 4 or stack.shape[-1] not in (1, 3):
        raise BadInput(
            f"image {index} has the shape {np.shape(images)}: give (H, W, 1 or 3), a stack of "
            "them, or a map (H, W); of a search its .x"
        )
    checks.check_pixels(f"image {index}", stack)
    return [image[..., 0] if image.shape[-1] == 1 else image for image in stack]


def save_images(
    path: str | Path,
    images: ArrayLike,
    labels: ArrayLike | None = None,
    classes: Sequence[str] = (),
) -> Path:
    """Write images to a file, or to a folder that `--config.data.name=npy` reads.

    Args:
      path: a folder, which gets images.npy, labels.npy and classes.txt; or, of one image or a grid
        of several, a file such as out.png. A png and an npy are bytes: an adversarial example moves
        by up to 1/510 a pixel.
      images: one (H, W, C) or many (N, H, W, C), float in [0,1].
      labels: for a folder: (N,), whole numbers.
      classes: for a folder: the names of the labels, as `network.classes`.

    Returns:
      The path.

    Raises:
      BadInput: for what is no image, for as many labels as there are not images, for a folder that
        holds images already, and where it cannot be written.
    """
    file, stack = Path(expanded(path)), np.asarray(images)
    stack = stack[None] if stack.ndim == 3 else stack
    if stack.ndim != 4 or stack.shape[-1] not in (1, 3):
        raise BadInput(f"images of shape {stack.shape}: give (N, H, W, 1 or 3), or one of them")
    checks.check_pixels("images", stack)
    pixels = np.rint(stack.clip(0, 1) * 255).astype(np.uint8)
    given = None if labels is None else np.asarray(labels)
    if given is not None and (given.shape != (len(stack),) or given.dtype.kind not in "iu"):
        raise BadInput(
            f"labels {given.dtype}{given.shape}: give one for each of {len(stack)} images"
        )
    try:
        if file.suffix.lower() in SUFFIXES:
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(_grid(pixels)).save(file)
            return file
        _write(file, pixels, given, classes)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror})") from error
    return file


def _write(
    folder: Path, pixels: np.ndarray, labels: np.ndarray | None, classes: Sequence[str]
) -> None:
    if (folder / npy.IMAGES).exists():
        raise BadInput(f"{folder} holds {npy.IMAGES} already: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    if labels is not None:
        np.save(folder / npy.LABELS, labels)
    if classes:
        (folder / npy.CLASSES).write_text("".join(f"{name}\n" for name in classes), "utf-8")
    np.save(folder / npy.IMAGES, pixels)


def _grid(pixels: np.ndarray) -> np.ndarray:
    """Put images (N, H, W, C) side by side, as near to a square as they go."""
    n, height, width, channels = pixels.shape
    across = math.ceil(n**0.5)
    down = math.ceil(n / across)
    blank = np.full((across * down - n, height, width, channels), 255, np.uint8)
    cells = np.concatenate([pixels, blank]).reshape(down, across, height, width, channels)
    grid = cells.swapaxes(1, 2).reshape(down * height, across * width, channels)
    return grid.squeeze(-1) if channels == 1 else grid
