"""Transforms: torchvision's pixels, Pillow's colors, the distributions they are drawn from."""

import hashlib
import itertools
import json
import math
from collections import Counter
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy import stats

from paths import GOLDEN, SHARED
from rrjax import BadInput
from rrjax.data import augment, decode, transforms

REFERENCE = json.loads((GOLDEN / "transforms.json").read_text())
PHOTOGRAPHS = SHARED / "imagenet_samples"
SQUARE = np.array([[[1], [2]], [[3], [4]]], np.uint8)
LOG_RATIO = np.log(4 / 3)
ORDERS = list(itertools.permutations(range(3)))
# Of Krizhevsky et al. (2012), as the reference has them.
EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
EIGENVECTORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)


def config(**fields):
    off = {"crop_scale": (), "crop_padding": 0, "flip": False, "jitter": 0.0, "lighting": 0.0}
    return SimpleNamespace(**({"image_size": 2, "resize": 2, "rotation": 0.0} | off | fields))


def flat(image):
    return tuple(image.ravel().tolist())


def sha256(image):
    return hashlib.sha256(image.tobytes()).hexdigest()


def synthetic(height, width, channels):
    """Make the image that golden/make_transforms.py makes, too."""
    y, x, c = np.indices((height, width, channels))
    return ((y * y + 7 * x * y + 13 * x + 59 * c) % 256).astype(np.uint8)


def random_image(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def assert_uniform(sample, low, high):
    """Kolmogorov-Smirnov; the seeds are fixed, so a test passes always or never."""
    sample = np.asarray(sample)
    assert low <= sample.min() and sample.max() <= high
    assert stats.kstest(sample, "uniform", (low, high - low)).pvalue > 0.01


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="no photographs in ../shared/data")
def test_photographs_are_evaluated_on_torchvisions_pixels():
    transform = transforms.eval_transform(config(image_size=224, resize=256))
    result = {}
    for name in REFERENCE["photographs"]:
        image = decode.decode((PHOTOGRAPHS / name).read_bytes(), name)
        result[name] = sha256(transform({"image": image})["image"])
    assert result == REFERENCE["photographs"]


@pytest.mark.parametrize("case", REFERENCE["resizes"])
def test_resize_center_crop_is_torchvisions(case):
    height, width, channels, resize, size = map(int, case.split())
    result = transforms.resize_center_crop(synthetic(height, width, channels), resize, size)
    assert result.shape == (size, size, channels)
    assert sha256(result) == REFERENCE["resizes"][case]


class Played:
    """A generator that draws the numbers given to torch in golden/make_transforms.py."""

    def __init__(self, seed):
        self.numbers = ((seed / 7 + 0.618033988749895 * k) % 1 for k in range(1, 100))

    def uniform(self, low, high):
        return low + (high - low) * next(self.numbers)

    def integers(self, high):
        return int(high * next(self.numbers))


@pytest.mark.parametrize("case", REFERENCE["crops"])
def test_random_resized_crop_is_torchvisions(case):
    height, width, channels, size, least, most, seed = map(float, case.split())
    image = synthetic(int(height), int(width), int(channels))
    result = transforms.random_resized_crop(image, int(size), (least, most), Played(seed))
    assert sha256(result) == REFERENCE["crops"][case]


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 9),
    st.sampled_from([1, 3]), st.integers(0, 255),
)  # fmt: skip
def test_any_size_becomes_the_asked_one(height, width, size, more, channels, value):
    image = np.full((height, width, channels), value, np.uint8)
    expected = np.full((size, size, channels), value, np.uint8)
    evaluated = transforms.resize_center_crop(image, size + more, size)
    rng = np.random.default_rng(value)
    trained = transforms.random_resized_crop(image, size, (0.08, 1), rng)
    for result in (evaluated, trained):
        assert result.dtype == np.uint8
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_right_size_is_left_alone(channels):
    image = random_image(5, 5, channels)
    np.testing.assert_array_equal(transforms.resize_center_crop(image, 5, 5), image)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(transforms.random_resized_crop(image, 5, (1, 1), rng), image)


def test_the_middle_is_kept_and_rounded_to_even():
    row = np.arange(7, dtype=np.uint8)
    wide = np.stack([row, row + 10])[..., None]
    # 5 pixels too many: 2.5 rounds to 2; with one pixel fewer on the right, 4 are too many.
    for image in (wide, wide[:, :6]):
        result = transforms.resize_center_crop(image, 2, 2)
        np.testing.assert_array_equal(result[..., 0], [[2, 3], [12, 13]])
    tall = wide[:, :5].swapaxes(0, 1)  # 3 too many: 1.5 rounds to 2.
    result = transforms.resize_center_crop(tall, 2, 2)
    np.testing.assert_array_equal(result[..., 0], [[2, 12], [3, 13]])


def test_fine_stripes_shrink_to_gray():
    stripes = np.zeros((32, 32, 1), np.uint8)
    stripes[:, ::2] = 255
    small = transforms.resize_center_crop(stripes, 8, 8)
    assert small.min() > 100 and small.max() < 155


def boxes(height, width, scale, n):
    """Draw n boxes as random_resized_crop does: rows of top, left, height, width."""
    rng = np.random.default_rng(0)
    return np.array([transforms.random_box(height, width, scale, rng) for _ in range(n)])


def test_crops_are_uniform_in_area_log_ratio_and_place():
    side, scale = 20_000, (0.08, 0.74)  # sqrt(0.74 * 4 / 3) < 1: every box fits.
    top, left, height, width = boxes(side, side, scale, 4000).T
    area, log_ratio = height * width / side**2, np.log(width / height)
    assert_uniform(area.clip(*scale), *scale)  # Whole pixels can overstep by one.
    assert_uniform(log_ratio.clip(-LOG_RATIO, LOG_RATIO), -LOG_RATIO, LOG_RATIO)
    places = top / (side - height), left / (side - width)
    for place in places:
        assert_uniform(place, 0, 1)
    correlations = np.corrcoef([area, log_ratio, *places]) - np.eye(4)
    assert np.abs(correlations).max() < 4 / math.sqrt(4000)


def test_crops_that_do_not_fit_are_drawn_again():
    height, width, n = 300, 400, 8000
    rng = np.random.default_rng(1)
    area = height * width * rng.uniform(0.08, 1, 2 * n)
    ratio = np.exp(rng.uniform(-LOG_RATIO, LOG_RATIO, 2 * n))
    drawn = np.rint(np.sqrt([area / ratio, area * ratio]))
    fit = drawn[:, (drawn[0] <= height) & (drawn[1] <= width)]
    result = boxes(height, width, (0.08, 1), n).T[2:]
    for side in (0, 1):
        assert stats.ks_2samp(result[side], fit[side]).pvalue > 0.01
    assert stats.ks_2samp(result[0] * result[1], fit[0] * fit[1]).pvalue > 0.01


def test_crops_reach_every_edge():
    result = boxes(6, 9, (0.3, 0.3), 2000)
    assert (result >= [0, 0, 1, 1]).all()
    assert set(result[:, 0] + result[:, 2]) | set(result[:, 0]) == set(range(7))
    assert set(result[:, 1] + result[:, 3]) | set(result[:, 1]) == set(range(10))


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [
        (10, 1000, (0, 493, 10, 13)),
        (1000, 10, (493, 0, 13, 10)),
        (3, 4, (0, 0, 3, 4)),
        (1, 9, (0, 4, 1, 1)),
    ],
)
def test_where_no_crop_fits_it_is_the_middle(height, width, box):
    class Square:
        def uniform(self, low, high):
            return 0 if low < 0 else high

    assert transforms.random_box(height, width, (1, 1.3), Square()) == box


def test_random_crop_is_each_shift_equally_often():
    rng = np.random.default_rng(0)
    result = Counter(flat(transforms.random_crop(SQUARE, 1, rng)) for _ in range(1800))
    assert set(result) == {
        (0, 0, 0, 1), (0, 0, 1, 2), (0, 0, 2, 0),
        (0, 1, 0, 3), (1, 2, 3, 4), (2, 0, 4, 0),
        (0, 3, 0, 0), (3, 4, 0, 0), (4, 0, 0, 0),
    }  # fmt: skip
    assert all(140 < count < 260 for count in result.values())


def test_horizontal_flip_is_a_fair_coin():
    rng = np.random.default_rng(0)
    result = Counter(flat(transforms.horizontal_flip(SQUARE, rng)) for _ in range(1000))
    assert set(result) == {(1, 2, 3, 4), (2, 1, 4, 3)}
    assert 430 < result[1, 2, 3, 4] < 570


RECORD = {"image": np.repeat(SQUARE, 2, axis=1), "label": np.int32(7)}
PLAIN = (1, 2, 3, 4)  # its middle
COLORS = {"jitter": 0.25, "lighting": 0.05, "rotation": 2.0}


@pytest.mark.parametrize(
    ("crop_padding", "flip", "outcomes"),
    [(0, False, 1), (0, True, 2), (1, False, 9), (1, True, 18)],
)
def test_train_transform_does_what_the_config_says(crop_padding, flip, outcomes):
    transform = transforms.train_transform(config(crop_padding=crop_padding, flip=flip))
    rng = np.random.default_rng(0)
    records = [transform(RECORD, rng) for _ in range(400)]
    result = {flat(record["image"]) for record in records}
    assert PLAIN in result and len(result) == outcomes
    assert all(r["image"].shape == (2, 2, 1) and r["image"].dtype == np.uint8 for r in records)
    assert all(record["label"] == 7 and record.keys() == RECORD.keys() for record in records)


def test_train_transform_crops_at_random_where_asked():
    image = random_image(6, 9, 3)
    transform = transforms.train_transform(config(image_size=4, resize=5, crop_scale=(0.3, 0.5)))
    result = transform({"image": image}, np.random.default_rng(3))["image"]
    expected = transforms.random_resized_crop(image, 4, (0.3, 0.5), np.random.default_rng(3))
    np.testing.assert_array_equal(result, expected)


def test_test_transform_only_resizes():
    transform = transforms.eval_transform(config(crop_padding=1, flip=True, **COLORS))
    record = transform(RECORD)
    assert flat(record["image"]) == PLAIN and record["label"] == 7
    assert record.keys() == RECORD.keys() and RECORD["image"].shape == (2, 4, 1)


def test_one_change_switched_on_leaves_the_others_as_they_were():
    def draw(**fields):
        transform = transforms.train_transform(config(crop_padding=1, flip=True, **fields))
        return transform(RECORD, np.random.default_rng(5))

    everything, plain = draw(**COLORS), draw()
    named = {"jitter": {"jitter", "order"}, "lighting": {"lighting"}, "rotation": {"angle"}}
    assert everything.keys() - plain.keys() == set(augment.DRAWS)
    for field, names in named.items():
        alone = draw(**{field: COLORS[field]})
        assert alone.keys() - plain.keys() == names
        for key in alone:
            np.testing.assert_array_equal(alone[key], everything[key])
            assert np.asarray(alone[key]).dtype == np.asarray(everything[key]).dtype


@pytest.fixture(scope="module")
def drawn():
    """Draw for 6000 records."""
    rng = np.random.default_rng(0)
    records = [transforms.draw_augmentation(rng, **COLORS) for _ in range(6000)]
    return {name: np.stack([record[name] for record in records]) for name in records[0]}


def test_draws_have_the_types_that_travel(drawn):
    types = {name: (array.dtype.name, array.shape[1:]) for name, array in drawn.items()}
    assert types == {
        "jitter": ("float32", (3,)), "order": ("int32", (3,)),
        "lighting": ("float32", (3,)), "angle": ("float32", ()),
    }  # fmt: skip


def test_jitter_and_angle_are_uniform(drawn):
    for k in range(3):
        assert_uniform(drawn["jitter"][:, k], 0.75, 1.25)
    assert np.abs(np.corrcoef(drawn["jitter"].T) - np.eye(3)).max() < 0.05
    assert_uniform(drawn["angle"], -2, 2)


def test_every_order_is_equally_likely(drawn):
    result = Counter(map(tuple, drawn["order"].tolist()))
    assert set(result) == set(ORDERS)
    assert stats.chisquare(list(result.values())).pvalue > 0.01


def test_lighting_is_normal_along_imagenets_principal_colors(drawn):
    alphas = np.linalg.solve(EIGENVECTORS * EIGENVALUES, drawn["lighting"].T) / 0.05
    for alpha in alphas:
        assert stats.kstest(alpha, "norm").pvalue > 0.01
    assert np.abs(np.cov(alphas) - np.eye(3)).max() < 0.06
    covariance = 0.05**2 * EIGENVECTORS @ np.diag(EIGENVALUES**2) @ EIGENVECTORS.T
    np.testing.assert_allclose(np.cov(drawn["lighting"].T), covariance, rtol=0.06)


def pillow_jitter(image, factors, order):
    """Change a uint8 image with Pillow: (H, W, C) in [0,1], and how far 8 bits may have led it."""
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    pillow, error = Image.fromarray(image.squeeze()), 0
    for change in order:
        f = factors[change]
        pillow = enhancers[change](pillow).enhance(f)
        # Each gray and their mean are rounded, by up to 1 in all; each pixel is then cut down.
        error = f * error + abs(1 - f) * (error + 1) + 1
    return np.asarray(pillow).reshape(image.shape) / 255, error / 255


def neutral(order):
    return {
        "jitter": np.ones(3, np.float32), "order": np.int32(order),
        "angle": np.float32(0), "lighting": np.zeros(3, np.float32),
    }  # fmt: skip


def as_pixels(image):
    return image.astype(np.float32) / 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_jitter_is_pillows(order, channels):
    image = random_image(24, 20, channels)
    image[..., 1:] //= 3  # Reddish: the mean gray is not the mean of the channels.
    for factors in ((1.25, 0.75, 1.2), (0.8, 1.25, 0.75), (1.5, 0.6, 1.8), (0.0, 1.0, 1.0)):
        draws = {"jitter": np.float32(factors), "order": np.int32(order)}
        expected, error = pillow_jitter(image, factors, order)
        result = jax.jit(augment.augment)(as_pixels(image), draws)
        assert np.abs(result - expected).max() <= error + 1e-6
        assert np.abs(result - expected).mean() < 2 / 255


def test_jitter_knows_its_order():
    # Pure red, doubled, cannot grow; halved in saturation first, it can.
    image = np.zeros((1, 1, 3), np.float32)
    image[..., 0] = 1
    factors = np.array([2, 1, 0.5], np.float32)
    gray = 0.299
    first = augment.augment(image, {"jitter": factors, "order": np.int32([0, 1, 2])})
    np.testing.assert_allclose(first[0, 0], [0.5 + gray / 2, gray / 2, gray / 2], atol=1e-6)
    last = augment.augment(image, {"jitter": factors, "order": np.int32([2, 1, 0])})
    np.testing.assert_allclose(last[0, 0], [1, gray, gray], atol=1e-6)


@pytest.mark.parametrize("shape", [(32, 32, 3), (17, 30, 1)])
def test_rotation_chooses_pillows_pixels(shape):
    image = random_image(*shape)
    angles = np.random.default_rng(0).uniform(-2, 2, 60).astype(np.float32)
    angles = np.concatenate([angles, np.float32([0, 30, 45, -110, 180])])
    rotate = jax.jit(jax.vmap(augment.augment, (None, 0)))
    results = rotate(as_pixels(image), {"angle": angles})
    pillow = Image.fromarray(image.squeeze())
    expected = as_pixels(np.stack([pillow.rotate(float(angle)) for angle in angles]))
    differ = np.abs(results - expected.reshape(results.shape)).max(axis=3) > 1e-6
    # Pillow's cosines are float64: a source at the edge of a pixel may fall on the other side.
    # About one pixel in a million does.
    assert differ.sum() <= 2


def test_lighting_shifts_each_channel_and_clips():
    image = np.full((2, 1, 3), 0.5, np.float32)
    result = augment.augment(image, {"lighting": np.float32([0.1, -0.2, 0.6])})
    np.testing.assert_allclose(result, np.broadcast_to([0.6, 0.3, 1], (2, 1, 3)), rtol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_neutral_draws_change_nothing(order):
    image = as_pixels(random_image(33, 32, 3))
    for change in (augment.augment, jax.jit(augment.augment)):
        np.testing.assert_array_equal(change(image, neutral(order)), image)
    np.testing.assert_array_equal(augment.augment(image, {}), image)


def test_a_batch_is_its_images_one_by_one_and_stays_in_the_cube():
    rng = np.random.default_rng(0)
    strong = {"jitter": 1.0, "lighting": 1.0, "rotation": 180.0}
    draws = [transforms.draw_augmentation(rng, **strong) for _ in range(24)]
    images = as_pixels(random_image(24, 16, 16, 3))
    one = jax.jit(augment.augment)
    singly = np.stack([one(image, d) for image, d in zip(images, draws, strict=True)])
    batch = {name: np.stack([d[name] for d in draws]) for name in draws[0]}
    together = jax.jit(jax.vmap(augment.augment))(images, batch)
    assert together.dtype == jnp.float32 and together.shape == images.shape
    assert together.min() >= 0 and together.max() <= 1
    np.testing.assert_allclose(together, singly, atol=2e-6)


IMAGENET = {
    "image_size": 224, "resize": 256, "crop_scale": (0.08, 1.0), "flip": True, "jitter": 0.1,
    "lighting": 0.05,
}  # fmt: skip
CIFAR = {
    "image_size": 32, "resize": 32, "crop_padding": 4, "flip": True, "jitter": 0.25,
    "rotation": 2.0,
}  # fmt: skip


@pytest.mark.parametrize(("fields", "channels"), [(IMAGENET, 3), (CIFAR, 3), (CIFAR, 1), ({}, 1)])
def test_the_papers_configs_are_possible(fields, channels):
    transforms.check(config(**fields), channels)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size": 0}, r"data.image_size=0: give at least 1"),
        ({"resize": 1}, r"data.resize=1: give at least image_size=2"),
        ({"crop_scale": (0.5,)}, r"data.crop_scale=\(0.5,\): give \(\) or two"),
        ({"crop_scale": (0.0, 1.0)}, r"data.crop_scale=\(0.0, 1.0\)"),
        ({"crop_scale": (0.6, 0.5)}, r"data.crop_scale=\(0.6, 0.5\)"),
        ({"crop_scale": (0.5, 1.1)}, r"data.crop_scale=\(0.5, 1.1\)"),
        ({"crop_scale": ("a", "b")}, r"data.crop_scale=\('a', 'b'\): give \(\) or two"),
        ({"crop_scale": (None, 1.0)}, r"data.crop_scale=\(None, 1.0\): give"),
        ({"crop_scale": ((0.1, 0.2), 1.0)}, r"data.crop_scale=\(\(0.1, 0.2\), 1.0\): give"),
        ({"crop_scale": (math.nan, 1.0)}, r"data.crop_scale=\(nan, 1.0\): give"),
        ({"crop_scale": 0.5}, r"data.crop_scale=0.5: give"),
        ({"crop_scale": "ab"}, r"data.crop_scale=ab: give"),
        ({"crop_padding": -1}, r"data.crop_padding=-1: give at least 0"),
        ({"crop_padding": 1, "crop_scale": (0.5, 1.0)}, r"data.crop_padding=1: set it to 0, or"),
        ({"jitter": -0.1}, r"data.jitter=-0.1: give 0 to 1"),
        ({"jitter": 1.1}, r"data.jitter=1.1: give 0 to 1"),
        ({"lighting": -0.1}, r"data.lighting=-0.1: give"),
        ({"lighting": math.nan}, r"data.lighting=nan: give"),
        ({"lighting": 0.05}, r"data.lighting=0.05: set it to 0: .* have 1"),
        ({"rotation": -1.0}, r"data.rotation=-1.0: give 0 to 180"),
    ],
)
def test_impossible_values_are_named(fields, message):
    with pytest.raises(BadInput, match=rf"^{message}.*$"):
        transforms.check(config(**fields), 1)
