"""A folder tree of images as a source: path/{train,test}/<class>/<image>."""

from pathlib import Path

import numpy as np

from rrjax.data.decode import Corrupt, decode
from rrjax.data.sources import Source
from rrjax.errors import BadInput

# A split's folder: the first of these names that exists.
SPLITS = {"train": ("train",), "test": ("test", "val", "validation")}
SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}


def folder(path, split):
    """Make a source of `path/{train,test}/<class>/<image>`; `val` and `validation` are test too.

    Files are opened when they are read: `decode` says what becomes of them. Raises BadInput as
    `files` does.
    """
    paths, labels, class_names = files(path, split)
    name = str(paths[0].parents[1])
    return Source(name, lambda i: decode(_content(paths[i]), str(paths[i])), labels, class_names)


def files(path, split):
    """List a split: (files, labels int32 (n,), class names), sorted by class and by name.

    A label is the place of its folder among train's sorted class folders (among the split's own
    where there is no train). Names that begin with a dot are passed over. Raises BadInput for a
    missing folder and for a class without images or not in train.
    """
    root = _split_folder(path, split)
    train = Path(path, "train")
    class_names = _class_names(train if train.is_dir() else root)
    paths, labels = [], []
    for name in _class_names(root):
        if name not in class_names:
            raise BadInput(
                f"{root / name}: no such class in train ({', '.join(class_names)}), so its label "
                "is out of range; rename or remove it"
            )
        found = [f for f in _visible(root / name) if f.suffix.lower() in SUFFIXES]
        if not found:
            raise BadInput(f"{root / name}: a class without images; add some or remove the folder")
        paths += found
        labels += [class_names.index(name)] * len(found)
    return paths, np.array(labels, np.int32), class_names


def _split_folder(path, split):
    if not path or not Path(path).is_dir():  # Path("") would be the working directory.
        raise BadInput(
            f"{str(path)!r} is no folder; set --config.data.path to one that holds train/ and test/"
        )
    found = [Path(path, name) for name in SPLITS[split] if Path(path, name).is_dir()]
    if not found:
        raise BadInput(
            f"{path}: no {split} split; make a folder {' or '.join(SPLITS[split])} in it"
        )
    return found[0]


def _class_names(root):
    names = tuple(child.name for child in _visible(root) if child.is_dir())
    if not names:
        raise BadInput(f"{root}: no images; make a folder of images a class in it")
    return names


def _visible(directory):
    try:
        children = sorted(directory.iterdir())
    except OSError as error:
        raise BadInput(
            f"{directory}: cannot be read ({error.strerror}); change its permissions"
        ) from error
    return [child for child in children if not child.name.startswith(".")]


def _content(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise Corrupt(f"{path}: cannot be read ({error.strerror}); replace or remove it") from error
