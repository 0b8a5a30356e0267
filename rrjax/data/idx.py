"""MNIST's file format as a source: MNIST, Fashion-MNIST and their like, as they are published."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from rrjax import BadInput
from rrjax.data.folder import ask, expanded
from rrjax.data.sources import Source, arrays

PREFIXES = {"train": "train", "test": "t10k"}
UBYTE = 8  # the code of the one type of entries that is read


def idx(path: str, split: str) -> Source:
    """Make a source of the idx files in the folder `path`, under their usual names.

    {train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, each plain or .gz (Y. LeCun,
    C. Cortes, C. Burges: The MNIST database). Images are gray; classes are numbers, from 0 to the
    largest label of train.

    Raises:
      BadInput: for a file that is missing, of another kind, cut or damaged, and where there is not
        one label an image.
    """
    root = Path(expanded(path)) if path else None
    if root is None or not ask(Path.is_dir, root):
        raise BadInput(
            f"{path!r} is no folder; set --config.data.path to one that holds "
            "train-images-idx3-ubyte.gz and its like"
        )
    images = _read(root, f"{PREFIXES[split]}-images-idx3-ubyte", 3)
    labels = _read(root, f"{PREFIXES[split]}-labels-idx1-ubyte", 1)
    trained = _read(root, "train-labels-idx1-ubyte", 1)
    if trained.size and trained.min() > 0:
        raise BadInput(
            f"{root}: the labels of train begin with {trained.min()}; classes are counted from 0: "
            f"subtract {trained.min()} from those of train and of t10k"
        )
    classes = int(trained.max(initial=0)) + 1
    return arrays(images, labels, [str(i) for i in range(classes)], f"{root}/{PREFIXES[split]}")


def _read(root: Path, name: str, dimensions: int) -> np.ndarray:
    """Read one file of bytes: its magic number, a size a dimension, big-endian, and the entries."""
    files = [file for file in (root / name, root / f"{name}.gz") if ask(Path.is_file, file)]
    if not files:
        raise BadInput(f"{root}: no {name} or {name}.gz; fetch all four files into it")
    file = files[0]
    content = _content(file)
    magic, start = bytes((0, 0, UBYTE, dimensions)), 4 + 4 * dimensions
    if content[:4] != magic:
        raise BadInput(
            f"{file}: begins with {content[:4].hex() or 'nothing'}, not {magic.hex()}: no "
            f"idx file of bytes in {dimensions} dimensions; fetch it again"
        )
    sizes = [int.from_bytes(content[i : i + 4]) for i in range(4, start, 4)]
    if len(content) != start + math.prod(sizes):
        raise BadInput(
            f"{file}: holds {len(content)} bytes, its head says {start + math.prod(sizes)}: it "
            "is cut or damaged; fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)


def _content(file: Path) -> bytes:
    try:
        content = file.read_bytes()
        return gzip.decompress(content) if file.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{file}: cannot be read ({error}); fetch it again") from error
