"""Anomalies, by a decoder of one class: means over classes, in pairs of networks."""

from itertools import product

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import memory
from commands import refused, works
from rrjax import runs
from rrjax.study import anomaly

METHODS = ("searched", "encoded", "mean image")
NETWORKS = ("standard", "robust")


def values(areas):
    """Make what each of four test images says of areas, by (network, class)."""
    says = np.array([-0.3, -0.1, 0.1, 0.3])
    return {
        (*cell, "encoded"): dict.fromkeys(anomaly.SCORES, area + says)
        for cell, area in areas.items()
    }


def test_means_are_over_classes_and_differences_in_pairs_of_images():
    areas = {("standard", "0"): 0.5, ("standard", "1"): 0.7, ("robust", "0"): 0.6}
    areas["robust", "1"] = 0.9
    config = ConfigDict({"networks": NETWORKS, "classes": ("0", "1"), "seed": 0})
    means = anomaly._means(values(areas), config)
    assert [(each["network"], each["class"]) for each in means] == [
        ("standard", "mean"),
        ("robust", "mean"),
        ("robust less standard", "mean"),
    ]
    assert [each["pixel"]["mean"] for each in means] == pytest.approx([0.6, 0.75, 0.15])
    # The interval is over the images, whatever the classes: what they say alike is the same.
    assert (means[0]["sum"]["low"], means[0]["sum"]["high"]) == pytest.approx((0.3, 0.9))
    assert (means[1]["sum"]["low"], means[1]["sum"]["high"]) == pytest.approx((0.45, 1))
    assert (means[2]["sum"]["low"], means[2]["sum"]["high"]) == pytest.approx((0.15, 0.15))
    assert means[2]["sum"]["n"] == 4


def test_of_one_class_there_is_no_mean():
    config = ConfigDict({"networks": ("standard",), "classes": ("0",), "seed": 0})
    assert anomaly._means(values({("standard", "0"): 0.5}), config) == []


@pytest.mark.slow
def test_the_command(one_class, trained, tmp_path):
    (tmp_path / "standard_3").symlink_to(one_class)
    (tmp_path / "robust_3").symlink_to(one_class)
    (tmp_path / "robust_4").symlink_to(trained / "robust")
    command = ["study", "--config=anomaly:paper", f"--workdir={tmp_path / 'out'}"]
    command += [f"--config.root={tmp_path}", "--config.n=40", "--config.steps=2"]
    works(*command, "--config.classes=('3',)")
    results = runs.read_results(tmp_path / "out")["anomaly"]
    rows = results["rows"]
    assert [(row["network"], row["method"]) for row in rows] == [*product(NETWORKS, METHODS)]
    assert rows[0]["pixel"] == rows[3]["pixel"]
    assert results["means"] == []
    for network in NETWORKS:
        assert np.asarray(Image.open(tmp_path / f"out/figures/anomaly_{network}.png")).std() > 1
    command[1] = "--config=anomaly:pets"
    works(*command, "--config.steps=0", "--config.classes=('3',)")
    alone = runs.read_results(tmp_path / "out")["anomaly"]["rows"]
    assert alone == [row for row in rows if row["method"] != "searched"]
    message = refused(*command, "--config.classes=('3','4')")
    assert "standard_4: not a run folder" in message
    other = ["--config.networks=('robust',)", "--config.classes=('4',)"]
    assert "not an autoencoder" in refused(*command, *other)


@pytest.mark.slow
def test_a_study_that_is_killed_twice_ends_as_one_left_alone(
    one_class, tmp_path, ends_as_one_left_alone
):
    for network in NETWORKS:
        (tmp_path / f"{network}_3").symlink_to(one_class)
    small = [f"--config.root={tmp_path}", "--config.classes=('3',)", "--config.n=40"]
    small += ["--config.steps=2", "--config.batch_size=25"]
    ends_as_one_left_alone("study", "--config=anomaly", *small)


def test_many_images_are_scored_with_a_part_of_them_in_memory(monkeypatch):
    monkeypatch.setattr(anomaly.data, "open_split", lambda *_: memory.synthetic(64))
    encode = jax.tree_util.Partial(lambda image: image[::4, ::4])
    decode = jax.tree_util.Partial(lambda features: features.repeat(4, 0).repeat(4, 1))
    decoder = runs.Autoencoder(None, None, encode, decode, encode, stride=4)
    weights = {"pixel_weight": 1.0, "feature_weight": 1.0}
    config = ConfigDict({"batch_size": 16, "seed": 0, "steps": 2, "step_size": 0.1} | weights)

    def scored(n):
        images, cached = memory.synthetic(n), lambda _key, make: make()
        outputs = anomaly._outputs(decoder, images, [40, 2], "a label", cached, config)
        assert tuple(outputs) == METHODS
        assert all(len(each["sum"]) == n and len(each["image"]) == 2 for each in outputs.values())
        # What takes a chosen image's place is in the order in which they were chosen.
        np.testing.assert_allclose(
            outputs["encoded"]["image"][:, 0, 0, 0] * 255, [40, 2], rtol=1e-4
        )

    scored(64)  # what is imported and compiled once
    # 256 images more are 12 MiB of pixels, and as much of each method's.
    assert memory.grows_less(2**20, scored, 64, 320)


def test_the_mean_image_is_that_of_all():
    images = np.random.default_rng(0).random((7, 2, 3, 1), np.float32)
    np.testing.assert_allclose(anomaly._mean_image(images, 3), images.mean(0), rtol=1e-6)
