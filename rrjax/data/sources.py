"""Say which records exist: a source is random access to uint8 images and their labels.

To add a source, write one function that returns a `Source` and enter it in `SOURCES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from rrjax.errors import BadInput

# A split's folder: the first of these names that exists.
FOLDERS = {"train": ("train",), "test": ("test", "val", "validation")}
SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True, eq=False)
class Source:
    """Hold n records: `source[i]` is {"image": uint8 (H, W, 1 or 3), "label": np.int32}.

    `name` is for messages, `read(i)` gives image i, `labels` is int32 (n,) and
    `class_names[label]` says what a label means.
    """

    name: str
    read: Callable[[int], np.ndarray]
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        label = self.labels[index]  # First: its IndexError ends an iteration over the source.
        return {"image": self.read(index), "label": label}


def create(config, split):
    """Make the source that `config.name` names, for split "train" or "test".

    Reads `config.image_size` (digits) or `config.path` (folder). Raises BadInput.
    """
    if config.name not in SOURCES:
        raise BadInput(f"no data source is called {config.name!r}; choose from {sorted(SOURCES)}")
    if split not in FOLDERS:
        raise BadInput(f"no split is called {split!r}; choose from {sorted(FOLDERS)}")
    return SOURCES[config.name](config, split)


def arrays(images, labels, class_names, name):
    """Make a source from memory.

    images: (n, H, W), (n, H, W, 1) or (n, H, W, 3), uint8 or floats in [0, 1]; labels: n integers.
    Raises BadInput for another shape or type, a value outside [0, 1], or a label of no class.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise BadInput(
            f"{name}: images have the shape {images.shape}; give (n, H, W, 1 or 3) or (n, H, W)"
        )
    if labels.shape != (len(images),) or len(images) == 0:
        raise BadInput(
            f"{name}: {len(images)} images and labels of shape {labels.shape}; give one label an "
            "image, and at least one"
        )
    if images.dtype != np.uint8:
        images = _as_uint8(images, name)
    labels = _checked_labels(labels, class_names, name)
    return Source(name, images.__getitem__, labels, tuple(class_names))


def _as_uint8(images, name):
    if not np.issubdtype(images.dtype, np.floating):
        raise BadInput(f"{name}: images are {images.dtype}; give uint8 or floats in [0, 1]")
    wrong = ~((images >= 0) & (images <= 1))  # Said so that a NaN is wrong too.
    if wrong.any():
        where = tuple(np.argwhere(wrong)[0])
        raise BadInput(
            f"{name}: image {where[0]} holds {images[where]}; scale floats to [0, 1] or give uint8"
        )
    return np.rint(images * 255).astype(np.uint8)


def _checked_labels(labels, class_names, name):
    if not np.issubdtype(labels.dtype, np.integer):
        raise BadInput(f"{name}: labels are {labels.dtype}; give integers")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(class_names)))
    if len(wrong):
        raise BadInput(
            f"{name}: record {wrong[0]} has the label {labels[wrong[0]]}; with "
            f"{len(class_names)} class names labels are 0 to {len(class_names) - 1}"
        )
    return labels.astype(np.int32)


def digits(split, image_size):
    """Make scikit-learn's handwritten digits: 1437 to train, 360 to test, always the same ones.

    Images are grey, (image_size, image_size, 1). Raises BadInput for image_size < 8.
    """
    if image_size < 8:
        raise BadInput(
            f"digits: image_size={image_size} is below the images' own 8; "
            "set --config.data.image_size=8 or more"
        )
    data = load_digits()
    train, test = train_test_split(
        np.arange(len(data.target)), test_size=360, stratify=data.target, random_state=0
    )
    chosen = np.sort({"train": train, "test": test}[split])
    small = np.rint(data.images[chosen] * (255 / 16)).astype(np.uint8)
    size = (image_size, image_size)
    images = [Image.fromarray(image).resize(size, Image.Resampling.BICUBIC) for image in small]
    class_names = tuple(map(str, data.target_names))
    return arrays(np.stack(images), data.target[chosen], class_names, f"digits/{split}")


def folder(path, split):
    """Make a source of `path/{train,test}/<class>/<image>`; `val` and `validation` are test too.

    A label is the place of its folder among train's sorted class folders (among the split's own
    where there is no train). Names that begin with a dot are passed over. Every file is opened
    here and decoded in `read`, as stored: EXIF rotation is not applied. Images have 3 channels,
    or 1 where all of the split are grey. Raises BadInput for a missing folder, a class without
    images or not in train, and an unreadable file or one that is neither RGB nor 8-bit grey.
    """
    root = _split_folder(path, split)
    class_names = _class_names(root if split == "train" else _train_folder(path) or root)
    files, labels = [], []
    for name in _class_names(root):
        if name not in class_names:
            raise BadInput(
                f"{root / name}: no such class in train ({', '.join(class_names)}), so its label "
                "is out of range; rename or remove it"
            )
        found = [f for f in _visible(root / name) if f.suffix.lower() in SUFFIXES]
        if not found:
            raise BadInput(f"{root / name}: a class without images; add some or remove the folder")
        files += found
        labels += [class_names.index(name)] * len(found)
    mode = "RGB" if "RGB" in _modes(files) else "L"
    return Source(
        str(root), lambda i: _decode(files[i], mode), np.array(labels, np.int32), class_names
    )


def _split_folder(path, split):
    if not path or not Path(path).is_dir():  # Path("") would be the working directory.
        raise BadInput(
            f"{str(path)!r} is no folder; set --config.data.path to one that holds train/ and test/"
        )
    found = [Path(path, name) for name in FOLDERS[split] if Path(path, name).is_dir()]
    if not found:
        raise BadInput(
            f"{path}: no {split} split; make a folder {' or '.join(FOLDERS[split])} in it"
        )
    return found[0]


def _train_folder(path):
    train = Path(path, "train")
    return train if train.is_dir() else None


def _class_names(root):
    names = tuple(child.name for child in _visible(root) if child.is_dir())
    if not names:
        raise BadInput(f"{root}: no images; make a folder of images a class in it")
    return names


def _visible(directory):
    return sorted(child for child in directory.iterdir() if not child.name.startswith("."))


def _modes(files):
    # Opening waits for the disk, hence threads; imap in chunks stays small for a million files.
    with ThreadPool(16) as pool:
        modes = pool.imap(_mode, files, chunksize=64)
        return set(tqdm(modes, "checking images", len(files), disable=None))


def _mode(file):
    try:
        with Image.open(file) as image:
            mode = image.mode
    except Exception as error:  # OSError, ValueError, SyntaxError, ...: it depends on the format.
        raise BadInput(f"{file}: not a readable image ({error}); replace or remove it") from error
    if mode not in ("L", "RGB"):
        raise BadInput(f"{file}: its mode is {mode}; convert it to RGB or 8-bit grey (L)")
    return mode


def _decode(file, mode):
    try:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert(mode))
    except Exception as error:  # As in _mode.
        raise BadInput(f"{file}: cannot be decoded ({error}); replace or remove it") from error
    return pixels[..., None] if mode == "L" else pixels


def check_classes(source, classes):
    """Raise BadInput unless a model of `classes` outputs fits the source's labels."""
    needed = max(len(source.class_names), int(source.labels.max()) + 1)
    if needed != classes:
        raise BadInput(
            f"{source.name} has {needed} classes and the model {classes}; "
            f"set --config.model.classes={needed}"
        )


SOURCES = {
    "digits": lambda config, split: digits(split, config.image_size),
    "folder": lambda config, split: folder(config.path, split),
}
