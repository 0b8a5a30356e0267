"""Regularized visualization: roughness, agreement; the command, and the claim that reads it."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from commands import networks, refused, works
from rrjax.study import regularized

STRIPES = np.array([[0.0, 1.0], [0.0, 1.0]])  # down 0, along 1
SLOPE = np.array([[0.0, 0.5], [0.25, 0.75]])  # down 1/4, along 1/2


def test_roughness_is_the_mean_difference_of_neighbors_down_and_along():
    images = np.stack([STRIPES, SLOPE, np.full((2, 2), 0.5)])[..., None]
    assert regularized._roughness(images).tolist() == [0.5, 0.375, 0.0]
    # Every border between two pixels counts once: a 3 by 2 image has 3 along and 4 down.
    tall = np.array([[0.0, 0.3], [0.0, 0.0], [0.8, 0.0]])
    expected = ((0.3 + 0.8) / 4 + (0.3 + 0.8) / 3) / 2
    np.testing.assert_allclose(regularized._roughness(tall[..., None]), expected)


def test_the_scores_of_a_network_whose_representation_is_the_image():
    apply = jax.tree_util.Partial(lambda image: (image.ravel(), {"representation": image.ravel()}))
    # Two starts, two units: STRIPES from both starts; SLOPE, and the opposite of it.
    grown = np.stack([[STRIPES, SLOPE], [STRIPES, 1 - SLOPE]])[..., None]
    images = np.stack([STRIPES, 0 * STRIPES])[..., None]  # of roughness 0.5 and 0
    observed = np.array([[0.5, 0.25, 0.1, 0.0], [0.5, 0.5, 0.1, 0.0]])
    network, config = SimpleNamespace(apply=apply), ConfigDict({"batch_size": 2})
    scores = regularized._scores(network, np.array([1, 1]), grown, images, observed, config)
    np.testing.assert_allclose(scores["agreement_of_starts"], [1, -1], atol=1e-12)
    np.testing.assert_allclose(scores["roughness"], [0.5 / 0.25, 0.375 / 0.25])
    np.testing.assert_allclose(scores["times_largest"], [1 / 0.5, 0.5 / 0.5])


@pytest.mark.slow
def test_the_command(trained, tmp_path, every_claim_of):
    arguments = [*networks(trained), "--config.units=2", "--config.steps=2"]
    arguments += ["--config.regularized_steps=2", f"--workdir={tmp_path}"]
    works("study", "--config=regularized:paper", *arguments, "--config.first_units=(3,)")
    rows = json.loads((tmp_path / "results.json").read_text())["regularized"]["rows"]
    every_claim_of("regularized", rows)
    assert all(row["units"][0] == 3 for row in rows)
    arms = [(network, m) for network in ("standard", "robust") for m in ("plain", "regularized")]
    assert [(row["network"], row["method"]) for row in rows] == arms
    # Where the spectrum falls as images' do, neighboring pixels differ less than noise's.
    assert rows[1]["roughness"]["mean"] < rows[0]["roughness"]["mean"]
    assert np.asarray(Image.open(tmp_path / "figures/regularized.png")).std() > 1
    works("study", "--config=claims", f"--workdir={tmp_path}")
    rows = json.loads((tmp_path / "results.json").read_text())["claims"]["rows"]
    assert [row["study"] for row in rows if row["of"]] == ["regularized"]
    message = refused("study", "--config=regularized", *arguments, "--config.learning_rate=0.0")
    assert "learning_rate=0.0: give one above 0" in message
