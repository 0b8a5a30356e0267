"""Where gradients point: angles and energies of a network whose gradient is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from commands import refused, works
from rrjax import runs
from rrjax.configs import boundary as config_file
from rrjax.study import boundary

ALONG, ACROSS = np.array([0.6, 0.8], np.float32), np.array([-0.8, 0.6], np.float32)


def two_lines():
    """Points of two classes on parallel lines along ALONG, whose centers lie 0.2 apart ACROSS."""
    steps = np.linspace(-0.1, 0.1, 11, dtype=np.float32)[:, None] * ALONG
    points = np.concatenate([0.5 + side * 0.1 * ACROSS + steps for side in (-1, 1)])
    return points, np.repeat([0, 1], 11).astype(np.int32)


def linear_params(direction):
    """Parameters that make the difference of the two logits a linear function along `direction`."""
    hidden = np.zeros((2, 128), np.float32)
    hidden[:, 0], hidden[:, 1] = direction, -direction
    logits = np.zeros((128, 2), np.float32)
    logits[:2, 1] = 1, -1
    shapes = jax.eval_shape(boundary.NETWORK.init, jax.random.key(0), jnp.zeros(2))["params"]
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    zeros["layers_0"]["kernel"], zeros["layers_2"]["kernel"] = hidden, logits
    return zeros


def test_an_angle_is_between_lines():
    x = jnp.array([2.0, 0.0])
    assert boundary._angle(x, jnp.array([1.0, 1.0])) == pytest.approx(45, abs=1e-3)
    assert boundary._angle(x, jnp.array([-3.0, 0.0])) == 0
    assert boundary._angle(x, jnp.array([0.0, -1.0])) == pytest.approx(90)


def test_directions_are_along_and_across_the_data():
    points, labels = two_lines()
    centers, along, across = boundary._directions(points, labels)
    np.testing.assert_allclose(centers, [0.5 - 0.1 * ACROSS, 0.5 + 0.1 * ACROSS], rtol=1e-5)
    assert abs(along @ ALONG) == pytest.approx(1) and abs(across @ ACROSS) == pytest.approx(1)


def test_the_numbers_of_a_linear_network_are_those_of_its_direction():
    """Its gradient points 60 degrees off the data, 30 off the means, which lie across them."""
    points, labels = two_lines()
    config = config_file.get_config()
    config.update(attack_eps=0.2, steps=3)
    direction = 0.5 * ALONG + np.sqrt(0.75).astype(np.float32) * ACROSS
    measure = jax.jit(partial(boundary._measure, config, points, labels))
    numbers, attacked = measure(linear_params(direction))
    assert numbers["accuracy"] == 1
    assert numbers["energy_along_data"] == pytest.approx(0.25, abs=1e-4)
    assert numbers["angle_to_data"] == pytest.approx(60, abs=0.01)
    assert numbers["angle_to_means"] == pytest.approx(30, abs=0.01)
    # The radius is in [-1,1], where the points lie twice as far apart as in [0,1].
    steps = np.where(labels[:, None] == 1, -0.1, 0.1) * direction
    np.testing.assert_allclose(attacked - points, steps, atol=1e-5)
    assert numbers["distance_from_data"] == pytest.approx(0.2 * np.sqrt(0.75), abs=1e-4)


def test_points_are_of_both_classes_scaled_together():
    config = config_file.get_config()
    config.n = 200
    points, labels = boundary._points(config)
    assert points.min() == 0 and points.max() == 1 and (labels.sum(), len(labels)) == (200, 400)
    assert len(set(labels[:20])) == 2
    first, second = (points[labels == k].mean(0) for k in (0, 1))
    slope = (first - second)[1] / (first - second)[0]
    assert slope == pytest.approx(0.1 / 1.2, abs=0.03)


@pytest.mark.slow
def test_the_gradient_turns_towards_the_data(tmp_path):
    """The paper's claim, at a tenth of its size."""
    command = ["study", "--config=boundary", f"--workdir={tmp_path}", "--config.seeds=(0,1)"]
    small = ["--config.n=1000", "--config.epochs=6", "--config.steps=5"]
    shown = works(*command, *small, "--config.train_eps=(0.0,0.25)").stdout
    standard, robust = runs.read_results(tmp_path)["boundary"]["rows"]
    assert standard["accuracy"]["low"] > 0.95 and robust["accuracy"]["low"] > 0.95
    turned = [row["energy_along_data"] for row in (standard, robust)]
    assert turned[0]["high"] < turned[1]["low"]
    assert np.median(robust["values"]["angle_to_data"]) == pytest.approx(
        robust["angle_to_data"]["median"]
    )
    assert "| energy along the data |" in shown
    assert np.asarray(Image.open(tmp_path / "figures/boundary.png")).std() > 1
    assert "n=0: give n of at least 1" in refused(*command, "--config.n=0")
