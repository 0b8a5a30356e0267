"""Anomalies, by a decoder of one class: means over classes, in pairs of networks."""

from itertools import product

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

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
    command = ["study", "--config=anomaly", f"--workdir={tmp_path / 'out'}"]
    command += [f"--config.root={tmp_path}", "--config.n=40", "--config.steps=2"]
    works(*command, "--config.classes=('3',)")
    results = runs.read_results(tmp_path / "out")["anomaly"]
    rows = results["rows"]
    assert [(row["network"], row["method"]) for row in rows] == [*product(NETWORKS, METHODS)]
    assert rows[0]["pixel"] == rows[3]["pixel"]
    assert results["means"] == []
    for network in NETWORKS:
        assert np.asarray(Image.open(tmp_path / f"out/figures/anomaly_{network}.png")).std() > 1
    works(*command, "--config.steps=0", "--config.classes=('3',)")
    alone = runs.read_results(tmp_path / "out")["anomaly"]["rows"]
    assert alone == [row for row in rows if row["method"] != "searched"]
    message = refused(*command, "--config.classes=('3','4')")
    assert "standard_4: not a run folder" in message
    other = ["--config.networks=('robust',)", "--config.classes=('4',)"]
    assert "not an autoencoder" in refused(*command, *other)
