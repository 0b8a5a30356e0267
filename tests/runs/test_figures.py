"""Pictures hold the pixels they were given; the report holds every study once, escaped."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from paths import ROOT
from rrjax import BadInput
from rrjax.runs import figures, page, report, results


def section(name, title="A question"):
    return report.Section(
        name=name,
        title=title,
        text=["Why & how < that"],
        header=["network", "score"],
        rows=[["robust", "0.5"]],
        figures=[("grid.png", "What it shows")],
    )


def test_a_grid_shows_its_images(tmp_path):
    white, black = np.ones((3, 8, 8, 3)), np.zeros((2, 8, 8, 1))
    name = figures.save_grid(tmp_path, "grid", {"white": white, "a longer label": black})
    pixels = np.asarray(Image.open(tmp_path / "figures" / name).convert("L"))
    height, width = pixels.shape
    top, bottom = pixels[height // 4], pixels[3 * height // 4]
    assert (top[width // 2 :] == 255).mean() > 0.99
    assert (bottom == 0).mean() > 0.3  # two black images of three places
    assert bottom[int(0.97 * width)] == 255  # the third place is empty


def test_titles_stand_above_their_images(tmp_path):
    black = np.zeros((2, 8, 8, 1))
    plain, titled = (
        np.asarray(Image.open(tmp_path / "figures" / name).convert("L"))
        for name in (
            figures.save_grid(tmp_path, "plain", {"a": black, "b": black}),
            figures.save_grid(
                tmp_path, "titled", {"a": black, "b": black}, titles={"b": ["a dog", "a bird"]}
            ),
        )
    )
    assert titled.shape[0] > plain.shape[0] and titled.shape[1] == plain.shape[1]
    height, width = titled.shape
    gap = titled[int(0.46 * height) : int(0.56 * height), width // 3 :]  # between the rows
    assert 0.01 < (gap < 128).mean() < 0.2  # the titles of the second
    assert figures.class_labels(np.array([[1, 2]]), ("cat", "dog")) == [["dog", "2"]]


def test_curves_are_written(tmp_path):
    points = [{"mean": m, "low": m - 0.1, "high": m + 0.1} for m in (0.9, 0.2)]
    name = figures.save_curves(tmp_path, "c", {"robust": ([0, 1], points)}, xlabel="x", ylabel="y")
    assert np.asarray(Image.open(tmp_path / "figures" / name).convert("L")).std() > 5


def test_a_curve_of_medians_is_that_of_means(tmp_path):
    bands = [{"low": y - 0.1, "high": y + 0.1} for y in (0.9, 0.2)]
    pictures = []
    for center in ("mean", "median"):
        points = [band | {center: band["low"] + 0.05} for band in bands]
        curves = {"robust": ([0, 1], points)}
        name = figures.save_curves(tmp_path, center, curves, xlabel="x", ylabel="y")
        pictures.append((tmp_path / "figures" / name).read_bytes())
    assert pictures[0] == pictures[1]


def test_a_point_lies_where_it_is_told(tmp_path):
    exact = [{"median": y, "low": y, "high": y} for y in (0.0, 0.5, 1.0)]
    points = {"networks": list(zip((0.0, 0.5, 1.0), exact, strict=True))}
    name = figures.save_points(tmp_path, "points", points, xlabel="accuracy", ylabel="score")
    picture = np.asarray(Image.open(tmp_path / "figures" / name).convert("RGB"), int)
    drawn = abs(picture - (31, 119, 180)).sum(-1) < 20  # the first color of every series
    assert drawn.sum() > 100
    rows, columns = np.nonzero(drawn)
    assert np.corrcoef(rows, columns)[0, 1] < -0.7  # the line rises


def test_planes_show_both_sides(tmp_path):
    points = np.random.default_rng(0).uniform(-1, 1, (40, 2)).astype(np.float32)
    labels = (points[:, 0] > 0).astype(int)
    panels = {"standard": (lambda grid: grid[:, 0], points[labels == 1])}
    name = figures.save_planes(tmp_path, "planes", points, labels, panels)
    picture = np.asarray(Image.open(tmp_path / "figures" / name).convert("RGB"), int)
    middle = picture[:, picture.shape[1] // 20 :: picture.shape[1] // 10]
    left, right = np.median(middle[:, 3], axis=0), np.median(middle[:, -2], axis=0)
    assert left[2] > left[0] and right[0] > right[2]  # blue, and red


@pytest.mark.slow
def test_a_notebook_s_backend_is_left_alone():
    """Studies are imported and a figure is saved under a backend that cannot be loaded."""
    script = """
import sys, tempfile
from importlib import import_module
from rrjax import study
from rrjax.evaluate import accuracy
from rrjax.runs import figures
for name in study.names():
    import_module(f"rrjax.study.{name}")
point = {"mean": 0.5, "low": 0.4, "high": 0.6}
with tempfile.TemporaryDirectory() as folder:
    figures.save_curves(folder, "c", {"a": ([0, 1], [point, point])}, xlabel="x", ylabel="y")
import matplotlib
assert "matplotlib.pyplot" not in sys.modules
print(matplotlib.rcParams._get("backend"))
"""
    environment = os.environ | {"MPLBACKEND": "module://no.such.notebook"}
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "module://no.such.notebook"


def test_the_report_keeps_other_studies_and_replaces_its_own(tmp_path):
    page.write_report(tmp_path, section("one", "First title"))
    page.write_report(tmp_path, section("two", "Other study"))
    text = page.write_report(tmp_path, section("one", "Second title")).read_text()
    assert "First title" not in text
    assert text.count("<h2>Second title</h2>") == text.count("<h2>Other study</h2>") == 1
    assert "Why &amp; how &lt; that" in text


def test_tables_are_aligned_markdown():
    assert report.text_table(["a", "long"], [["1", "2"]]).splitlines() == [
        "| a | long |",
        "| - | ---- |",
        "| 1 | 2    |",
    ]


def test_a_summary_reads_as_mean_and_interval():
    summary = {"mean": 0.123, "low": 0.1, "high": 0.2, "interval": "t"}
    assert report.with_interval(summary) == "0.12 [0.10, 0.20]"
    assert report.with_interval(summary | {"interval": "range"}) == "0.12 (0.10 to 0.20)"


def test_a_section_can_hold_the_settings_that_repeat_it(tmp_path):
    settings = {"n": 3, "start": "<noise>"}
    text = page.write_report(tmp_path, section("one"), settings).read_text()
    assert "<summary>Settings</summary>" in text and "&lt;noise&gt;" in text
    assert "Settings" not in page.write_report(tmp_path, section("one")).read_text()


def test_a_picture_that_cannot_be_written_costs_no_numbers(tmp_path, capsys):
    (tmp_path / "figures").write_text("a file")
    assert figures.save_grid(tmp_path, "grid", {"white": np.ones((1, 8, 8, 1))}) == "grid.png"
    assert "figures/grid.png: not written (" in capsys.readouterr().err


def test_numbers_that_cannot_be_written_are_shown(tmp_path, capsys, monkeypatch):
    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(results, "replace_text", full)
    config = ConfigDict({"n": 1})
    with pytest.raises(BadInput, match=r"results.json: cannot be written \(No space left.*above"):
        results.publish(tmp_path, config, section("one"), {"rows": [1]})
    assert "| robust  | 0.5   |" in capsys.readouterr().out


def test_what_is_not_finite_is_null(tmp_path):
    values = {"nan": np.nan, "rows": [{"infinite": np.array([1.0, -np.inf])}], "n": np.int32(3)}
    results.write_results(tmp_path, "study", values)
    text = (tmp_path / "results.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    expected = {"nan": None, "rows": [{"infinite": [1.0, None]}], "n": 3}
    assert results.read_results(tmp_path)["study"] == expected
