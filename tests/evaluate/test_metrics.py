"""Scores equal outside implementations; intervals hold what they should."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import roc_auc_score

from rrjax.errors import BadInput
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


def test_what_cannot_be_scored_is_named():
    with pytest.raises(BadInput, match="SSIM needs at least 11"):
        metrics.image_similarity(np.ones((1, 8, 8, 1)), np.ones((1, 8, 8, 1)))
    with pytest.raises(BadInput, match="at least 2 examples"):
        metrics.summarize([0.5])


def test_summary_of_equal_values_is_a_point():
    assert metrics.summarize(np.full(5, 0.25)) == {"mean": 0.25, "low": 0.25, "high": 0.25, "n": 5}


def test_the_interval_covers_the_mean_nineteen_times_in_twenty():
    draws = np.random.default_rng(1).exponential(size=(200, 100))
    summaries = [metrics.summarize(values) for values in draws]
    covered = np.mean([s["low"] <= 1.0 <= s["high"] for s in summaries])
    assert 0.88 <= covered <= 0.99


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
    actual = metrics.auroc(scores, anomalous)
    assert actual["mean"] == area and actual["n"] == len(scores)
    assert actual["low"] <= area <= actual["high"]


def test_the_area_is_scikit_learn_s_and_its_interval_covers_the_truth():
    rng = np.random.default_rng(2)
    anomalous = np.arange(60) < 25
    # Means apart by the square root of 2: the truth is the normal distribution's at 1.
    truth = 0.8413
    covered = []
    for _ in range(40):
        scores = rng.standard_normal(60) + np.sqrt(2) * anomalous
        rounded = metrics.auroc(scores.round(1), anomalous)
        assert rounded["mean"] == pytest.approx(roc_auc_score(anomalous, scores.round(1)))
        actual = metrics.auroc(scores, anomalous)
        covered.append(actual["low"] <= truth <= actual["high"])
    assert np.mean(covered) > 0.8


def test_an_area_of_one_kind_is_refused():
    with pytest.raises(BadInput, match="1 of 5 examples are anomalous"):
        metrics.auroc(np.arange(5), np.arange(5) < 1)
