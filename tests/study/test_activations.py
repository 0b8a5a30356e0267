"""Activations: the images at either end of a unit, the cosine without it; and the command."""

import json

import numpy as np
import pytest
from PIL import Image

from commands import networks, refused, works
from rrjax.study import activations


def test_the_images_at_either_end_are_in_their_order_where_they_tie():
    of_units = np.array([[0.0, 5.0], [3.0, 1.0], [0.0, 5.0], [7.0, 2.0], [0.0, 0.0]])
    most, least = activations._extremes(of_units, 2)
    assert most.tolist() == [[3, 1], [0, 2]]
    assert least.tolist() == [[0, 2], [4, 1]]
    assert activations._ties_for_least(of_units).tolist() == [3, 1]


def test_the_cosine_is_a_mean_and_leaves_out_the_unit():
    reached = np.array([[3.0, 4.0, 100.0], [100.0, 0.0, 2.0]])
    of_first = [[6.0, 8.0, 0.0], [4.0, -3.0, 7.0]]  # along (3, 4), and at a right angle
    of_second = [[-5.0, 0.0, -1.0], [9.0, 3.0, 4.0]]  # against (0, 2); (0, 2) (3, 4) / (2 * 5)
    cosines = activations._cosines(reached, np.array([of_first, of_second]), np.array([2, 0]))
    np.testing.assert_allclose(cosines, [(1 + 0) / 2, (-1 + 0.8) / 2], rtol=1e-12)


def test_the_cosine_with_a_representation_of_zeros_is_zero():
    reached, others = np.array([[1.0, 0.0, 0.0]]), np.ones((1, 2, 3))
    assert activations._cosines(reached, others, np.array([0])) == 0


@pytest.mark.slow
def test_the_command_over_the_whole_test_set(trained, tmp_path, every_claim_of):
    small = ["--config.steps=2", "--config.units=2", "--config.batch_size=64"]
    command = ["study", "--config=activations:paper", f"--workdir={tmp_path}"]
    command += [*networks(trained), *small]
    shown = works(*command, "--config.first_units=(4,)").stdout
    section = json.loads((tmp_path / "results.json").read_text())["activations"]
    rows = section["rows"]
    every_claim_of("activations", rows)
    assert [row["network"] for row in rows] == ["standard", "robust"]
    assert all(len(row["units"]) == row["cosine_with_most"]["n"] == 2 for row in rows)
    assert all(row["units"][0] == 4 for row in rows)
    assert "| robust " in shown
    page = (tmp_path / "report.html").read_text()
    assert "360 test images" in page  # all there are
    for picture in ("activations_0.png", "activations_1.png"):
        assert f'data-file="{picture}"' in page
        assert np.asarray(Image.open(tmp_path / "figures" / picture)).std() > 1
    assert "n=3: give n of at least 4" in refused(*command, "--config.shown=2", "--config.n=3")
