"""Between two images: paths of every network, and what other networks see half way."""

import json

import numpy as np
import pytest
from PIL import Image

from commands import networks, refused, works


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
