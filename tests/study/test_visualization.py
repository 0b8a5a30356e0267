"""Visualization: agreement of starts and of units, growth, classes; and the command."""

import json

import numpy as np
import pytest
from PIL import Image

from commands import networks, refused, works
from rrjax.study import comparison, visualization

# Two gains of four pixels that do not correlate.
P, Q = np.array([[1, -1, 0, 0], [0, 0, 1, -1]], np.float32) / 4


def test_agreement_of_starts_is_the_mean_correlation_of_their_pairs():
    gained = np.array([[P, P], [Q, P], [P, -P]])  # three starts, two units
    # P and Q, Q and P, P and P; P and P, P and -P twice.
    np.testing.assert_allclose(
        visualization._between_starts(gained), [(0 + 0 + 1) / 3, (1 - 1 - 1) / 3], atol=1e-6
    )


def test_agreement_of_units_is_the_mean_correlation_with_the_others_of_a_start():
    starts = np.zeros((2, 1, 4, 1))
    grown = np.array([[P, Q, P], [P, -P, Q]]).reshape(2, 3, 1, 4, 1)  # two starts, three units
    first = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    second = np.array([[1, -1, 0], [-1, 1, 0], [0, 0, 1]])
    matrix = visualization._between_units(starts, grown)
    np.testing.assert_allclose(matrix, (first + second) / 2, atol=1e-6)


def test_the_share_of_starts_of_the_most_frequent_class():
    classes = np.array([[3, 1], [3, 2], [5, 1], [3, 0]])  # four starts, two units
    assert visualization._share_of_one_class(classes).tolist() == [0.75, 0.5]


def test_growth_is_of_the_unit_s_own_value_over_its_largest():
    reached = np.array([[[8.0, 9.0, 9.0], [9.0, 9.0, 3.0]]])  # one start, two units, three of R(x)
    observed = np.array([[2.0, 9.0, 1.0], [4.0, 9.0, 6.0]])
    assert comparison.times_largest(reached, np.array([0, 2]), observed).tolist() == [[2.0, 0.5]]


def test_the_scores_of_a_network_whose_representation_is_the_image():
    starts = np.array([[0.5, 0.5, 0.5, 0.5], [0.25, 0.5, 0.5, 0.75]], np.float32)
    grown = starts[:, None] + np.array([[P, Q], [P, -Q]])
    observed = np.array([[0.5, 0, 0.25, 0], [0.25, 0, 0.5, 0]], np.float32)
    scores = visualization._scores(
        starts.reshape(2, 1, 4, 1),
        np.array([0, 2]),
        grown.reshape(2, 2, 1, 4, 1),
        observed,
        logits=grown,
        reached=grown,
    )
    expected = {
        "agreement_of_starts": [1, -1],  # of what was gained: the starts themselves do not agree
        "times_largest": [(0.75 / 0.5 + 0.5 / 0.5) / 2, (0.75 / 0.5 + 0.25 / 0.5) / 2],
        "starts_of_one_class": [0.5, 0.5],
    }
    assert scores.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(scores[name], values, atol=1e-6, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "stage", "units"), [(":paper", "representation", [3, 5]), ("", "block1", [2, 0])]
)
def test_the_command(settings, stage, units, trained, tmp_path, every_claim_of):
    small = ["--config.n=3", "--config.steps=4", "--config.units=3", "--config.batch_size=4"]
    small += [f"--config.stage={stage}", f"--config.first_units={tuple(units)}"]
    small += ["--config.record=2", "--config.first_images=('7',4)"]
    command = ["study", f"--config=visualization{settings}", f"--workdir={tmp_path}"]
    shown = works(*command, *networks(trained), *small).stdout
    rows = json.loads((tmp_path / "results.json").read_text())["visualization"]["rows"]
    every_claim_of("visualization", rows)
    assert [row["network"] for row in rows] == ["standard", "robust"]
    assert all(row["units"][:2] == units and len(row["units"]) == 3 for row in rows)
    assert "| robust " in shown
    page = (tmp_path / "report.html").read_text()
    names = [f"visualization{way}_{i}.png" for i in range(2) for way in ("", "_way")]
    for picture in names:
        assert f'data-file="{picture}"' in page
        assert np.asarray(Image.open(tmp_path / "figures" / picture)).std() > 1
    message = refused(*command, *networks(trained), *small, "--config.stage=layer1")
    assert "stage='layer1': this network has block1, block2, logits, representation" in message
