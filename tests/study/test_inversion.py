"""Inversion: what agrees with what, and the command with targets of every kind."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from commands import networks, works
from rrjax.core.pgd import SearchResult
from rrjax.study import inversion

# Two images that do not correlate: the upper half is white, and the left half.
UPPER, LEFT = np.zeros((2, 12, 12, 1), np.float32)
UPPER[:6], LEFT[:, :6] = 1, 1
IMAGES = np.stack([UPPER, LEFT])


def test_agreement_is_the_mean_correlation_with_the_other_starts():
    others = [IMAGES, np.stack([1 - UPPER, UPPER])]
    agreement = inversion._agreement(IMAGES, others)
    np.testing.assert_allclose(agreement, [(1 - 1) / 2, (1 + 0) / 2], atol=1e-6)


def result(images):
    return SearchResult(images, np.array([0.25, 0.75]), np.array([2, 2]), images)


def test_the_rows_have_the_scores_and_the_agreement_of_one_network():
    goals = 0.1 + 0.8 * IMAGES
    inversions = {
        "standard": inversion._scores(
            {"noise": result(IMAGES), "other test images": result(1 - IMAGES)}, goals
        ),
        "robust": inversion._scores(
            {"noise": result(IMAGES), "other test images": result(IMAGES)}, goals
        ),
    }
    config = ConfigDict({"seed": 0, "starts": ("noise", "other test images")})
    rows = inversion._rows("test images", inversions, config)
    assert [(row["start"], row["network"]) for row in rows] == [
        (start, name) for start in config.starts for name in inversions
    ]
    agreement = [row["agreement_of_starts"]["mean"] for row in rows]
    np.testing.assert_allclose(agreement, [-1, 1, -1, 1], atol=1e-6)
    correlation = [row["correlation"]["mean"] for row in rows]
    np.testing.assert_allclose(correlation, [1, 1, -1, 1], atol=1e-6)
    assert all(row["distance"]["mean"] == 0.5 for row in rows)


@pytest.mark.slow
def test_the_command(trained, tmp_path, every_claim_of):
    arguments = [*networks(trained), "--config.steps=2", "--config.n=3", f"--workdir={tmp_path}"]
    works("study", "--config=inversion", *arguments)
    rows = json.loads((tmp_path / "results.json").read_text())["inversion"]["rows"]
    every_claim_of("inversion", rows)
    assert len(rows) == 2 * 3 * 2  # networks, targets, starts
    assert all(row[score]["n"] == 3 for row in rows for score in ("distance", "ssim"))
    page = (tmp_path / "report.html").read_text()
    pictures = sorted((tmp_path / "figures").glob("*.png"))
    assert len(pictures) == 6
    for picture in pictures:
        assert f'data-file="{picture.name}"' in page
        assert np.asarray(Image.open(picture)).std() > 1


@pytest.mark.slow
def test_unseen_classes_with_the_settings_of_the_paper(trained, tmp_path):
    folder = tmp_path / "letters/test/a"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 20), np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i}.png")
    arguments = [*networks(trained), "--config.targets=('unseen classes',)", "--config.n=2"]
    arguments += [f"--config.unseen.path={tmp_path / 'letters'}", "--config.starts=('noise',)"]
    arguments += ["--config.steps=4", "--config.record=2", f"--workdir={tmp_path / 'out'}"]
    shown = works("study", "--config=inversion:paper", *arguments).stdout
    results = json.loads((tmp_path / "out/results.json").read_text())["inversion"]
    assert [row["target"] for row in results["rows"]] == ["unseen classes"] * 2
    settings = [results["config"][k] for k in ("step_size", "straight_through", "return_iterate")]
    assert settings == [1.0, True, "last"]  # the paper's notebook's
    assert "| psnr " in shown and "agreement" not in shown  # there is one start
    pictures = sorted(picture.name for picture in (tmp_path / "out/figures").iterdir())
    start = "inversion_unseen_classes_from_noise"
    assert pictures == [f"{start}.png", f"{start}_way_0.png", f"{start}_way_1.png"]
