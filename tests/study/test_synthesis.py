"""Synthesis: what is measured before the steps and after, where patches lie; and the command."""

import json

import numpy as np
import pytest

from commands import networks, refused, works
from rrjax import BadInput
from rrjax.study import synthesis

BLACK = np.zeros((2, 12, 12, 1), np.float32)


def material(patches=None):
    return synthesis.Material(BLACK, None, None, None, None, patches)


def test_the_share_of_the_change_in_the_patch():
    patches = np.zeros((2, 2, 2, 1))
    patches[:, 0, 0] = 1
    change = np.array([[[3, 1], [0, 0]], [[0, 2], [-2, 0]]])[..., None]  # 9 of 10; none of 8
    start = np.full((2, 2, 2, 1), 0.5)
    result = synthesis.Result(start, start + change, None)
    scores = synthesis._scores(synthesis.IN_PATCH, result, material(patches), None)
    assert scores["before"].tolist() == [0.25, 0.25]
    np.testing.assert_allclose(scores["after"], [0.9, 0.0], rtol=1e-9)
    still = synthesis.Result(start, start, None)
    scores = synthesis._scores(synthesis.IN_PATCH, still, material(patches), None)
    assert scores["after"].tolist() == [0, 0]


def test_the_psnr_is_that_with_the_original():
    # A mean square of 1/100 and of 1/10,000, on a peak of 1.
    result = synthesis.Result(BLACK + 0.1, BLACK + 0.01, None)
    scores = synthesis._scores(synthesis.PSNR, result, material(), None)
    np.testing.assert_allclose(scores["before"], [20, 20], rtol=1e-5)
    np.testing.assert_allclose(scores["after"], [40, 40], rtol=1e-5)


def test_the_evaluator_classifies_before_and_after():
    def evaluator(images):
        """Say class 1 for bright images, class 0 for others."""
        mean = images.mean((1, 2, 3))
        return np.stack([0.5 - mean, mean - 0.5], axis=1), {}

    outputs = np.stack([BLACK[0] + 0.9, BLACK[1] + 0.1])
    result = synthesis.Result(BLACK, outputs, np.array([1, 1]))
    scores = synthesis._scores(synthesis.IS_CLASS, result, material(), evaluator)
    assert scores["before"].tolist() == [False, False]
    assert scores["after"].tolist() == [True, False]


def test_a_patch_is_a_square_within_the_image():
    patches = synthesis._patches(50, 8, 3, np.random.default_rng(0))
    assert patches.shape == (50, 8, 8, 1) and set(np.unique(patches)) == {0, 1}
    for patch in patches[..., 0]:
        rows, columns = np.nonzero(patch)
        assert len(rows) == 9 and np.ptp(rows) == np.ptp(columns) == 2
    assert (patches[:, 0].max((1, 2)) == 1).any() and (patches[:, -1].max((1, 2)) == 1).any()


def test_a_class_of_one_image_has_no_gaussian(monkeypatch):
    pool = np.random.default_rng(0).random((3, 12, 12, 1), np.float32)
    monkeypatch.setattr(synthesis.data, "examples", lambda *_: (pool, np.array([0, 0, 1])))
    monkeypatch.setattr(synthesis.data, "create_source", lambda *_: pool)
    trained = synthesis.ConfigDict({"model": {"classes": 2}, "data": {}})
    with pytest.raises(BadInput, match="too few of 3 training images"):
        synthesis._seeds(trained, np.array([0, 1]), 2, np.random.default_rng(0))


@pytest.mark.slow
@pytest.mark.parametrize("settings", ["paper", "cifar10"])
def test_the_command(settings, trained, tmp_path, every_claim_of):
    steps = ("steps", "fill_steps", "coarse_steps", "paint_steps")
    small = ["--config.n=3", *(f"--config.{field}=2" for field in steps)]
    small += ["--config.first_units=(5,)", "--config.patch=6"]
    command = ["study", f"--config=synthesis:{settings}", f"--workdir={tmp_path}"]
    command += [*networks(trained), *small]
    works(*command)
    rows = json.loads((tmp_path / "results.json").read_text())["synthesis"]["rows"]
    every_claim_of("synthesis", rows)
    assert len({row["task"] for row in rows}) == 6 and len(rows) == 12
    assert len(list((tmp_path / "figures").glob("synthesis_*.png"))) == 12
    for row in rows:
        if row["task"] in ("inpainting", "super-resolution"):
            assert row["before"]["mean"] > 5  # dB: a start is near its original
    assert "patch=6: images have 16 pixels" in refused(*command, "--config.grain=3")
    message = refused(*command, "--config.fill_steps=0")
    assert "error: fill_steps=0: give fill_steps of at least 1" in message
