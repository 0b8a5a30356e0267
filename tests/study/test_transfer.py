"""Transfer: two classifiers on features with a known answer, and the command."""

import json

import numpy as np
import pytest

from commands import networks, refused, works
from rrjax.study import transfer


def test_both_probes_of_classes_that_lie_in_different_directions():
    features = np.array([[1.0, 0.0], [2.0, 0.1], [3.0, 0.3], [0.0, 1.0], [0.1, 2.0], [0.3, 3.0]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    others = np.array([[9.0, 0.0], [0.1, 8.0], [5.0, 0.25]])
    expected = np.array([0, 1, 1])  # the last one is wrong
    scores, neighbors = transfer._probe((features, labels), (others, expected), 1)
    assert scores["linear_probe"].tolist() == [True, True, False]
    assert scores["nearest_neighbors"].tolist() == [True, True, False]
    # By the angle and not by the distance, which the longest of a class would win.
    assert neighbors.tolist() == [[0], [3], [1]]


def test_k_neighbors_vote():
    features = np.array([[1.0, 0.0], [1.0, 0.2], [1.0, 0.3], [0.0, 1.0]])
    labels = np.array([1, 0, 0, 1])
    other = (np.array([[1.0, 0.05], [0.1, 1.0]]), np.array([1, 1]))
    (alone, _), (three, neighbors) = (transfer._probe((features, labels), other, k) for k in (1, 3))
    assert alone["nearest_neighbors"].tolist() == [True, True]
    assert three["nearest_neighbors"].tolist() == [False, False]
    assert neighbors.tolist() == [[0, 1, 2], [3, 2, 1]]


def test_without_a_network_the_features_are_the_pixels():
    images = np.arange(12.0).reshape(2, 2, 3, 1)
    features = transfer._features(images, None, None)
    assert features.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


@pytest.mark.slow
@pytest.mark.parametrize("other", ["patterns", "digits"])
def test_the_command(other, trained, tmp_path, every_claim_of):
    command = ["study", "--config=transfer", f"--workdir={tmp_path}", *networks(trained)]
    command += [f"--config.other.name={other}", "--config.train_n=60", "--config.test_n=20"]
    works(*command, "--config.shown=2")
    rows = json.loads((tmp_path / "results.json").read_text())["transfer"]["rows"]
    every_claim_of("transfer", rows)
    assert [row["network"] for row in rows] == ["standard", "robust", "pixels"]
    assert rows[2]["dimensions"] == 256
    assert all(row["linear_probe"]["n"] == 20 for row in rows)
    assert len(list((tmp_path / "figures").glob("transfer_*.png"))) == 3
    if other == "patterns":
        message = refused(*command, "--config.neighbors=61")
        assert "neighbors=61, train_n=60: give no more" in message
        works(*command, "--config.pixels=False")
        rows = json.loads((tmp_path / "results.json").read_text())["transfer"]["rows"]
        assert [row["network"] for row in rows] == ["standard", "robust"]
