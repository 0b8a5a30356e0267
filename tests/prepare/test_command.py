"""The command `prepare`: what it wrote is read back, and a second time it refuses."""

import numpy as np
from PIL import Image

from commands import refused, works
from rrjax.data import records
from rrjax.data.folder import folder


def test_a_folder_of_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for split, n in (("train", 3), ("test", 2)):
        for label in ("cat", "dog"):
            tree = tmp_path / "tree" / split / label
            tree.mkdir(parents=True)
            for i in range(n):
                Image.new("RGB", (9 + i, 7), (40 * i, 0, len(split))).save(tree / f"{i}.png")
    flags = ["--config.folder=~/tree", "--config.name=pets", "--workdir=~/data"]
    shown = works("prepare", "--config=prepare_folder", *flags).stdout
    assert shown == (
        "pets/train: 6 images of 2 classes (cat 3, dog 3)\n"
        "pets/test: 4 images of 2 classes (cat 2, dog 2)\n"
    )
    for split in ("train", "test"):
        stored, source = records.records("pets", "~/data", split), folder("~/tree", split)
        assert len(stored) == len(source) and stored.class_names == source.class_names
        for record, image in zip(stored, source, strict=True):
            assert record["label"] == image["label"]
            np.testing.assert_array_equal(record["image"], image["image"])
    message = refused("prepare", "--config=prepare_folder", *flags)
    assert "is already prepared: delete that folder" in message
