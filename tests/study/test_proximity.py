"""Proximity: pairs of different classes, searches of a radius each, and the command."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from commands import networks, refused, works
from rrjax import BadInput
from rrjax.configs import robust_digits
from rrjax.core.pgd import SearchResult
from rrjax.study import proximity


def test_pairs_are_the_first_of_different_classes():
    labels, others = np.array([0, 1, 2, 3, 4]), np.array([0, 2, 2, 1, 5])
    for n, expected in ((2, [1, 3]), (3, [1, 3, 4])):
        sources, targets = proximity._of_different_classes(labels, others, n)
        assert sources.tolist() == targets.tolist() == expected


def test_where_the_first_pairs_are_alike_others_are_exchanged():
    labels, others = np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1])
    sources, targets = proximity._of_different_classes(labels, others, 4)
    assert sources.tolist() == [0, 1, 2, 3] and sorted(targets) == [0, 1, 2, 3]
    assert (labels[sources] != others[targets]).all()
    with pytest.raises(BadInput, match=r"only 2 pairs .*: set a smaller --config\.n"):
        proximity._of_different_classes(np.array([0, 0, 0]), np.array([0, 1, 2]), 3)


def test_a_chosen_source_comes_first_with_a_target_of_another_class():
    labels, others = np.array([0, 1, 2, 3]), np.array([0, 1, 0, 5])
    sources, targets = proximity._of_different_classes(labels, others, 2, given=2)
    assert sources.tolist() == [0, 1] and targets.tolist() == [1, 0]
    trained = robust_digits.get_config()
    config = ConfigDict({"n": 3, "seed": 0, "first_images": (7, "4")})
    sources, targets = proximity._pairs(trained, config)
    assert sources.chosen[0] == 7 and sources.labels[1] == 4
    assert (sources.labels != targets.labels).all()
    assert len({*sources.chosen, *targets.chosen}) == 6


def test_pairs_of_photographs_are_any_two(tmp_path):
    for i in range(6):
        Image.fromarray(np.full((8, 8), 40 * i, np.uint8)).save(tmp_path / f"{i}.png")
    trained = robust_digits.get_config()
    trained.data.update(name="photographs", path=str(tmp_path))
    pairs = proximity._pairs(trained, ConfigDict({"n": 3, "seed": 0, "first_images": ()}))
    assert [len(images) for images in pairs] == [3, 3]
    values = np.concatenate([images[:] for images in pairs])[:, 0, 0, 0] * 255 / 40
    assert sorted(np.rint(values).astype(int)) == [0, 1, 2, 3, 4, 5]


def test_the_steps_of_a_radius_go_two_and_a_half_times_as_far():
    settings = {"radii": (1.0, 4.0), "steps": 10, "free_step_size": 0.1, "free_steps": 500}
    searches = proximity._searches(ConfigDict(settings))
    assert searches == [(1.0, 0.25, 10), (4.0, 1.0, 10), (1000.0, 0.1, 500)]


def test_the_scores_of_two_results():
    # The upper half is white, and the left half: images that do not correlate.
    upper, left = np.zeros((2, 12, 12, 1), np.float32)
    upper[:6], left[:, :6] = 1, 1
    sources, targets = np.stack([upper, upper]), np.stack([left, left])
    images = np.stack([upper, left])  # one has not moved, one has become its target
    distance = np.array([0.9, 0.0])
    scores = proximity._scores(SearchResult(images, distance, None, None), sources, targets)
    assert scores["distance"] is distance
    # The two halves differ in 72 of the 144 pixels, by 1.
    np.testing.assert_allclose(scores["l2_distance"], [0, 72**0.5], rtol=1e-6)
    np.testing.assert_allclose(scores["correlation_with_source"], [1, 0], atol=1e-6)
    np.testing.assert_allclose(scores["correlation_with_target"], [0, 1], atol=1e-6)


@pytest.mark.slow
def test_the_command(trained, tmp_path, every_claim_of):
    small = ["--config.n=3", "--config.steps=2", "--config.free_steps=2", "--config.batch_size=4"]
    small += ["--config.stage=block2"]
    command = ["study", "--config=proximity:paper", f"--workdir={tmp_path}"]
    command += [*networks(trained), *small]
    shown = works(*command, "--config.radii=(0.5,)").stdout
    rows = json.loads((tmp_path / "results.json").read_text())["proximity"]["rows"]
    every_claim_of("proximity", rows)
    assert [(row["network"], row["radius"]) for row in rows] == [
        (name, radius) for name in ("standard", "robust") for radius in (0.5, 1000.0)
    ]
    assert all(row["l2_distance"]["high"] <= 0.5001 for row in rows[::2])
    assert "| robust " in shown
    page = (tmp_path / "report.html").read_text()
    pictures = sorted(picture.name for picture in (tmp_path / "figures").glob("*.png"))
    assert pictures == ["proximity.png", "proximity_0.png", "proximity_1.png"]
    for picture in pictures:
        assert f'data-file="{picture}"' in page
        assert np.asarray(Image.open(tmp_path / "figures" / picture)).std() > 1
    assert "radii=(0.0,): give at least one" in refused(*command, "--config.radii=(0.0,)")
