"""Noise is the seed's and as strong as it says; an image of any size comes back in its size."""

import jax
import numpy as np
import pytest

from rrjax import runs
from rrjax.evaluate import metrics
from rrjax.study import denoising

RNG = np.random.default_rng(0)


def autoencoder(decode, stride=4):
    """An autoencoder whose features are the means of 4x4 pixels."""

    def encode(image):
        height, width, channels = image.shape
        return image.reshape(height // 4, 4, width // 4, 4, channels).mean((1, 3))

    parts = map(jax.tree_util.Partial, (encode, decode, encode))
    return runs.Autoencoder(None, None, *parts, stride=stride)


def blocks(features):
    return features.repeat(4, 0).repeat(4, 1)


@pytest.mark.parametrize("shape", [(8, 12, 3), (9, 11, 3), (5, 8, 1)])
def test_an_image_of_any_size_is_denoised_with_its_edges_repeated(shape):
    network, image = autoencoder(blocks), RNG.random(shape, np.float32)
    found = denoising.denoise(network, image)
    assert found.shape == shape
    # A pixel of the last row is the mean of its block, in which the last row is repeated.
    last = image[4 * ((shape[0] - 1) // 4) :, :4]
    repeated = np.concatenate([last, *[last[-1:]] * (4 - len(last))])
    np.testing.assert_allclose(found[-1, 0], repeated.mean((0, 1)), rtol=1e-5)


def test_the_noise_is_the_seed_s_of_its_size_and_clipped():
    gray = np.full((64, 64, 3), 0.5, np.float32)
    strong, weak = (denoising.noisy(gray, sigma, 0, 1) - 0.5 for sigma in (50, 10))
    np.testing.assert_allclose(strong.std(), 50 / 255, rtol=0.02)
    inside = abs(strong) < 0.5
    np.testing.assert_allclose(strong[inside], 5 * weak[inside], atol=1e-5)
    assert (denoising.noisy(gray, 50, 0, 2) != denoising.noisy(gray, 50, 0, 1)).any()
    black = denoising.noisy(0 * gray, 50, 0, 1)
    assert black.min() == 0 and (black == 0).mean() == pytest.approx(0.5, abs=0.02)
    # Half of the noise's energy is left where it is clipped: 20 log10(255 / 50) + 10 log10(2).
    psnr = metrics.image_similarity(black[None], 0 * gray[None])["psnr"]
    np.testing.assert_allclose(psnr, 14.15 + 3.01, atol=0.1)
