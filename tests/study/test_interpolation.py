"""Between two images: paths of every network, and what other networks see half way."""

import json
from functools import partial

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import memory
from commands import networks, refused, works
from rrjax.core import vmapped
from rrjax.runs import Frozen
from rrjax.study import interpolation
from rrjax.study.comparison import in_saved_parts


def test_many_pairs_are_walked_between_with_a_part_of_them_in_memory():
    apply = jax.tree_util.Partial(lambda image: (image[0, 0], {"representation": image[0, 0]}))
    network = Frozen(None, None, None, apply, apply)
    options = {"straight_through": False, "step_size": 0.1, "steps": 1}
    config = ConfigDict({"batch_size": 16} | options)
    _, references = vmapped.represent_images(apply, memory.synthetic(8), 16)
    nearest = partial(vmapped.nearest_distance, apply, references=references, batch_size=16)

    def scored(n):
        images = memory.synthetic(2 * n)
        part = partial(interpolation._halfway, network, nearest, config)
        ends = images.part(slice(n)), images.part(slice(n, None))
        scores = in_saved_parts(lambda _key, make: make(), "", part, 16, *ends)
        assert {len(values) for values in scores.values()} == {n}

    scored(32)  # what is imported and compiled once
    # 128 pairs more are 12 MiB of pixels, and half as much each of what is between them.
    assert memory.grows_less(2**20, scored, 32, 160)


@pytest.mark.slow
def test_the_command(trained, tmp_path, every_claim_of):
    small = ["--config.n=3", "--config.steps=2", "--config.batch_size=4", "--config.points=3"]
    command = ["study", "--config=interpolation:paper", f"--workdir={tmp_path}"]
    command += ["--config.gallery=4"]
    shown = works(*command, *networks(trained), *small).stdout
    rows = json.loads((tmp_path / "results.json").read_text())["interpolation"]["rows"]
    every_claim_of("interpolation", rows)
    assert [(row["network"], row["evaluator"]) for row in rows] == [
        ("standard", "robust"),
        ("robust", "standard"),
    ]
    assert all(row["midpoint_to_real"]["n"] == 3 for row in rows)
    assert "| midpoint to a real image " in shown
    pictures = sorted((tmp_path / "figures").glob("interpolation_*.png"))
    assert len(pictures) == 2
    assert all(np.asarray(Image.open(picture)).std() > 1 for picture in pictures)
    works(*command, *networks(trained), *small[:-1], "--config.points=4")
    more = json.loads((tmp_path / "results.json").read_text())["interpolation"]["rows"]
    for row, other in zip(rows, more, strict=True):
        means = [each["distance_reached"]["mean"] for each in (row, other)]
        assert means[0] == pytest.approx(means[1], rel=1e-4)  # however many points a path has
    message = refused(*command, *networks(trained), "--config.points=2", "--config.n=1")
    assert "n=1, points=2: give n of at least 2, points of at least 3" in message
