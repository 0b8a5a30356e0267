"""Scores equal outside implementations; intervals hold what they should."""

from functools import partial

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import roc_auc_score

from rrjax import BadInput
from rrjax.evaluate import metrics

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 3])
def test_similarity_equals_numpy_and_scikit_image(channels):
    targets = RNG.random((4, 24, 20, channels)).astype(np.float32)
    images = np.clip(targets + 0.2 * RNG.standard_normal(targets.shape), 0, 1).astype(np.float32)
    scores = metrics.image_similarity(images, targets)
    for i, (image, target) in enumerate(zip(images, targets, strict=True)):
        correlation = np.corrcoef(image.ravel(), target.ravel())[0, 1]
        psnr = peak_signal_noise_ratio(target, image, data_range=1.0)
        ssim, per_pixel = structural_similarity(
            target,
            image,
            data_range=1.0,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        # dm-pix averages where the window of 11 lies inside the image; scikit-image pads.
        ssim = per_pixel[5:-5, 5:-5].mean()
        np.testing.assert_allclose(scores["correlation"][i], correlation, rtol=1e-4)
        np.testing.assert_allclose(scores["psnr"][i], psnr, rtol=1e-4)
        np.testing.assert_allclose(scores["ssim"][i], ssim, rtol=1e-3, atol=1e-4)


def test_an_image_is_like_itself_and_unlike_its_negative():
    image = RNG.random((1, 16, 16, 1)).astype(np.float32)
    np.testing.assert_allclose(metrics.image_similarity(image, image)["correlation"], 1, rtol=1e-5)
    np.testing.assert_allclose(
        metrics.image_similarity(1 - image, image)["correlation"], -1, rtol=1e-5
    )


def test_constants_correlate_with_nothing():
    images = np.full((1, 16, 16, 1), 0.3, np.float32)
    assert metrics.image_similarity(images, images)["correlation"] == 0
    rows = np.array([[1.0, 1, 1], [1, 2, 3], [3, 2, 1]])
    np.testing.assert_allclose(metrics.correlations(rows), [[0, 0, 0], [0, 1, -1], [0, -1, 1]])


def test_what_cannot_be_scored_is_named():
    with pytest.raises(BadInput, match="SSIM needs at least 11"):
        metrics.image_similarity(np.ones((1, 8, 8, 1)), np.ones((1, 8, 8, 1)))
    with pytest.raises(BadInput, match="at least 2 examples"):
        metrics.summarize([0.5])


def auroc(scores, anomalous):
    return metrics.summarize_area(metrics.area_values(scores, anomalous))


def covered(summarize, draws, truth):
    """Return the share of draws whose interval holds the truth."""
    summaries = [summarize(values) for values in draws]
    return np.mean([s["low"] <= truth <= s["high"] for s in summaries])


@pytest.mark.parametrize("n", [4, 5, 30])
def test_summary_of_equal_values_is_a_point(n):
    summary = metrics.summarize(np.full(n, 0.25))
    interval = {4: "range", 5: "t", 30: "bootstrap"}[n]
    assert summary == {"mean": 0.25, "low": 0.25, "high": 0.25, "n": n, "interval": interval}


def test_of_fewer_than_five_values_the_least_and_the_greatest_are_given():
    summary = metrics.summarize([3.0, 1.0, 2.0])
    assert summary == {"mean": 2, "low": 1, "high": 3, "n": 3, "interval": "range"}


def test_a_t_interval_by_hand():
    """Mean 3, standard error sqrt(2.5 / 5), and 2.776 of them with 4 degrees of freedom."""
    summary = metrics.summarize([1, 2, 3, 4, 5])
    assert summary["interval"] == "t"
    reach = 2.7764 * np.sqrt(0.5)
    assert [summary["low"], summary["high"]] == pytest.approx([3 - reach, 3 + reach], abs=1e-3)


def test_truth_values_have_a_binomial_interval():
    """Wilson's of 10 in 10: down to 1 / (1 + 1.96^2 / 10), where a bootstrap has no width."""
    summary = metrics.summarize(np.ones(10, bool))
    assert summary["interval"] == "binomial" and summary["high"] == 1
    assert summary["low"] == pytest.approx(1 / (1 + 1.96**2 / 10), abs=1e-3)


@pytest.mark.parametrize("n", [5, 8, 20, 40, 100])
@pytest.mark.parametrize("kind", ["normal", "exponential", "binomial"])
def test_the_interval_covers_the_mean_nineteen_times_in_twenty(kind, n):
    rng = np.random.default_rng(1)
    draws, truth = {
        "normal": (rng.standard_normal((400, n)), 0),
        "exponential": (rng.exponential(size=(400, n)), 1),
        "binomial": (rng.random((400, n)) < 0.8, 0.8),
    }[kind]
    least = 0.84 if kind == "exponential" and n < 30 else 0.91  # skewed, few: t is too narrow
    assert least <= covered(metrics.summarize, draws, truth) <= 0.99


@pytest.mark.parametrize("shape", [(5, 5), (8, 8), (10, 32)])
@pytest.mark.parametrize("scales", [(1, 1, 1), (1, 0, 1), (0, 0, 1), (1, 0.2, 0.5)])
def test_the_two_way_interval_covers_the_mean(shape, scales):
    """Units by images: each has an effect of its own. As independent pairs 20 to 70 % cover."""
    rng = np.random.default_rng(2)
    of_row, of_column, of_cell = scales
    draws = [
        of_row * rng.standard_normal((shape[0], 1))
        + of_column * rng.standard_normal((1, shape[1]))
        + of_cell * rng.standard_normal(shape)
        for _ in range(400)
    ]
    assert 0.90 <= covered(metrics.summarize_crossed, draws, 0) <= 0.995
    if of_row and of_column == 1:
        assert covered(lambda values: metrics.summarize(values.ravel()), draws[:100], 0) < 0.8


def test_the_interval_of_a_difference_covers_it():
    rng = np.random.default_rng(5)
    draws = list(zip(rng.normal(1, 2, (400, 8)), rng.standard_normal((400, 20)), strict=True))

    def summarize(pair):
        return metrics.difference(*map(metrics.summarize, pair))

    assert 0.91 <= covered(summarize, draws, 1) <= 0.985


def test_a_difference_of_few_has_the_ends_farthest_apart():
    summary = metrics.difference(metrics.summarize([5, 6, 7]), metrics.summarize([1, 2, 3]))
    assert summary == {"mean": 4, "low": 2, "high": 6, "n": 3, "interval": "range"}


def test_the_two_way_interval_of_few_is_the_range_of_the_means():
    summary = metrics.summarize_crossed([[0, 1, 5], [2, 3, 1]])
    assert summary == {"mean": 2, "low": 1, "high": 3, "n": 6, "interval": "range"}
    assert metrics.summarize_crossed(np.ones((5, 6)))["low"] == 1


@pytest.mark.parametrize("n", [5, 10, 40])
def test_the_interval_of_pairs_covers_the_mean(n):
    """Vectors about a common one: of their n rows of products, as if independent, 60 % cover."""
    rng = np.random.default_rng(3)
    vectors = 0.5 + rng.standard_normal((300, n, 8))
    products = np.einsum("rid,rjd->rij", vectors, vectors)
    truth = 8 * 0.25
    assert 0.90 <= covered(metrics.summarize_pairs, products, truth) <= 0.99
    rows = (products.sum(2) - np.einsum("rii->ri", products)) / (n - 1)
    assert covered(metrics.summarize, rows, truth) < 0.8


def test_pairs_are_averaged_without_the_diagonal():
    matrix = np.array([[9, 1, 2], [1, 9, 6], [2, 6, 9]])
    summary = metrics.summarize_pairs(matrix)  # the rows' own means are 1.5, 3.5 and 4
    assert (summary["mean"], summary["low"], summary["high"]) == (3, 1.5, 4)
    assert summary["n"] == 3 and summary["interval"] == "range"
    with pytest.raises(BadInput, match="at least 2 examples"):
        metrics.summarize_pairs([[1]])


@pytest.mark.parametrize(
    ("scores", "anomalous", "area"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1),
        ([1, 2, 3, 4], [1, 1, 0, 0], 0),
        ([1, 2, 3, 4], [0, 1, 0, 1], 0.75),
        ([5, 5, 5, 5, 5], [0, 1, 0, 1, 1], 0.5),
        ([1, 1, 0, 1], [0, 1, 0, 1], 0.75),
    ],
)
def test_the_area_under_the_roc_curve_by_hand(scores, anomalous, area):
    actual = auroc(scores, anomalous)
    assert actual["mean"] == area and actual["n"] == len(scores)
    assert actual["low"] <= area <= actual["high"]


def test_the_area_is_scikit_learn_s_and_its_interval_covers_the_truth():
    rng = np.random.default_rng(2)
    anomalous = np.arange(60) < 25
    # Means apart by the square root of 2: the truth is the normal distribution's at 1.
    draws = rng.standard_normal((300, 60)) + np.sqrt(2) * anomalous
    for scores in draws[:10].round(1):
        area = auroc(scores, anomalous)["mean"]
        assert area == pytest.approx(roc_auc_score(anomalous, scores))
    summarize = partial(auroc, anomalous=anomalous)
    assert 0.88 <= covered(summarize, draws, 0.8413) <= 0.985


def test_the_interval_of_a_mean_of_areas_covers_it():
    """Three detectors of one set of examples, whose errors are the examples' in part."""
    rng = np.random.default_rng(4)
    classes = np.arange(60) % 3

    def values(noise):
        scores = [noise[0] + noise[1 + c] + 2 * (classes != c) for c in range(3)]
        areas = [metrics.area_values(s, classes != c) for c, s in enumerate(scores)]
        return np.mean(areas, axis=0)

    # Two normals of variance 2 that are 2 apart: the truth is the normal distribution's at 1.
    draws = [values(noise) for noise in rng.standard_normal((300, 4, 60))]
    assert 0.90 <= covered(metrics.summarize_area, draws, 0.8413) <= 0.99


def test_an_area_of_one_kind_is_refused():
    with pytest.raises(BadInput, match="1 of 5 examples are anomalous"):
        auroc(np.arange(5), np.arange(5) < 1)
