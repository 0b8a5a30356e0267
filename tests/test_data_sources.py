"""Sources: what is read is what is stored, and what cannot be read is refused by name."""

import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from rrjax.data import outside, sources
from rrjax.errors import BadInput

CIFAR = Path(__file__).parents[2] / "shared/data/cifar10_test.tar.gz"


def save(path, mode="RGB", size=(6, 4), seed=0):
    """Write an image of random bytes and give its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": 3, "L": 1, "CMYK": 4, "RGBA": 4, "LA": 2}.get(mode)
    if channels is None:
        Image.new(mode, size).save(path)
    else:
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels))
        Image.fromarray(pixels.astype(np.uint8).squeeze()).convert(mode).save(path)
    return path


def test_arrays_gives_back_what_it_was_given():
    images = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    source = sources.arrays(images, [1, 0], ["cat", "dog"], "pets")
    assert len(source) == 2 and source.name == "pets" and source.class_names == ("cat", "dog")
    np.testing.assert_array_equal(source[1]["image"], images[1])
    assert source[0]["label"] == 1 and source[0]["label"].dtype == np.int32
    assert [record["label"] for record in source] == [1, 0]


def test_arrays_rounds_floats_and_gives_grey_a_channel():
    source = sources.arrays(np.array([[[0.0, 0.4], [0.5, 1.0]]]), [0], ["a"], "grey")
    expected = np.array([[[0], [102]], [[128], [255]]], np.uint8)
    np.testing.assert_array_equal(source[0]["image"], expected)
    assert source[0]["image"].dtype == np.uint8


GREY = np.zeros((2, 4, 4), np.float32)


@pytest.mark.parametrize(
    "images, labels, message",
    [
        (np.stack([GREY[0], GREY[0] + 1.5]), [0, 1], "pets: image 1 holds 1.5; scale floats"),
        (np.stack([GREY[0] - 0.25, GREY[0]]), [0, 1], "pets: image 0 holds -0.25"),
        (np.stack([GREY[0], GREY[0] + np.nan]), [0, 1], "pets: image 1 holds nan"),
        (GREY.astype(np.int64), [0, 1], "pets: images are int64; give uint8 or floats"),
        (np.zeros((2, 4, 4, 2), np.uint8), [0, 1], r"pets: .* shape \(2, 4, 4, 2\)"),
        (np.zeros((2, 4), np.uint8), [0, 1], r"pets: .* shape \(2, 4\)"),
        (GREY, [0, 2], "pets: record 1 has the label 2; .* labels are 0 to 1"),
        (GREY, [-1, 0], "pets: record 0 has the label -1"),
        (GREY, [0.0, 1.0], "pets: labels are float64; give integers"),
        (GREY, [0], r"pets: 2 images and labels of shape \(1,\)"),
        (GREY[:0], np.zeros(0, int), "pets: 0 images"),
    ],
)
def test_arrays_names_the_offender(images, labels, message):
    with pytest.raises(BadInput, match=message):
        sources.arrays(images, labels, ["cat", "dog"], "pets")


def test_digits_are_split_once_and_for_all():
    train, test = sources.digits("train", 8), sources.digits("test", 8)
    assert np.bincount(train.labels).tolist() == [142, 146, 142, 146, 145, 145, 145, 143, 139, 144]
    assert np.bincount(test.labels).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    assert test.labels[:20].tolist() == [1, 4, 8, 6, 5, 9, 9, 1, 3, 2, 2, 2, 0, 7, 4, 8, 1, 5, 3, 9]
    assert int(np.dot(train.labels, np.arange(1437))) == 4624656


def test_digits_splits_are_disjoint_and_hold_every_digit():
    data = load_digits()
    every = [(x.astype(int).tobytes(), y) for x, y in zip(data.images, data.target, strict=True)]
    split = [
        (np.rint(record["image"][..., 0] * (16 / 255)).astype(int).tobytes(), record["label"])
        for name in ("train", "test")
        for record in sources.digits(name, 8)
    ]
    assert sorted(split) == sorted(every)


def test_digits_are_resized_by_pillow():
    small, large = sources.digits("test", 8)[7]["image"], sources.digits("test", 24)[7]["image"]
    assert large.shape == (24, 24, 1) and large.dtype == np.uint8
    expected = Image.fromarray(small[..., 0]).resize((24, 24), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(large[..., 0], np.asarray(expected))
    with pytest.raises(BadInput, match=r"image_size=7 .* --config.data.image_size=8 or more"):
        sources.digits("test", 7)


def test_folder_labels_by_train_and_pixels_as_stored(tmp_path):
    files = [
        save(tmp_path / "train" / name, seed=i) for i, name in enumerate(["b/1.png", "a/2.PNG"])
    ]
    tested = save(tmp_path / "val/b/3.bmp", seed=2)
    save(tmp_path / "train/.cache/4.png")
    save(tmp_path / "train/a/._2.png")
    (tmp_path / "train/a/notes.txt").write_text("not an image")
    train, test = sources.folder(tmp_path, "train"), sources.folder(str(tmp_path), "test")
    assert train.class_names == test.class_names == ("a", "b")
    assert train.labels.tolist() == [0, 1] and train.labels.dtype == np.int32
    assert test.labels.tolist() == [1]
    for record, file in zip([*train, *test], [files[1], files[0], tested], strict=True):
        with Image.open(file) as image:
            np.testing.assert_array_equal(record["image"], np.asarray(image))


def test_folder_without_train_numbers_its_own_classes(tmp_path):
    save(tmp_path / "validation/b/1.png")
    save(tmp_path / "validation/c/1.png")
    source = sources.folder(tmp_path, "test")
    assert source.class_names == ("b", "c") and source.labels.tolist() == [0, 1]


def test_folder_has_one_channel_only_if_all_are_grey(tmp_path):
    grey = save(tmp_path / "train/a/1.png", "L")
    assert sources.folder(tmp_path, "train")[0]["image"].shape == (4, 6, 1)
    save(tmp_path / "train/a/2.png", "RGB")
    image = sources.folder(tmp_path, "train")[0]["image"]
    with Image.open(grey) as stored:
        np.testing.assert_array_equal(image, np.repeat(np.asarray(stored)[..., None], 3, axis=2))


@pytest.mark.parametrize(
    "mode, name",
    [
        ("RGBA", "x.png"),
        ("LA", "x.png"),
        ("P", "x.png"),
        ("1", "x.png"),
        ("I;16", "x.png"),
        ("CMYK", "x.jpg"),
        ("F", "x.tiff"),
    ],
)
def test_folder_refuses_other_modes(tmp_path, mode, name):
    save(tmp_path / "train/a/0.png")
    save(tmp_path / "train/a" / name, mode)
    with pytest.raises(BadInput, match=f"{name}: its mode is {mode}; convert it to RGB"):
        sources.folder(tmp_path, "train")


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.ppm", "x.tif"])
@pytest.mark.parametrize("content", [b"", b"P6 no image at all"])
def test_folder_refuses_an_unreadable_file(tmp_path, name, content):
    file = save(tmp_path / "train/a" / name)
    file.write_bytes(content)
    with pytest.raises(BadInput, match=f"{name}: not a readable image .* replace or remove it"):
        sources.folder(tmp_path, "train")


def test_folder_names_the_file_that_fails_to_decode(tmp_path):
    file = save(tmp_path / "train/a/cut.jpg", size=(64, 64))
    file.write_bytes(file.read_bytes()[:-2000])
    source = sources.folder(tmp_path, "train")
    with pytest.raises(BadInput, match=r"cut.jpg: cannot be decoded .* replace or remove it"):
        source[0]


def test_folder_refuses_a_tree_that_is_not_one(tmp_path):
    with pytest.raises(BadInput, match="nowhere' is no folder"):
        sources.folder(tmp_path / "nowhere", "train")
    with pytest.raises(BadInput, match=r"'' is no folder; set --config.data.path"):
        sources.folder("", "train")
    with pytest.raises(BadInput, match="no test split; make a folder test or val or validation"):
        sources.folder(tmp_path, "test")
    (tmp_path / "train").mkdir()
    with pytest.raises(BadInput, match="train: no images"):
        sources.folder(tmp_path, "train")
    save(tmp_path / "train/a/1.png")
    (tmp_path / "train/b").mkdir()
    with pytest.raises(BadInput, match="b: a class without images"):
        sources.folder(tmp_path, "train")
    save(tmp_path / "test/zebra/1.png")
    with pytest.raises(BadInput, match=r"zebra: no such class in train \(a, b\)"):
        sources.folder(tmp_path, "test")


@pytest.mark.skipif(not CIFAR.exists(), reason="needs ../shared/data/cifar10_test.tar.gz")
def test_folder_reads_cifar10(tmp_path):
    with tarfile.open(CIFAR) as tar:
        members = [tar.next() for _ in range(400)]
        chosen = [member for member in members if member.isfile()][::40]
        tar.extractall(tmp_path, chosen, filter="data")
    source = sources.folder(tmp_path, "test")
    assert len(source) == len(chosen) == 10
    files = sorted(tmp_path / member.name for member in chosen)
    for record, file in zip(source, files, strict=True):
        assert source.class_names[record["label"]] == file.parent.name
        with Image.open(file) as image:
            np.testing.assert_array_equal(record["image"], np.asarray(image))


def test_create_follows_the_config(tmp_path):
    config = SimpleNamespace(name="digits", path="", image_size=9)
    assert sources.create(config, "test")[0]["image"].shape == (9, 9, 1)
    save(tmp_path / "train/a/1.png")
    config = SimpleNamespace(name="folder", path=str(tmp_path), image_size=9)
    assert sources.create(config, "train").class_names == ("a",)
    with pytest.raises(BadInput, match=r"'dig'; choose from \['digits', 'folder'\]"):
        sources.create(SimpleNamespace(name="dig"), "train")
    with pytest.raises(BadInput, match=r"'val'; choose from \['test', 'train'\]"):
        sources.create(config, "val")


def test_check_classes_names_the_flag():
    source = sources.digits("test", 8)
    sources.check_classes(source, 10)
    for classes in (9, 11):
        message = (
            rf"digits/test has 10 classes and the model {classes}; .*--config.model.classes=10"
        )
        with pytest.raises(BadInput, match=message):
            sources.check_classes(source, classes)
    source = sources.Source("raw", lambda i: None, np.array([0, 4], np.int32), ("a", "b"))
    with pytest.raises(BadInput, match="raw has 5 classes and the model 2"):
        sources.check_classes(source, 2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("make", [outside.photographs, outside.patterns])
def test_outside_images_are_images_and_follow_the_seed(make, channels):
    images = make(8, 16, channels, 0)
    assert images.shape == (8, 16, 16, channels) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    assert np.ptp(images, axis=(1, 2)).min() > 0.03
    np.testing.assert_array_equal(images[:3], make(3, 16, channels, 0))
    distinct = np.concatenate([images, make(8, 16, channels, 1)])
    assert len({image.tobytes() for image in distinct}) == 16


def test_photographs_are_crops_of_the_photographs():
    photo = load_sample_images().images[0]
    height = photo.shape[0]
    image = np.rint(outside.photographs(1, height, 3, 5)[0] * 255)
    lefts = range(photo.shape[1] - height + 1)
    assert sum(np.array_equal(image, photo[:, left : left + height]) for left in lefts) == 1


def test_patterns_come_in_turn():
    # Between its two colours a checkerboard and an ellipse have nothing, a grating and a field do.
    images = outside.patterns(8, 32, 1, 0)
    assert [len(np.unique(image)) == 2 for image in images] == [False, True, True, False] * 2
