"""Manipulation: the scores of a pair of image and unit, and the command."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from commands import networks, works
from rrjax.core.pgd import SearchResult
from rrjax.study import manipulation


def test_the_scores_of_one_that_stopped_at_once_and_one_that_did_not():
    upper = np.zeros((12, 12, 1), np.float32)
    upper[:6] = 1
    before, images = np.stack([upper, upper]), np.stack([upper, 1 - upper])
    result = SearchResult(images, None, np.array([0, 5]), None)
    after = np.array([[0.0, 2.0, 1.0], [3.0, 1.0, 0.0]])
    config = ConfigDict({"steps": 5, "threshold": 1.5})
    scores = manipulation._scores(result, before, np.array([1, 1]), after, "largest", config)
    assert scores["stopped"].tolist() == [True, False]
    assert scores["unit_is_largest"].tolist() == [True, False]
    assert scores["steps"].tolist() == [0, 5]
    # All of the 144 pixels of the second differ by 1.
    np.testing.assert_allclose(scores["l2_distance"], [0, 12])
    np.testing.assert_allclose(scores["correlation_with_image"], [1, -1], rtol=1e-6)


@pytest.mark.parametrize(("stop", "threshold"), [("largest", 9.0), ("threshold", 2.0)])
def test_one_that_is_enough_at_its_last_step_has_stopped(stop, threshold):
    images = np.zeros((2, 12, 12, 1), np.float32)
    result = SearchResult(images, None, np.array([5, 5]), None)
    after = np.array([[0.0, 2.0, 1.0], [3.0, 1.0, 0.0]])
    config = ConfigDict({"steps": 5, "threshold": threshold})
    scores = manipulation._scores(result, images, np.array([1, 1]), after, stop, config)
    assert scores["stopped"].tolist() == [True, False]


def test_the_interval_is_over_units_and_images_both():
    """What two units differ in alone is not known from four images of each."""
    scores = {"steps": np.array([1, 1, 1, 1, 5, 5, 5, 5])}
    summary = manipulation._summarized(scores, 2)["steps"]
    assert summary == {"mean": 3, "low": 1, "high": 5, "n": 8, "interval": "range"}


@pytest.mark.slow
def test_the_command(trained, tmp_path, every_claim_of):
    small = ["--config.n=3", "--config.steps=2", "--config.units=2", "--config.batch_size=4"]
    small += ["--config.first_units=(5,)", "--config.first_images=('3',)"]
    command = ["study", "--config=manipulation:paper", f"--workdir={tmp_path}"]
    shown = works(*command, *networks(trained), *small).stdout
    rows = json.loads((tmp_path / "results.json").read_text())["manipulation"]["rows"]
    every_claim_of("manipulation", rows)
    assert [(row["network"], row["stop"]) for row in rows] == [
        (name, stop) for name in ("standard", "robust") for stop in ("largest", "threshold")
    ]
    assert all(row["steps"]["n"] == 2 * 3 for row in rows)  # units, images
    assert all(row["units"][0] == 5 for row in rows)
    assert "| robust " in shown
    page = (tmp_path / "report.html").read_text()
    pictures = sorted((tmp_path / "figures").glob("manipulation_*.png"))
    assert len(pictures) == 4
    for picture in pictures:
        assert f'data-file="{picture.name}"' in page
        assert np.asarray(Image.open(picture)).std() > 1
