"""Arrays in files as a source: images.npy and labels.npy, as CIFAR-10-C has them."""

from pathlib import Path

import numpy as np

from rrjax import BadInput
from rrjax.data.folder import SPLITS, ask, expanded
from rrjax.data.sources import Source, arrays

IMAGES, LABELS, CLASSES = "images.npy", "labels.npy", "classes.txt"


def npy(path: str, split: str) -> Source:
    """Make a source of arrays in files: images (n, H, W, C), uint8 or floats in [0,1], and labels.

    `path` is a folder of images.npy and labels.npy, or of such folders, train/ and test/; or the
    file of images itself, as CIFAR-10-C's gaussian_noise.npy, beside labels.npy. The names of the
    classes are the lines of classes.txt, where there is one, otherwise numbers. Without labels.npy
    the images are photographs, for studies that need no labels. Bytes are read when they are used.

    Raises:
      BadInput: for a file that is missing or not such an array, and for training images that are
        asked for where there is no train/.
    """
    file = _images(path, split)
    images = _array(file)
    labels = file.with_name(LABELS)
    if not ask(Path.is_file, labels):
        source = arrays(images, np.zeros(len(images), np.int32), ("",), str(file))
        return Source(source.name, source.read, source.labels, ())
    values = np.array(_array(labels))
    return arrays(images, values, _class_names(file.with_name(CLASSES), values), str(file))


def _images(path: str, split: str) -> Path:
    """Return the file of a split's images."""
    root = Path(expanded(path))
    if path and ask(Path.is_file, root):
        files = [root] if split == "test" else []
    else:
        folders = [root / name for name in SPLITS[split]] + ([root] if split == "test" else [])
        files = [folder / IMAGES for folder in folders if path]
    for file in files:
        if ask(Path.is_file, file):
            return file
    wanted = "train/images.npy" if split == "train" else IMAGES
    raise BadInput(
        f"{path!r} holds no {wanted}: set --config.data.path to a folder that does, with "
        "labels.npy beside it (rrjax.save_images writes both)"
    )


def _array(file: Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(
            f"{file}: not an array of numpy ({error}); write it by numpy.save"
        ) from error


def _class_names(file: Path, labels: np.ndarray) -> tuple[str, ...]:
    if ask(Path.is_file, file):
        return tuple(file.read_text(encoding="utf-8").splitlines())
    whole = labels.size and np.issubdtype(labels.dtype, np.integer)
    return tuple(str(i) for i in range(int(labels.max()) + 1 if whole else 1))
