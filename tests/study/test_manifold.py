"""Distances from a manifold: their axis, their mode, and what is compared in pairs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import memory
from commands import networks, refused, works
from rrjax import BadInput, runs
from rrjax.core.manifold import Manifold, principal
from rrjax.runs import Frozen
from rrjax.study import manifold
from rrjax.study.comparison import in_saved_parts

CONFIG = ConfigDict({"seed": 0, "batch_size": 2, "where_standard_fails": False})


def attacked(network, distance, energy=(0.5, 0.5, 0.5)):
    return {
        "network": network,
        "loss": "margin",
        "distance": np.array(distance),
        "success": np.array([True, True, False]),
        "gradient_energy": np.array(energy),
        "attack_energy": np.array([0.1, 0.2, 0.3]),
    }


def test_the_axis_has_clean_images_from_0_to_1():
    scaled = manifold._scaled(np.array([2.0, 5.0]), np.array([1.0, 3.0]))
    np.testing.assert_array_equal(scaled, [0.5, 2])


def test_the_mode_is_where_the_density_is_greatest():
    assert manifold._mode(np.array([0.6, 0.7, 0.8])) == pytest.approx(0.7)
    assert manifold._mode(np.array([0.1, 0.11, 0.12, 0.9])) == pytest.approx(0.11, abs=0.02)


def test_a_row_is_compared_in_pairs():
    clean = {"network": "none", "loss": "", "distance": np.array([1.0, 2.0, 4.0])}
    first = attacked("standard", [2.0, 6.0, 8.0])
    second = attacked("robust", [1.0, 5.0, 10.0], (0.2, 0.4, np.nan))
    rows, every = [clean, first, second], np.full(3, True)
    summary = manifold._summary(second, rows, every, CONFIG)
    assert (summary["network"], summary["loss"]) == ("robust", "margin")
    assert summary["over_clean"]["mean"] == pytest.approx((1 + 2.5 + 2.5) / 3)
    assert summary["less_than_first"]["mean"] == pytest.approx(0)  # 1, 1 and -2
    assert summary["over_clean_less"]["mean"] == pytest.approx((1 + 0.5 - 0.5) / 3)
    assert summary["success"]["mean"] == pytest.approx(2 / 3)
    # A gradient of zeros has no direction.
    assert summary["gradient_energy"]["mean"] == pytest.approx(0.3)
    assert summary["gradient_energy"]["n"] == 2
    counted = manifold._summary(second, rows, np.array([True, True, False]), CONFIG)
    assert counted["less_than_first"]["mean"] == 1 and counted["distance"]["n"] == 2
    alone = manifold._summary(clean, rows, every, CONFIG)
    assert alone["over_clean"]["mean"] == 1 and alone["less_than_first"]["mean"] == 0
    assert "success" not in alone


def test_only_where_the_standard_network_fails():
    config = ConfigDict({"where_standard_fails": True})
    moved = np.array([True, False, True, False])
    row = {"network": "robust", "loss": "margin", "standard_moved": moved, "distance": np.ones(4)}
    assert manifold._counted(row, config).tolist() == moved.tolist()
    with pytest.raises(BadInput, match="prediction of 1 images of 4"):
        manifold._counted(row | {"standard_moved": moved & (np.arange(4) < 1)}, config)
    assert manifold._counted(row | {"loss": ""}, config).all()


def test_what_an_attack_does_to_a_part(monkeypatch):
    """The standard network sees what the attack moved; only what is shown is returned as images."""

    def apply(image):  # of the class of a pixel above 1/2
        return jnp.array([0.5, 0]) + image.sum() * jnp.array([0, 1]), {"representation": image[0]}

    standard = Frozen(None, None, None, jax.tree_util.Partial(apply), None)
    images = np.array([0.1, 0.2, 0.9, 0.8], np.float32).reshape(4, 1, 1, 1)
    attacked = np.array([0.7, 0.3, 0.2, 0.6], np.float32).reshape(4, 1, 1, 1)
    monkeypatch.setattr(manifold, "_attacked", lambda *_: attacked)
    identity = jax.tree_util.Partial(jnp.ravel)
    back = jax.tree_util.Partial(lambda code: code.reshape(1, 1, 1))
    config = ConfigDict({"batch_size": 4, "point": "projection", "refine_steps": 1, "seed": 0})
    part = np.arange(6, 10), images, np.array([0, 0, 1, 1])
    learned = Manifold(identity, back, None)
    done = manifold._measured(standard, learned, standard, "margin", config, *part)
    assert done["standard_moved"].tolist() == [True, False, True, False]
    assert done["success"].tolist() == [True, False, True, False]
    np.testing.assert_array_equal(done["attacked"], attacked[:2])  # SHOWN is 8
    np.testing.assert_allclose(done["distance"], 0, atol=1e-6)
    assert "standard_moved" not in manifold._measured(
        standard, learned, None, "margin", config, *part
    )


def test_many_images_are_attacked_with_a_part_of_them_in_memory():
    apply = jax.tree_util.Partial(lambda image: (image[0, 0, :2], {"representation": image[0, 0]}))
    network = Frozen(None, None, None, apply, None)
    learned = principal(jnp.asarray(memory.synthetic(8)[:]), 2)
    options = {"eps": 1.0, "step_size": 0.1, "steps": 1, "point": "projection"}
    config = ConfigDict({"seed": 0, "batch_size": 16, "refine_steps": 1} | options)

    def measured(n):
        stacks = np.arange(n), memory.synthetic(n), np.zeros(n, int)
        part = partial(manifold._measured, network, learned, network, "margin", config)
        done = in_saved_parts(lambda _key, make: make(), "", part, 16, *stacks)
        assert {len(done[name]) for name in ("distance", "attack_energy", "success")} == {n}
        assert {len(done[name]) for name in ("gradient", "attacked", "point")} == {manifold.SHOWN}

    measured(32)  # what is imported and compiled once
    # 128 images more are 6 MiB of pixels, and as much attacked, as gradients and as points.
    assert memory.grows_less(2**20, measured, 32, 160)


def test_heat_is_red_where_brighter_pixels_lessen_the_loss():
    """Channels are added with their signs; the largest of all is full red or full blue."""
    gradients = np.array([[[-3.0, 1.0], [0.5, 0.5], [0.0, 0.0]]])[:, None]  # (1, 1, 3, 2)
    heat = manifold._heat(gradients, (0, 100))
    assert heat.shape == (1, 1, 3, 3)
    np.testing.assert_allclose(heat[0, 0, 0], (1, 0, 0), atol=0.01)
    np.testing.assert_allclose(heat[0, 0, 1], (0.5, 0.5, 1), atol=0.01)
    np.testing.assert_allclose(heat[0, 0, 2], (1, 1, 1), atol=0.01)
    # The largest of 201 is cut off, so that the next has the same color.
    gradients = -np.arange(-100.0, 101).reshape(1, 1, 201, 1)
    gradients[..., -1, :] = -1e6
    heat = manifold._heat(gradients, (0.5, 99.5))
    np.testing.assert_array_equal(heat[0, 0, -1], heat[0, 0, -2])
    # Where even the lower percentile is above 0, what is below it has no color.
    heat = manifold._heat(-np.arange(1.0, 201).reshape(1, 1, 200, 1), (10, 90))
    np.testing.assert_allclose(heat[0, 0, 5], (1, 1, 1), atol=0.01)
    assert (manifold._heat(np.zeros((1, 2, 2, 1)), (0.5, 99.5))[..., 0] == heat[0, 0, 5, 0]).all()


def test_energies_are_shares_of_the_tangent():
    """Of a manifold of images that are black but for one pixel, the tangent is that pixel."""
    encode = jax.tree_util.Partial(lambda image: image[0, 0])
    decode = jax.tree_util.Partial(lambda code: jnp.zeros((2, 2, 1)).at[0, 0].set(code))
    images, inside, outside = np.zeros((3, 2, 2, 2, 1), np.float32)
    inside[:, 0, 0], outside[:, 1, 1] = 3, 4
    learned = Manifold(encode, decode, None)
    diagonal, across = manifold._energies(learned, images, inside + outside, outside)
    np.testing.assert_allclose(diagonal, [9 / 25] * 2, rtol=1e-5)
    np.testing.assert_allclose(across, [0, 0], atol=1e-6)


@pytest.mark.slow
def test_a_vaegan_is_a_manifold(vaegan, trained, tmp_path, every_claim_of):
    # With the paper's settings, but for how many images and steps, and which count.
    command = ["study", "--config=manifold:cifar10", *networks(trained), "--config.more=()"]
    command += ["--config.n=20", "--config.steps=2", "--config.where_standard_fails=False"]
    command += [f"--workdir={tmp_path}"]
    works(*command, f"--config.manifold={vaegan}")
    results = runs.read_results(tmp_path)["manifold"]
    every_claim_of("manifold", results["rows"])
    losses = ["cross_entropy", "margin"]
    assert [row["loss"] for row in results["rows"]] == ["", *losses, *losses]
    assert results["rows"][1]["less_than_first"]["mean"] == 0 and results["chance"] <= 1
    assert np.asarray(Image.open(tmp_path / "figures/manifold.png")).std() > 1
    evaluation = [
        "evaluate",
        "--config=evaluate",
        "--config.standard=",
        f"--config.robust={vaegan}",
    ]
    nowhere = f"--workdir={tmp_path / 'no'}"
    assert "a vaegan, not a classifier" in refused(*evaluation, nowhere)
    message = refused(*command, f"--config.manifold={trained / 'robust'}", nowhere)
    assert "a tiny, not a vaegan" in message
    message = refused(*command, f"--config.manifold={vaegan}", "--config.steps=0", nowhere)
    assert "steps=0: give steps of at least 1" in message
    message = refused(*command, f"--config.manifold={vaegan}", "--config.percentiles=(9,1)")
    assert "percentiles=(9, 1): give two from 0 to 100, rising" in message
