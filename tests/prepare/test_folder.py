"""A tree of images as a set: record i is image i of the folder, and bad trees are refused."""

import os
import shutil
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

import commands
from golden.pets import NAMES, assert_same, write_image, write_tree
from rrjax import BadInput
from rrjax.data import datasets, records
from rrjax.data.folder import folder
from rrjax.prepare import __main__ as preparation
from rrjax.prepare import writer
from rrjax.prepare.folder import prepare_folder


@pytest.fixture
def tree(tmp_path):
    """A tree of images of several formats and sizes."""
    return write_tree(tmp_path / "tree")


@pytest.fixture
def pets(tree, tmp_path):
    """The data_dir that holds the tree as the set "pets"."""
    prepare_folder(str(tree), str(tmp_path / "data"), "pets")
    return tmp_path / "data"


def test_a_prepared_folder_is_the_folder(tree, pets):
    assert_same(tree, pets)
    builder = tfds.builder("pets", data_dir=pets)
    raw = builder.as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})
    names = [record["file_name"].decode() for record in raw]
    assert names == NAMES["train"]
    assert [record["image"] for record in raw] == [
        (tree / "train" / name).read_bytes() for name in names
    ]


def test_several_shards_keep_the_order(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(writer.shard_utils.ShardConfig, "min_shard_size", 300)
    prepare_folder(str(tree), str(tmp_path / "data"), "pets")
    assert len([*tmp_path.glob("data/pets/1.0.0/*-train.array_record*")]) == 4
    assert_same(tree, tmp_path / "data")


def test_a_split_may_be_missing(tree, tmp_path):
    shutil.rmtree(tree / "train")
    prepare_folder(str(tree), str(tmp_path), "pets")
    assert records.records("pets", str(tmp_path), "test").class_names == ("cat", "eel")
    with pytest.raises(BadInput, match=r"pets in .* has no split to train on, only test: choose"):
        records.records("pets", str(tmp_path), "train")


def test_a_tree_this_user_may_not_read_is_named(monkeypatch, tmp_path):
    def closed(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", closed)
    with pytest.raises(BadInput, match=r"tree/train: cannot be read \(Permission denied\); change"):
        prepare_folder("tree", str(tmp_path), "birds")


def test_a_corrupt_image_leaves_nothing(tree, tmp_path):
    file = tree / "val/eel/2.ppm"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(BadInput, match=r"2.ppm: not a readable image .* replace or remove it"):
        prepare_folder(str(tree), str(tmp_path / "data"), "pets")
    assert not [*(tmp_path / "data/pets").iterdir()]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "pets:1.0.0", "1a", "../x", "ä", "Pets"])
def test_a_name_that_tfds_cannot_use_is_refused(tree, tmp_path, name):
    with pytest.raises(BadInput, match=r"--config.name=.*: give lower-case letters, digits and _"):
        prepare_folder(str(tree), str(tmp_path / "data"), name)


def test_prepare_folder_refuses(tree, pets):
    with pytest.raises(BadInput, match="'cifar10' is TFDS' name for another set: choose your own"):
        prepare_folder(str(tree), str(pets), "cifar10")
    for source in ("", str(tree / "nowhere"), str(tree / "train"), "a\0b"):
        with pytest.raises(BadInput, match=r"is no folder that holds train/ or test/"):
            prepare_folder(source, str(pets), "birds")
    with pytest.raises(BadInput, match=r"pets/1.0.0 is already prepared: delete that folder"):
        prepare_folder(str(tree), str(pets), "pets")
    assert_same(tree, pets)
    (tree / "val/zebra").mkdir()
    with pytest.raises(BadInput, match="zebra: no such class in train"):
        prepare_folder(str(tree), str(pets), "birds")


def test_rrjaxs_own_names_are_refused(tree, tmp_path):
    assert set(records.NAMES) == set(datasets.SOURCES)
    for name in records.NAMES:
        with pytest.raises(BadInput, match=f"{name}' is rrjax's name for other data: choose your"):
            prepare_folder(str(tree), str(tmp_path), name)


@pytest.mark.parametrize("name", ["a\nb", "a\rb", " a", "a\t", "\x85a", os.fsdecode(b"a\xff")])
def test_names_that_tfds_cannot_keep_are_refused(tree, tmp_path, name):
    write_image(tree / "train" / name / "1.png", 0)
    with pytest.raises(BadInput, match=r"the class folder '.*' has a name .*: rename it") as error:
        prepare_folder(str(tree), str(tmp_path / "data"), "pets")
    assert "\n" not in str(error.value) and str(error.value).isprintable()
    (tree / "train" / name).rename(tree / "train/a b")
    write_image(tree / "train/cat/in" / f"{name}.png", 0)
    if name.encode(errors="ignore").decode() == name:
        prepare_folder(str(tree), str(tmp_path / "data"), "pets")
        source = records.records("pets", str(tmp_path / "data"), "train")
        assert source.class_names == ("a b", "cat", "dog", "eel")
        return
    with pytest.raises(BadInput, match=r"the file 'cat/in/a.udcff.png' .* not UTF-8: rename it"):
        prepare_folder(str(tree), str(tmp_path / "data"), "pets")


def test_an_empty_workdir_is_refused():
    with pytest.raises(BadInput, match=r"^--workdir is empty: name the folder to write$"):
        preparation.run(None, "")


def test_the_command_prepares_what_is_then_read(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = [
        "--config=configs/prepare_folder.py",
        "--config.folder=~/tree",
        "--config.name=pets",
        "--workdir=~/data",
    ]
    result = commands.works("prepare", *flags)
    listed = "pets/train: 6 images of 3 classes (cat 3, dog 2, eel 1)\npets/test: 2 images"
    assert listed in result.stdout and result.stderr == ""
    assert "is already prepared" in commands.refused("prepare", *flags)
    assert_same(tree, tmp_path / "data")
    assert len(records.records("pets", "~/data", "train")) == len(folder("~/tree", "train")) == 6
