"""A tree of images of several formats and sizes, drawn from seeds, and the set that it makes."""

from pathlib import Path

import numpy as np
from PIL import Image

from rrjax.data import records
from rrjax.data.folder import folder

NAMES = {
    "train": [
        "cat/10.jpg",
        "cat/2.JPEG",
        "cat/gray.png",
        "dog/in/x.bmp",
        "dog/ä b.png",
        "eel/1.webp",
    ],
    "val": ["cat/1.jpg", "eel/.hidden.png", "eel/2.ppm"],
}


def write_image(path: Path, seed: int) -> None:
    """Write an image of random pixels; it is gray if its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (9 + seed, 12) if "gray" in path.name else (9 + seed, 12, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(path)


def write_tree(root: Path) -> Path:
    """Write the images of NAMES."""
    for split, names in NAMES.items():
        for seed, name in enumerate(names):
            write_image(root / split / name, seed)
    return root


def assert_same(tree: Path, data_dir: Path) -> None:
    """Assert that the set "pets" in `data_dir` holds the images of a tree, in their order."""
    for split in ("train", "test"):
        expected, actual = folder(tree, split), records.records("pets", str(data_dir), split)
        assert actual.name == f"pets/{split}" and actual.class_names == ("cat", "dog", "eel")
        assert actual.labels.dtype == np.int32
        np.testing.assert_array_equal(actual.labels, expected.labels)
        for one, other in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(one["image"], other["image"])
