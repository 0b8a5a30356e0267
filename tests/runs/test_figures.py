"""Pictures hold the pixels they were given; the report holds every study once, escaped."""

import numpy as np
from PIL import Image

from rrjax.runs import figures, report


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


def test_curves_are_written(tmp_path):
    points = [{"mean": m, "low": m - 0.1, "high": m + 0.1} for m in (0.9, 0.2)]
    name = figures.save_curves(tmp_path, "c", {"robust": ([0, 1], points)}, xlabel="x", ylabel="y")
    assert np.asarray(Image.open(tmp_path / "figures" / name).convert("L")).std() > 5


def test_the_report_keeps_other_studies_and_replaces_its_own(tmp_path):
    report.write_report(tmp_path, section("one", "First title"))
    report.write_report(tmp_path, section("two", "Other study"))
    page = report.write_report(tmp_path, section("one", "Second title")).read_text()
    assert "First title" not in page
    assert page.count("Second title") == page.count("Other study") == 1
    assert "Why &amp; how &lt; that" in page
    assert 'src="figures/grid.png"' in page


def test_tables_are_aligned_markdown():
    assert report.text_table(["a", "long"], [["1", "2"]]).splitlines() == [
        "| a | long |",
        "| - | ---- |",
        "| 1 | 2    |",
    ]


def test_a_summary_reads_as_mean_and_interval():
    assert report.with_interval({"mean": 0.123, "low": 0.1, "high": 0.2}) == "0.12 [0.10, 0.20]"


def test_a_section_can_hold_the_settings_that_repeat_it(tmp_path):
    settings = {"n": 3, "start": "<noise>"}
    page = report.write_report(tmp_path, section("one"), settings).read_text()
    assert "<summary>Settings</summary>" in page and "&lt;noise&gt;" in page
    assert "Settings" not in report.write_report(tmp_path, section("one")).read_text()
