"""A folder tree of images as a source: path/{train,test}/<class>/.../<image>."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from rrjax.data.decode import Corrupt, decode
from rrjax.data.sources import Source
from rrjax.errors import BadInput

# A split's folder: the first of these that holds folders; a test/ without classes has no labels.
SPLITS = {"train": ("train",), "test": ("test", "val", "validation")}
SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}


def folder(path, split):
    """Make a source of `path/{train,test}/<class>/<image>`; `val` and `validation` are test too.

    Files are opened when they are read: `decode` says what becomes of them. Raises BadInput as
    `files` does.
    """
    paths, labels, class_names = files(path, split)
    name = str(split_folder(path, split))
    return Source(name, lambda i: decode(_content(paths[i]), str(paths[i])), labels, class_names)


def files(path, split):
    """List a split: (files, labels int32 (n,), class names), sorted by class and by path.

    A label is the place of its folder among train's sorted class folders (among the split's own
    where there is no train); the images may lie in folders within it, as torchvision's ImageFolder
    has it. Names that begin with a dot are passed over. Raises BadInput for a missing folder, one
    that cannot be read, and a class without images or not in train.
    """
    root = split_folder(path, split)
    train = root.with_name("train")
    class_names = _checked_class_names(train if ask(Path.is_dir, train) else root)
    paths, labels = [], []
    for name in _checked_class_names(root):
        if name not in class_names:
            raise BadInput(
                f"{root / name}: no such class in train ({', '.join(class_names)}), so its label "
                "is out of range; rename or remove it"
            )
        found = _images(root / name)
        if not found:
            raise BadInput(f"{root / name}: a class without images; add some or remove the folder")
        paths += found
        labels += [class_names.index(name)] * len(found)
    return paths, np.array(labels, np.int32), class_names


def pictures(path, n, channels, seed):
    """Read images that lie in a folder, at any depth: a list of uint8 (H, W, channels).

    They are in the order of their paths. n: how many, drawn by the seed; 0: all. channels: 1 or 3.
    Raises BadInput for a folder that is missing or holds fewer, and as `decode` does.
    """
    root = Path(expanded(path))
    if not ask(Path.is_dir, root):
        raise BadInput(f"{path!r} is no folder of images")
    found = _images(root)
    if n > len(found) or not found:
        raise BadInput(f"{root}: holds {len(found)} images, {n or 'some'} are asked for")
    chosen = np.random.default_rng(seed).choice(len(found), n or len(found), replace=False)
    images = [decode(_content(found[i]), str(found[i])) for i in sorted(chosen)]
    return [_with_channels(image, channels) for image in images]


def _with_channels(image, channels):
    if image.shape[-1] == 3 and channels == 1:
        return np.asarray(Image.fromarray(image).convert("L"))[..., None]
    return np.broadcast_to(image, (*image.shape[:-1], channels))


def split_folder(path, split):
    """Find the folder of a split in `path`; BadInput where there is none."""
    path = expanded(path)
    if not path or not ask(Path.is_dir, Path(path)):  # Path("") would be the working directory.
        raise BadInput(
            f"{path!r} is no folder; set --config.data.path to one that holds train/ and test/"
        )
    found = [root for name in SPLITS[split] if ask(Path.is_dir, root := Path(path, name))]
    if not found:
        raise BadInput(
            f"{path}: no {split} split; make a folder {' or '.join(SPLITS[split])} in it"
        )
    return next(filter(_class_names, found), found[0])


def expanded(path):
    """Put the home folder for a leading ~: a shell leaves the one in --flag=~/x as it is."""
    return os.path.expanduser(path)  # noqa: PTH111  Path's makes "" a "." and fails on ~nobody.


def ask(question, path):
    """Ask a path something, such as Path.is_dir; BadInput where the system does not answer.

    Python 3.11's is_dir and is_file raise for a name too long or within a closed folder.
    """
    try:
        return question(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path, error):
    return BadInput(
        f"{path}: cannot be read ({error.strerror}); change its permissions or choose another"
    )


def _checked_class_names(root):
    names = _class_names(root)
    if not names:
        raise BadInput(f"{root}: no images; make a folder of images a class in it")
    return names


def _class_names(root):
    children = sorted(ask(lambda path: [*path.iterdir()], root))
    return tuple(c.name for c in children if not c.name.startswith(".") and ask(Path.is_dir, c))


def _images(directory):
    def refuse(error):
        raise _unreadable(error.filename, error) from error

    found = []
    for here, folders, names in os.walk(directory, onerror=refuse, followlinks=True):
        folders[:] = [f for f in folders if not (f.startswith(".") or _leads_back(Path(here, f)))]
        shown = (Path(here, name) for name in names if not name.startswith("."))
        found += [path for path in shown if path.suffix.lower() in SUFFIXES]
    return sorted(found)


def _leads_back(folder):
    """Say whether a folder is a link to one that it lies in."""
    return folder.is_symlink() and any(map(folder.samefile, folder.absolute().parents))


def _content(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise Corrupt(f"{path}: cannot be read ({error.strerror}); replace or remove it") from error
