"""Transforms: literal small images, and laws for any size."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rrjax.data import transforms

SQUARE = np.array([[[1], [2]], [[3], [4]]], np.uint8)


def flat(image):
    return tuple(image.ravel().tolist())


def test_random_crop_is_each_shift_equally_often():
    rng = np.random.default_rng(0)
    found = Counter(flat(transforms.random_crop(SQUARE, 1, rng)) for _ in range(1800))
    assert set(found) == {
        (0, 0, 0, 1), (0, 0, 1, 2), (0, 0, 2, 0),
        (0, 1, 0, 3), (1, 2, 3, 4), (2, 0, 4, 0),
        (0, 3, 0, 0), (3, 4, 0, 0), (4, 0, 0, 0),
    }  # fmt: skip
    assert all(140 < count < 260 for count in found.values())


def test_horizontal_flip_is_a_fair_coin():
    rng = np.random.default_rng(0)
    found = Counter(flat(transforms.horizontal_flip(SQUARE, rng)) for _ in range(1000))
    assert set(found) == {(1, 2, 3, 4), (2, 1, 4, 3)}
    assert 430 < found[1, 2, 3, 4] < 570


@pytest.mark.parametrize("channels", [1, 3])
def test_the_right_size_is_left_alone(channels):
    image = np.random.default_rng(0).integers(0, 256, (5, 5, channels), np.uint8)
    np.testing.assert_array_equal(transforms.resize_center_crop(image, 5), image)


def test_the_middle_of_the_longer_side_is_kept():
    row = np.arange(7, dtype=np.uint8)
    wide = np.stack([row, row + 10])[..., None]
    np.testing.assert_array_equal(
        transforms.resize_center_crop(wide, 2)[..., 0], [[2, 3], [12, 13]]
    )
    tall = wide.swapaxes(0, 1)
    np.testing.assert_array_equal(
        transforms.resize_center_crop(tall, 2)[..., 0], [[2, 12], [3, 13]]
    )


def test_a_square_is_resized_as_pillow_does():
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    expected = Image.fromarray(image).resize((8, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(transforms.resize_center_crop(image, 8), np.asarray(expected))


def test_fine_stripes_shrink_to_grey():
    stripes = np.zeros((32, 32, 1), np.uint8)
    stripes[:, ::2] = 255
    small = transforms.resize_center_crop(stripes, 8)
    assert small.min() > 100 and small.max() < 155


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]),
    st.integers(0, 255),
)  # fmt: skip
def test_any_size_becomes_the_asked_one(height, width, size, channels, value):
    image = np.full((height, width, channels), value, np.uint8)
    result = transforms.resize_center_crop(image, size)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, np.full((size, size, channels), value))


def config(crop_padding=0, flip=False):
    return SimpleNamespace(image_size=2, crop_padding=crop_padding, flip=flip)


RECORD = {"image": np.repeat(SQUARE, 2, axis=1), "label": np.int32(7)}
PLAIN = (1, 2, 3, 4)  # its middle


@pytest.mark.parametrize(
    "crop_padding, flip, outcomes", [(0, False, 1), (0, True, 2), (1, False, 9), (1, True, 18)]
)
def test_train_transform_does_what_the_config_says(crop_padding, flip, outcomes):
    transform = transforms.train_transform(config(crop_padding, flip))
    rng = np.random.default_rng(0)
    records = [transform(RECORD, rng) for _ in range(400)]
    found = {flat(record["image"]) for record in records}
    assert PLAIN in found and len(found) == outcomes
    assert all(r["image"].shape == (2, 2, 1) and r["image"].dtype == np.uint8 for r in records)
    assert all(record["label"] == 7 for record in records)


def test_test_transform_only_resizes():
    record = transforms.test_transform(config(crop_padding=1, flip=True))(RECORD)
    assert flat(record["image"]) == PLAIN and record["label"] == 7
    assert RECORD["image"].shape == (2, 4, 1)
