"""Sources: what is read is what is stored, and what cannot be read is refused by name."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from rrjax import BadInput, data
from rrjax.data import outside, sources


def test_arrays_gives_back_what_it_was_given():
    images = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    source = sources.arrays(images, [1, 0], ["cat", "dog"], "pets")
    assert len(source) == 2 and source.name == "pets" and source.class_names == ("cat", "dog")
    np.testing.assert_array_equal(source[1]["image"], images[1])
    assert source[0]["label"] == 1 and source[0]["label"].dtype == np.int32
    assert [record["label"] for record in source] == [1, 0]


def test_arrays_rounds_floats_and_gives_gray_a_channel():
    source = sources.arrays(np.array([[[0.0, 0.4], [0.5, 1.0]]]), [0], ["a"], "gray")
    expected = np.array([[[0], [102]], [[128], [255]]], np.uint8)
    np.testing.assert_array_equal(source[0]["image"], expected)
    assert source[0]["image"].dtype == np.uint8


GRAY = np.zeros((2, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.stack([GRAY[0], GRAY[0] + 1.5]), [0, 1], "pets: image 1 holds 1.5; scale floats"),
        (np.stack([GRAY[0] - 0.25, GRAY[0]]), [0, 1], "pets: image 0 holds -0.25"),
        (np.stack([GRAY[0], GRAY[0] + np.nan]), [0, 1], "pets: image 1 holds nan"),
        (GRAY.astype(np.int64), [0, 1], "pets: images are int64; give uint8 or floats"),
        (np.zeros((2, 4, 4, 2), np.uint8), [0, 1], r"pets: .* shape \(2, 4, 4, 2\)"),
        (np.zeros((2, 4), np.uint8), [0, 1], r"pets: .* shape \(2, 4\)"),
        (GRAY, [0, 2], "pets: record 1 has the label 2; .* labels are 0 to 1"),
        (GRAY, [-1, 0], "pets: record 0 has the label -1"),
        (GRAY, [0.0, 1.0], "pets: labels are float64; give integers"),
        (GRAY, [0], r"pets: 2 images and labels of shape \(1,\)"),
        (GRAY[:0], np.zeros(0, int), "pets: 0 images"),
    ],
)
def test_arrays_names_what_is_wrong(images, labels, message):
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


def test_check_classes_names_the_flag():
    source = sources.digits("test", 8)
    advice = "set --config.model.classes={needed}"
    sources.check_classes(source, 10, advice)
    for classes in (9, 11):
        message = (
            rf"digits/test has 10 classes and the model {classes}; .*--config.model.classes=10"
        )
        with pytest.raises(BadInput, match=message):
            sources.check_classes(source, classes, advice)
    source = sources.Source("raw", lambda i: None, np.array([0, 4], np.int32), ("a", "b"))
    with pytest.raises(BadInput, match="raw has 5 classes and the model 2"):
        sources.check_classes(source, 2, advice)


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
    # Between its two colors a checkerboard and an ellipse have nothing, a grating and a field do.
    images = outside.patterns(8, 32, 1, 0)
    assert [len(np.unique(image)) == 2 for image in images] == [False, True, True, False] * 2


def colored():
    """Give 12 one-pixel images of 4 classes: image i is i, its class i % 4."""
    images = np.arange(12, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 1, 1, 3), np.uint8)
    return sources.arrays(images, np.arange(12) % 4, ["red", "green", "blue", "gray"], "colors")


def test_grouped_is_a_view_of_the_groups_in_the_order_of_the_source():
    view = sources.grouped(colored(), [["blue", 0], (1,)], ["mixed", "green"], balanced=False)
    assert view.class_names == ("mixed", "green")
    assert view.labels.tolist() == [0, 1, 0] * 3 and view.labels.dtype == np.int32
    assert [int(record["image"][0, 0, 0]) for record in view] == [0, 1, 2, 4, 5, 6, 8, 9, 10]


def test_balanced_groups_keep_their_lowest_classes():
    view = sources.grouped(colored(), [[3, 0], ["green"]], ["a", "b"], balanced=True)
    assert [int(record["image"][0, 0, 0]) for record in view] == [0, 1, 4, 5, 8, 9]


@pytest.mark.parametrize(
    ("groups", "names", "message"),
    [
        ([[0], [4]], "ab", "colors has no class 4; they are 0 to 3"),
        ([[0], ["pink"]], "ab", "colors has no class 'pink'"),
        ([[0, 1], [1]], "ab", r"class 1 \(green\) is there twice"),
        ([[0], [1]], "a", "has 2 groups .* 1 names"),
        ([[0], []], "ab", r"has 2 groups \[1, 0\]"),
        ((1, 2), "ab", r"data.groups=\(1, 2\): give a list of classes for every group, such as"),
        (151, "ab", r"data.groups=151: give a list"),
        ("ab", "ab", r"data.groups='ab': give a list"),
        (["red", [0]], "ab", r"data.groups=\['red', \[0\]\]: give a list"),
        ([[0], [None]], "ab", r"data.groups: None is no class: give its number or its name"),
        ([[0], [1.0]], "ab", r"data.groups: 1.0 is no class"),
        ([[0], [True]], "ab", r"data.groups: True is no class"),
        ([[0], [[1]]], "ab", r"data.groups: \[1\] is no class"),
        ([[0], [1]], "aa", r"data.group_names=\('a', 'a'\): give every group a name of its own"),
        ([[0], [1]], ["a", ""], r"data.group_names=\('a', ''\): give"),
        ([[0], [1]], ["a", " "], r"data.group_names=\('a', ' '\): give"),
        ([[0], [1]], ["a", 1], r"data.group_names=\('a', 1\): give"),
        ([[0], [1]], ["a", ["b"]], r"data.group_names=\('a', \['b'\]\): give"),
    ],
)
def test_grouped_names_what_is_wrong(groups, names, message):
    with pytest.raises(BadInput, match=message) as error:
        sources.grouped(colored(), groups, tuple(names), balanced=False)
    assert "\n" not in str(error.value)


def test_group_names_are_no_text():
    with pytest.raises(BadInput, match=r"data.group_names='ab': give every group a name"):
        sources.grouped(colored(), [[0], [1]], "ab", balanced=False)


def test_group_names_need_groups():
    config = SimpleNamespace(name="digits", image_size=8, groups=(), group_names=("even",))
    with pytest.raises(
        BadInput, match=r"data.group_names=\('even',\) names no groups: set data.gr"
    ):
        data.create_source(config, "test")


def test_classes_are_numbers_of_any_kind():
    view = sources.grouped(colored(), [[np.int64(2)], range(2)], ["a", "b"], balanced=False)
    assert view.labels.tolist() == [1, 1, 0] * 3


def test_a_group_without_records_is_refused():
    some = sources.arrays(np.zeros((1, 1, 1, 3), np.uint8), [0], ["red", "green"], "some")
    with pytest.raises(BadInput, match="some has no record of the group 'b'"):
        sources.grouped(some, [[0], [1]], ["a", "b"], balanced=False)


def test_gray_images_get_the_channels_of_the_model():
    gray = sources.arrays(np.arange(4, dtype=np.uint8).reshape(1, 2, 2), [0], ["a"], "gray")
    np.testing.assert_array_equal(
        sources.with_channels(gray, 3, "")[0]["image"], np.arange(12).reshape(2, 2, 3) // 3
    )
    assert sources.with_channels(gray, 1, "")[0]["image"].shape == (2, 2, 1)
    with pytest.raises(BadInput, match="image 5 has 3 channels, the model takes 1: give others"):
        sources.with_channels(colored(), 1, "give others")[5]


def test_describe_counts_classes():
    assert sources.describe(colored()) == (
        "colors: 12 images of 4 classes (red 3, green 3, blue 3, gray 3)"
    )
    many = sources.arrays(np.zeros((1, 1, 1)), [0], [str(i) for i in range(1000)], "many")
    assert sources.describe(many) == "many: 1 images of 1,000 classes"
