"""Folders of images as sources: path/{train,test}/<class>/.../<image>, and photographs alone."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from rrjax import BadInput
from rrjax.data.decode import Corrupt, decode
from rrjax.data.sources import Source

T = TypeVar("T")

# A split's folder: the first of these that holds folders; a test/ without classes has no labels.
SPLITS = {"train": ("train",), "test": ("test", "val", "validation")}
# Where a test split has this file, as Tiny ImageNet has it, it names each image's class.
ANNOTATIONS = "val_annotations.txt"
SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}


def folder(path: str | Path, split: str) -> Source:
    """Make a source of `path/{train,test}/<class>/<image>`; `val` and `validation` are test too.

    Files are opened, and decoded by `decode`, when they are read.

    Raises:
      BadInput: as `files` does.
    """
    paths, labels, class_names = files(path, split)
    return _source(split_folder(path, split), paths, labels, class_names)


def _source(
    root: Path, paths: list[Path], labels: np.ndarray, class_names: tuple[str, ...]
) -> Source:
    return Source(
        str(root), lambda i: decode(_content(paths[i]), str(paths[i])), labels, class_names
    )


def files(path: str | Path, split: str) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
    """List a split: (files, labels int32 (n,), class names), sorted by class and by path.

    A label is the position of its folder among train's sorted class folders (among the split's own
    where there is no train); the images may lie in folders within it, as torchvision's ImageFolder
    has it. Names that begin with a dot are skipped. Tiny ImageNet is read as it is published: test/
    has no labels there, and those of val/ are in a file.

    Raises:
      BadInput: for a missing folder, one that cannot be read, and a class without images or not in
        train.
    """
    root = split_folder(path, split)
    train = root.with_name("train")
    class_names = _checked_class_names(train if ask(Path.is_dir, train) else root)
    if split == "test" and ask(Path.is_file, root / ANNOTATIONS):
        return (*_annotated(root, class_names), class_names)
    paths, labels = [], []
    for name in _checked_class_names(root):
        if name not in class_names:
            raise BadInput(
                f"{root / name}: no such class in train ({', '.join(class_names)}), so its label "
                "is out of range; rename or remove it"
            )
        images = _images(root / name)
        if not images:
            raise BadInput(
                f"{root / name}: a class without images ({', '.join(sorted(SUFFIXES))} are read); "
                "add or convert some, or remove the folder"
            )
        paths += images
        labels += [class_names.index(name)] * len(images)
    return paths, np.array(labels, np.int32), class_names


def _annotated(root: Path, class_names: tuple[str, ...]) -> tuple[list[Path], np.ndarray]:
    """Read Tiny ImageNet's lines: an image's name, its class and a box, with tabs between them."""
    file, images, examples = root / ANNOTATIONS, root / "images", []
    for line in ask(Path.read_text, file).splitlines():
        name, _, rest = line.partition("\t")
        label, path = rest.partition("\t")[0], images / name
        if label not in class_names or not ask(Path.is_file, path):
            raise BadInput(
                f"{file}: {line[:60]!r}: give an image of {images} and one of train's classes"
            )
        examples.append((class_names.index(label), path))
    labels, paths = zip(*sorted(examples), strict=True) if examples else ((), ())
    if not paths:
        raise BadInput(f"{file}: names no images")
    return [*paths], np.array(labels, np.int32)


def photographs(path: str | Path, split: str) -> Source:
    """Make a test set of all images in a folder, at any depth: it has no class names, no labels.

    Raises:
      BadInput: for the training split, and for a folder that is missing or holds no images.
    """
    root = Path(expanded(path))
    if split != "test":
        raise BadInput(
            f"data.name='photographs': {str(path)!r} is for studies of test images alone, and "
            "training images are asked for: give a labeled set by --config.data.name and "
            "--config.data.path"
        )
    if not path or not ask(Path.is_dir, root):
        raise BadInput(
            f"{str(path)!r} is no folder; set --config.data.path to one that holds photographs"
        )
    paths = _images(root)
    if not paths:
        raise BadInput(
            f"{root}: no images ({', '.join(sorted(SUFFIXES))} are read); add or convert some"
        )
    return _source(root, paths, np.zeros(len(paths), np.int32), ())


def pictures(path: str | Path, n: int, channels: int, seed: int) -> list[np.ndarray]:
    """Read images in a folder, at any depth: a list of uint8 (H, W, channels).

    Args:
      path: the folder.
      n: how many, drawn by the seed; 0: all. They are in the order of their paths.
      channels: 1 or 3.
      seed: of the draw.

    Raises:
      BadInput: for a folder that is missing or holds fewer, and as `decode` does.
    """
    return open_pictures(path, n, channels, seed)[:]


@dataclass(frozen=True)
class Pictures:
    """Images of a folder, chosen but not read: `pictures[rows]` reads a slice of them.

    Rows are a list of uint8 (H, W, channels), each of its own size.
    """

    paths: Sequence[Path]
    channels: int

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.paths)

    def __getitem__(self, rows: slice) -> list[np.ndarray]:
        """Read some rows, in their order."""
        images = [decode(_content(path), str(path)) for path in self.paths[rows]]
        return [_with_channels(image, self.channels) for image in images]


def open_pictures(path: str | Path, n: int, channels: int, seed: int) -> Pictures:
    """Choose as `pictures`, to be read when they are asked for."""
    root = Path(expanded(path))
    if not ask(Path.is_dir, root):
        raise BadInput(f"{path!r} is no folder of images")
    paths = _images(root)
    if n > len(paths) or not paths:
        raise BadInput(f"{root}: holds {len(paths)} images, {n or 'some'} are asked for")
    chosen = np.random.default_rng(seed).choice(len(paths), n or len(paths), replace=False)
    return Pictures([paths[i] for i in sorted(chosen)], channels)


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    if image.shape[-1] == 3 and channels == 1:
        return np.asarray(Image.fromarray(image).convert("L"))[..., None]
    return np.broadcast_to(image, (*image.shape[:-1], channels))


def split_folder(path: str | Path, split: str) -> Path:
    """Return the folder of a split in `path`.

    Raises:
      BadInput: where there is none.
    """
    path = expanded(path)
    if not path or not ask(Path.is_dir, Path(path)):  # Path("") would be the working directory.
        raise BadInput(
            f"{path!r} is no folder; set --config.data.path to one that holds train/ and test/"
        )
    roots = [root for name in SPLITS[split] if ask(Path.is_dir, root := Path(path, name))]
    if not roots:
        raise BadInput(
            f"{path}: no {split} split; make a folder {' or '.join(SPLITS[split])} in it"
        )
    annotated = [r for r in roots if split == "test" and ask(Path.is_file, r / ANNOTATIONS)]
    return next(iter([*annotated, *filter(_class_names, roots)]), roots[0])


def expanded(path: str | Path) -> str:
    """Replace a leading ~ by the home folder: a shell leaves the one in --flag=~/x as it is."""
    return os.path.expanduser(path)  # noqa: PTH111  Path's makes "" a "." and fails on ~nobody.


def ask(question: Callable[[Path], T], path: Path) -> T:
    """Return question(path), such as Path.is_dir's answer.

    Python 3.11's is_dir and is_file raise for a name too long or within a closed folder.

    Raises:
      BadInput: where the system does not answer.
    """
    try:
        return question(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: OSError) -> BadInput:
    return BadInput(
        f"{path}: cannot be read ({error.strerror}); change its permissions or choose another"
    )


def _checked_class_names(root: Path) -> tuple[str, ...]:
    names = _class_names(root)
    if not names:
        raise BadInput(f"{root}: no images; make a folder of images a class in it")
    return names


def _class_names(root: Path) -> tuple[str, ...]:
    children = sorted(ask(lambda path: [*path.iterdir()], root))
    return tuple(c.name for c in children if not c.name.startswith(".") and ask(Path.is_dir, c))


def _images(directory: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise _unreadable(error.filename, error) from error

    images = []
    for here, folders, names in os.walk(directory, onerror=refuse, followlinks=True):
        folders[:] = [f for f in folders if not (f.startswith(".") or _leads_back(Path(here, f)))]
        visible = (Path(here, name) for name in names if not name.startswith("."))
        images += [path for path in visible if path.suffix.lower() in SUFFIXES]
    return sorted(images)


def _leads_back(folder: Path) -> bool:
    """Say whether a folder is a link to one that it lies in."""
    return folder.is_symlink() and any(map(folder.samefile, folder.absolute().parents))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Corrupt(f"{path}: cannot be read ({error.strerror}); replace or remove it") from error
