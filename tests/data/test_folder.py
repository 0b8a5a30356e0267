"""Folders: labels by train's class folders, pixels as stored, bad trees refused by name."""

import os
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paths import SHARED
from rrjax import BadInput
from rrjax.data import outside
from rrjax.data.folder import files, folder, photographs, pictures

CIFAR = SHARED / "cifar10_test.tar.gz"


def save(path, mode="RGB", size=(6, 4), seed=0):
    """Write an image of random bytes and give its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": 3, "L": 1}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels))
    Image.fromarray(pixels.astype(np.uint8).squeeze()).save(path)
    return path


def test_folder_labels_by_train_and_pixels_as_stored(tmp_path):
    files = [
        save(tmp_path / "train" / name, seed=i) for i, name in enumerate(["b/1.png", "a/2.PNG"])
    ]
    tested = save(tmp_path / "val/b/3.bmp", seed=2)
    save(tmp_path / "train/.cache/4.png")
    save(tmp_path / "train/a/._2.png")
    (tmp_path / "train/a/notes.txt").write_text("not an image")
    train, test = folder(tmp_path, "train"), folder(str(tmp_path), "test")
    assert train.class_names == test.class_names == ("a", "b")
    assert train.labels.tolist() == [0, 1] and train.labels.dtype == np.int32
    assert test.labels.tolist() == [1]
    for record, file in zip([*train, *test], [files[1], files[0], tested], strict=True):
        with Image.open(file) as image:
            np.testing.assert_array_equal(record["image"], np.asarray(image))


def test_folder_without_train_numbers_its_own_classes(tmp_path):
    save(tmp_path / "validation/b/1.png")
    save(tmp_path / "validation/c/1.png")
    source = folder(tmp_path, "test")
    assert source.class_names == ("b", "c") and source.labels.tolist() == [0, 1]


def test_folder_gives_a_gray_image_one_channel(tmp_path):
    save(tmp_path / "train/a/1.png", "L")
    save(tmp_path / "train/a/2.png", "RGB")
    source = folder(tmp_path, "train")
    assert [record["image"].shape for record in source] == [(4, 6, 1), (4, 6, 3)]


def test_folder_names_the_file_that_fails_to_decode(tmp_path):
    file = save(tmp_path / "train/a/cut.jpg", size=(64, 64))
    file.write_bytes(file.read_bytes()[:-2000])
    source = folder(tmp_path, "train")
    with pytest.raises(
        BadInput, match=r"train/a/cut.jpg: not a readable image .* replace or remove it"
    ):
        source[0]


def test_folder_refuses_a_tree_that_is_not_one(tmp_path):
    with pytest.raises(BadInput, match="nowhere' is no folder"):
        folder(tmp_path / "nowhere", "train")
    with pytest.raises(BadInput, match=r"'' is no folder; set --config.data.path"):
        folder("", "train")
    with pytest.raises(BadInput, match="no test split; make a folder test or val or validation"):
        folder(tmp_path, "test")
    (tmp_path / "train").mkdir()
    with pytest.raises(BadInput, match="train: no images"):
        folder(tmp_path, "train")
    save(tmp_path / "train/a/1.png")
    (tmp_path / "train/b").mkdir()
    with pytest.raises(BadInput, match=r"b: a class without images \(.bmp, .*are read"):
        folder(tmp_path, "train")
    save(tmp_path / "test/zebra/1.png")
    with pytest.raises(BadInput, match=r"zebra: no such class in train \(a, b\)"):
        folder(tmp_path, "test")


def test_what_cannot_be_opened_is_named(tmp_path):
    file = save(tmp_path / "train/a/1.png")
    save(tmp_path / "train/b/1.png")
    source = folder(tmp_path, "train")
    file.unlink()
    with pytest.raises(BadInput, match=r"a/1.png: cannot be read \(No such file"):
        source[0]


@pytest.mark.parametrize(
    ("closed", "named"),
    [("..", "."), (".", "train"), *[(f, f) for f in ("train", "train/a", "train/a/in")]],
)
def test_what_this_user_may_not_read_is_named(tmp_path, monkeypatch, closed, named):
    save(tmp_path / "train/a/in/1.png")
    closed = (tmp_path / closed).resolve()

    def deny(name, denied):
        real = getattr(os, name)

        def asked(path=".", *rest, **options):
            if not isinstance(path, int) and denied(Path(path)):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *rest, **options)

        monkeypatch.setattr(os, name, asked)

    # By hand, as the mode 000 closes nothing to root.
    deny("stat", lambda path: closed in path.parents)
    deny("scandir", closed.__eq__)
    deny("listdir", closed.__eq__)
    message = f"{tmp_path / named}: cannot be read (Permission denied); change its permissions or "
    with pytest.raises(BadInput, match=rf"^{re.escape(message)}choose another$"):
        files(tmp_path, "train")


@pytest.mark.parametrize("path", ["/" + "x" * 300, "~/" + "x" * 300])
def test_a_name_too_long_is_told(path):
    with pytest.raises(BadInput, match=r"/x{300}: cannot be read \(File name too long\); "):
        files(path, "train")


def test_a_path_that_is_none_is_no_folder(monkeypatch, tmp_path):
    for path in ("a\0b", "~nobody-of-this-name"):
        with pytest.raises(BadInput, match=r"^'\S+' is no folder; set --config.data.path") as error:
            files(path, "train")
        assert str(error.value).isprintable()
    file = save(tmp_path / "train/a/1.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files("~", "train")[0] == files("~/", "train")[0] == [file]


def test_images_in_folders_of_a_class_are_of_that_class(tmp_path):
    names = [
        "a/0.png",
        "a/deep/er/1.png",
        "a/deep/2.png",
        "a/z.png",
        "b.c/dir.png/3.png",
        "b.c/4.png",
    ]
    expected = [save(tmp_path / "train" / name, seed=i) for i, name in enumerate(names)]
    save(tmp_path / "train/a/.cache/5.png")
    save(tmp_path / "train/a/deep/.6.png")
    (tmp_path / "train/a/empty").mkdir()
    paths, labels, class_names = files(tmp_path, "train")
    assert sorted(paths) == paths and set(paths) == set(expected)
    assert labels.tolist() == [0, 0, 0, 0, 1, 1] and class_names == ("a", "b.c")
    assert folder(tmp_path, "train").name == str(tmp_path / "train")


def test_links_are_followed_but_not_in_circles(tmp_path):
    one, other = (save(tmp_path / f"train/{name}/1.png") for name in "ab")
    elsewhere = save(tmp_path / "elsewhere/in/2.png")
    (one.parent / "back").symlink_to(one.parent)
    (one.parent / "up").symlink_to(tmp_path)
    (one.parent / "itself").symlink_to("itself")
    (one.parent / "gone").symlink_to("nowhere")
    (one.parent / "out").symlink_to(elsewhere.parents[1])
    (elsewhere.parent / "round").symlink_to(elsewhere.parents[1])
    (elsewhere.parent / "home").symlink_to(one.parent)
    paths, labels, _ = files(tmp_path, "train")
    assert paths == [one, one.parent / "out/in/2.png", other] and labels.tolist() == [0, 0, 1]


def test_a_test_folder_without_classes_gives_way_to_val(tmp_path):
    save(tmp_path / "test/1.png")
    with pytest.raises(BadInput, match=r"/test: no images; make a folder of images a class in it"):
        files(tmp_path, "test")
    chosen = save(tmp_path / "validation/a/1.png")
    assert files(tmp_path, "test")[0] == [chosen]
    (tmp_path / "val").mkdir()
    assert folder(tmp_path, "test").name == str(chosen.parents[1])
    first = save(tmp_path / "test/a/1.png")
    assert files(tmp_path, "test")[0] == [first]


@pytest.mark.skipif(not CIFAR.exists(), reason="needs ../shared/data/cifar10_test.tar.gz")
def test_folder_reads_cifar10(tmp_path):
    with tarfile.open(CIFAR) as tar:
        members = [tar.next() for _ in range(400)]
        chosen = [member for member in members if member.isfile()][::40]
        for member in chosen:  # Python 3.11.2 has no safe extractall yet
            (tmp_path / member.name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / member.name).write_bytes(tar.extractfile(member).read())
    source = folder(tmp_path, "test")
    assert len(source) == len(chosen) == 10
    files = sorted(tmp_path / member.name for member in chosen)
    for record, file in zip(source, files, strict=True):
        assert source.class_names[record["label"]] == file.parent.name
        with Image.open(file) as image:
            np.testing.assert_array_equal(record["image"], np.asarray(image))


@pytest.fixture
def tiny_imagenet(tmp_path):
    """Write two classes in the layout in which Tiny ImageNet is published."""
    for file in ("train/n02/images/a.png", "train/n01/images/b.png", "test/images/test_0.png"):
        save(tmp_path / file)
    for i in range(3):
        save(tmp_path / f"val/images/val_{i}.png")
    lines = [f"val_{i}.png\t{wnid}\t0\t0\t9\t9\n" for i, wnid in enumerate(("n02", "n01", "n02"))]
    (tmp_path / "val/val_annotations.txt").write_text("".join(lines))
    return tmp_path


def test_tiny_imagenet_is_read_as_it_is_published(tiny_imagenet):
    train, test = (files(tiny_imagenet, split) for split in ("train", "test"))
    assert train[2] == test[2] == ("n01", "n02")
    assert [path.name for path in train[0]] == ["b.png", "a.png"]
    assert [path.name for path in test[0]] == ["val_1.png", "val_0.png", "val_2.png"]
    assert test[1].tolist() == [0, 1, 1]


@pytest.mark.parametrize("line", ["val_9.png\tn01\t0", "val_0.png\tn03\t0", "val_0.png", ""])
def test_an_annotation_of_no_image_or_of_no_class_is_named(line, tiny_imagenet):
    (tiny_imagenet / "val/val_annotations.txt").write_text(f"{line}\n")
    with pytest.raises(BadInput, match=r"val_annotations.txt: '.*': give an image of .*images and"):
        files(tiny_imagenet, "test")
    (tiny_imagenet / "val/val_annotations.txt").write_text("")
    with pytest.raises(BadInput, match=r"val_annotations.txt: names no images"):
        files(tiny_imagenet, "test")


def test_photographs_are_the_images_of_a_folder_and_have_no_labels(tmp_path):
    saved = [save(tmp_path / name, seed=i) for i, name in enumerate(["b.png", "a/c.jpg"])]
    (tmp_path / "notes.txt").write_text("not an image")
    source = photographs(tmp_path, "test")
    assert len(source) == 2 and source.class_names == ()
    for record, file in zip(source, sorted(saved), strict=True):
        with Image.open(file) as image:
            np.testing.assert_array_equal(record["image"], np.asarray(image))


def test_photographs_that_are_not_there_are_refused(tmp_path):
    for path in ("", tmp_path / "none"):
        with pytest.raises(BadInput, match=r"is no folder; set --config\.data\.path to one"):
            photographs(path, "test")
    with pytest.raises(BadInput, match=r"no images .* are read"):
        photographs(tmp_path, "test")
    save(tmp_path / "a.png")
    with pytest.raises(BadInput, match="training images are asked for: give a labeled set"):
        photographs(tmp_path, "train")


def test_pictures_of_a_folder_as_they_lie_in_it(tmp_path):
    color = save(tmp_path / "b/2.png", size=(6, 4))
    gray = save(tmp_path / "a.png", "L", size=(5, 7), seed=1)
    (tmp_path / "notes.txt").write_text("not an image")
    first, second = pictures(tmp_path, 0, 3, 0)
    np.testing.assert_array_equal(first, np.asarray(Image.open(gray))[..., None].repeat(3, -1))
    np.testing.assert_array_equal(second, np.asarray(Image.open(color)))
    assert [image.shape for image in pictures(tmp_path, 2, 1, 0)] == [(7, 5, 1), (4, 6, 1)]
    assert {pictures(tmp_path, 1, 3, seed)[0].shape for seed in range(8)} == {(7, 5, 3), (4, 6, 3)}
    with pytest.raises(BadInput, match="holds 2 images, 3 are asked for"):
        pictures(tmp_path, 3, 3, 0)
    with pytest.raises(BadInput, match="no folder of images"):
        pictures(tmp_path / "c", 0, 3, 0)
    square = outside.pictures(str(tmp_path), 2, 4, 3, 0)
    assert square.shape == (2, 4, 4, 3) and 0 <= square.min() < square.max() <= 1


def test_pictures_by_the_name_of_their_kind():
    result = outside.pictures("patterns", 2, 16, 1, 3)
    np.testing.assert_array_equal(result, outside.patterns(2, 16, 1, 3))
