"""report.html: one file with its pictures inside, verdicts first, links that lead somewhere."""

import base64
import html
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from rrjax import cli
from rrjax.runs import figures, page, report

POINTS = [{"mean": y, "low": y - 0.1, "high": y + 0.1} for y in (0.9, 0.2)]
# A row a gray level, which rises from column to column as well.
LEVELS = np.linspace(0, 1, 12).reshape(3, 4)
GRID = {
    f"row {i}": np.ones((4, 8, 8, 1)) * row[:, None, None, None] for i, row in enumerate(LEVELS)
}


def section(name, title, pictures=(), **more):
    return report.Section(
        name,
        title,
        ["Why & how < that"],
        ["network", "score"],
        [["robust", "0.5"]],
        pictures,
        **more,
    )


@pytest.fixture
def written(tmp_path):
    """A page of three studies: with curves, with a slider over a grid, and with verdicts."""
    axes = {"xlabel": "x", "ylabel": "y"}
    curves = figures.save_curves(tmp_path, "curves", {"robust": ([0, 1], POINTS)}, **axes)
    grid = figures.save_grid(tmp_path, "grid", GRID)
    slider = report.Slider(
        label="radius, l2", values=["0.5", "1"], files={"robust": grid}, axis="row", first=1
    )
    page.write_report(tmp_path, section("curves", "How far?", [(curves, "Curves")]))
    page.write_report(tmp_path, section("ways", "How?", [(grid, "A grid"), slider]), {"n": 3})
    verdicts = section("which", "Which hold?", verdicts=True)
    verdicts.rows.append(["a claim", "in part (yes, no)"])
    return page.write_report(tmp_path, verdicts)


class Elements(HTMLParser):
    """The attributes of all elements, by tag, and the text of the page."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text = {}, ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.setdefault(tag, []).append(dict(attrs))

    def handle_data(self, data):
        self.text += data


def test_contents_lead_to_every_study_and_verdicts_come_first(written):
    found = Elements(written.read_text()).found
    links = [each["href"].removeprefix("#") for each in found["a"]]
    assert links == [each["id"] for each in found["article"]] == ["which", "curves", "ways"]
    verdicts = [each["data-verdict"] for each in found["td"] if "data-verdict" in each]
    assert verdicts == ["part"]


def test_numbers_are_not_broken_over_lines(tmp_path):
    cells = ["0.5 [0.4, 0.6]", "-1", "... of a robust one only if", "robust"]
    table = report.Section("one", "Why?", [], ["a", "b", "c", "d"], [cells], [])
    found = Elements(page.write_report(tmp_path, table).read_text()).found
    assert [each.get("class") for each in found["td"]] == ["number", "number", None, None]


def test_the_page_is_one_file(written):
    found = Elements(written.read_text()).found
    sources = [each["src"] for elements in found.values() for each in elements if "src" in each]
    assert len(sources) == 2 and "link" not in found
    lines, picture = (source.split(";base64,") for source in sources)
    assert (lines[0], picture[0]) == ("data:image/svg+xml", "data:image/webp")
    figures = written.parent / "figures"
    assert base64.b64decode(lines[1]) == (figures / "curves.svg").read_bytes()
    shown = Image.open(io.BytesIO(base64.b64decode(picture[1])))
    png = Image.open(figures / "grid.png").convert("RGB")
    np.testing.assert_allclose(np.asarray(shown).astype(int), np.asarray(png), atol=24)
    assert "url(" not in written.read_text() and "@import" not in written.read_text()


def test_a_picture_is_as_wide_as_it_was_drawn(written):
    widths = [each["style"] for each in Elements(written.read_text()).found["img"]]
    assert widths == ["--inches: 6.00", f"--inches: {0.15 + 0.09 * 5 + 0.9 * 4:.2f}"]


def test_a_slider_shows_the_recorded_images(written):
    found = Elements(written.read_text()).found
    (slider,) = (
        json.loads(each["data-slider"]) for each in found["figure"] if "data-slider" in each
    )
    (steps,) = found["input"]
    assert (steps["min"], steps["max"], steps["value"]) == ("0", "1", "0")
    (picture,) = (each for each in found["img"] if each["data-file"] == slider["files"]["robust"])
    grid = json.loads(picture["data-grid"])
    pixels = np.asarray(Image.open(written.parent / "figures/grid.png").convert("L")) / 255
    assert grid["rows"] == list(GRID)
    for row, levels in zip(grid["cells"], LEVELS, strict=True):
        for (left, top, width, height), level in zip(row, levels, strict=True):
            assert width == height > 90
            crop = pixels[top : top + height, left : left + width]
            # The image fills its place: at most one line of pixels at an edge is the page's white.
            assert (abs(crop - level) < 0.01).mean() > 0.97
    # Both of its positions are rows, and one row is always shown above them.
    assert slider["first"] + len(slider["values"]) == len(grid["cells"]) == 3


def test_the_footer_says_what_made_the_page(written, monkeypatch):
    facts = r"rrjax \S+ on 2 x cpu; (commit \w+(-dirty)?; )?20\d\d-\d\d-\d\d \d\d:\d\d UTC"
    assert re.search(f"This page: {facts}; 0.0 MB, pictures inside", written.read_text())
    assert len(re.findall(f'<p class="made">{facts}</p>', written.read_text())) == 3
    monkeypatch.setattr(cli, "seconds_run", lambda: 83.4)
    monkeypatch.setattr(page, "_commit", lambda clone: "abc1234-dirty")
    again = page.write_report(written.parent, section("ways", "How?")).read_text()
    assert "; commit abc1234-dirty; " in again and "UTC; took 0:01:23; 0.0 MB" in again


def test_a_folder_of_packages_has_no_commit(tmp_path):
    assert page._commit(tmp_path) == ""


def test_a_large_page_says_so(written, monkeypatch):
    assert "too large" not in written.read_text()
    monkeypatch.setattr(page, "LARGE", 10_000)
    again = page.write_report(written.parent, section("ways", "How?")).read_text()
    assert "This page is of 0 MB</strong>, too large for many mail" in again


def test_a_picture_that_is_not_there_is_named(tmp_path):
    text = page.write_report(tmp_path, section("one", "Why?", [("a.png", "A & B")])).read_text()
    assert "<em>figures/a.png could not be written</em>" in text and "<img" not in text


def test_a_section_of_an_older_rrjax_stays(written):
    older = '<section>\n<h2>Older</h2>\n<figure><img src="figures/grid.png" alt="x"></figure>\n'
    (written.parent / "sections/older.html").write_text(older + "</section>\n")
    found = Elements(page.write_report(written.parent, section("ways", "How?")).read_text()).found
    assert {"href": "#older"} in found["a"] and found["img"][-1]["data-file"] == "grid.png"


def test_names_are_escaped(tmp_path):
    name = "100 % of <a> & b"
    file = figures.save_grid(tmp_path, name.replace("<a>", "a"), GRID)
    slider = report.Slider(label=name, values=["1"], files={name: file}, axis="row")
    text = page.write_report(tmp_path, section("one", name, [(file, name), slider])).read_text()
    elements = Elements(text)
    (picture,) = elements.found["img"]
    assert picture["data-file"] == file and picture["alt"] == name
    assert html.escape(name) in text and "<a>" not in text.replace('<a href="#one">', "")
