"""New images from features: draws, middles, and what another network says of them."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from commands import networks, refused, works
from rrjax import runs
from rrjax.core.manifold import Manifold
from rrjax.study import generation

CONFIG = ConfigDict(
    {"seed": 0, "batch_size": 4, "samples": 3, "steps": 50, "step_size": 0.1, "points": 3}
)


def pixels(*values):
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


def identity():
    """A manifold of all images: an image's latent is its pixels."""
    encode = jax.tree_util.Partial(jnp.ravel)
    decode = jax.tree_util.Partial(lambda code: code.reshape(1, 1, 1))
    return Manifold(encode, decode, None)


def test_draws_are_of_the_class_s_own_gaussian():
    """Two latents have a variance in one direction alone; those of the other class are equal."""
    latents = np.array([[1.0, 0.0], [3.0, 0.0]], np.float32)
    draws = generation._draws(latents, jax.random.key(0), 400)
    np.testing.assert_allclose(draws[:, 1], 0, atol=1e-6)
    assert draws[:, 0].mean() == pytest.approx(2, abs=0.3)
    assert draws[:, 0].std() == pytest.approx(np.sqrt(2), abs=0.2)
    examples = pixels(0.2, 0.7, 0.2, 0.7), np.array([0, 5, 0, 5])
    drawn, classes = generation._drawn(identity(), examples, CONFIG)
    assert classes.tolist() == [0, 0, 0, 5, 5, 5]
    np.testing.assert_allclose(drawn.ravel(), [0.2] * 3 + [0.7] * 3, rtol=1e-5)


def test_a_picture_has_at_most_ten_draws_of_a_class():
    drawn = pixels(*range(24))
    grid = generation._by_class(drawn, np.repeat([1, 7], 12))
    assert list(grid) == ["class 1", "class 7"]
    np.testing.assert_array_equal(grid["class 7"].ravel(), range(12, 22))


def test_middles_lie_half_way_and_paths_go_from_end_to_end():
    """Where features are pixels, mixing pixels is mixing features."""
    left, right = pixels(0.2, 0.4), pixels(0.6, 0.4)
    middles, paths = generation._between(identity(), left, right, CONFIG)
    assert list(middles) == [f"between two, by {m}" for m in ("pixels", "decoder", "search")]
    for images, reached, _ in middles.values():
        np.testing.assert_allclose(images.ravel(), [0.4, 0.4], rtol=1e-3)
        np.testing.assert_allclose(reached, 0, atol=1e-3)
    np.testing.assert_allclose(paths["decoder 1"].ravel(), [0.2, 0.4, 0.6], rtol=1e-5)
    assert len(paths) == 3 * 2


def test_the_distance_reached_is_in_units_of_the_middle():
    reached = generation._reached(identity(), pixels(0.6), pixels(0.2), pixels(0.6))
    np.testing.assert_allclose(reached, [0.5], rtol=1e-5)


def test_another_network_says_how_near_and_of_which_class():
    def apply(image):  # class 1 of pixels above 0.25
        return jnp.array([0.25, 0]) + image.sum() * jnp.array([0, 1]), {
            "representation": image.ravel()
        }

    evaluator = SimpleNamespace(apply=jax.tree_util.Partial(apply))
    gallery = pixels(0.1, 0.4)
    middles = {"between": (pixels(0.2, 0.5), np.array([0.1, 0.3]), 7.0)}
    labeled = {"samples": (pixels(0.2, 0.3), np.array([1, 1])), "test images": (gallery, [0, 1])}
    rows = generation._rows(evaluator, gallery, middles, labeled, CONFIG)
    assert rows["between"]["seconds"] == 7 and "accuracy" not in rows["between"]
    assert rows["between"]["distance_reached"]["mean"] == pytest.approx(0.2)
    # The nearest in units of its own norm: 0.2 / 0.4 and 0.1 / 0.4.
    assert rows["between"]["to_real"]["mean"] == pytest.approx((0.5 + 0.25) / 2)
    assert rows["samples"]["accuracy"]["mean"] == 0.5
    assert rows["samples"]["to_real"]["mean"] == pytest.approx((0.5 + 0.25) / 2)
    # Real images are at no distance from themselves.
    assert rows["test images"]["accuracy"]["mean"] == 1 and "to_real" not in rows["test images"]


@pytest.mark.slow
def test_the_command(decoders, tmp_path):
    command = ["study", "--config=generation", *networks(decoders), f"--workdir={tmp_path}"]
    command += ["--config.n=4", "--config.steps=2", "--config.batch_size=4", "--config.points=3"]
    works(*command, "--config.gallery=4", "--config.samples=2")
    rows = runs.read_results(tmp_path)["generation"]["rows"]
    assert [(row["network"], row["evaluator"]) for row in rows[::6]] == [
        ("standard", "robust"),
        ("robust", "standard"),
    ]
    assert {row["images"]: row["accuracy"]["n"] for row in rows if "accuracy" in row} == {
        "samples": 20,
        "test images, decoded": 4,
        "test images": 4,
    }
    pictures = sorted((tmp_path / "figures").glob("*.png"))
    assert len(pictures) == 2 * 2
    assert all(np.asarray(Image.open(picture)).std() > 1 for picture in pictures)
    assert "samples=1: give samples of at least 2" in refused(*command, "--config.samples=1")
