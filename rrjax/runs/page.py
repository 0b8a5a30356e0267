"""The page report.html of a folder: the sections of its studies, with their pictures inside.

A section lies in sections/ as HTML that names its pictures. Whenever one is written, the page is
made of all of them; it holds the pictures themselves, so that it can be sent as one file.
"""

import base64
import dataclasses
import html
import io
import json
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from string import Template

from rrjax import cli
from rrjax.runs.files import replace_text
from rrjax.runs.report import Section, Slider

LARGE = 20_000_000  # bytes of a page, from which it says so: many mail servers refuse it
TEMPLATE = Path(__file__).with_name("page.html")
_PICTURE = re.compile(r'<img src="figures/([^"]+)" alt="([^"]*)">')
_TITLE = re.compile(r"<h2>(.*?)</h2>")
_NUMBER = re.compile(r"[-+]?\d")
_FIRST = '<section class="verdicts">'
_VERDICTS = {"yes": "yes", "in part": "part", "no": "no"}  # and their names in the page's style


def write_report(workdir: str | Path, section: Section, settings: Mapping | None = None) -> Path:
    """Put one study's section into the folder's report.html, beside those of other studies.

    settings: the config that repeats it, as a plain dict; shown folded. Return the page's path.
    """
    write_section(workdir, section, settings)
    page = Path(workdir) / "report.html"
    replace_text(page, _page(Path(workdir)))
    return page


def write_section(workdir: str | Path, section: Section, settings: Mapping | None = None) -> None:
    """Write one study's section, for the folder's report.html that is written next.

    settings: as `write_report` has them.
    """
    workdir = Path(workdir)
    sections = workdir / "sections"
    sections.mkdir(parents=True, exist_ok=True)
    text = _section(section) + ("" if settings is None else _settings(settings))
    replace_text(sections / f"{section.name}.html", f'{text}<p class="made">{_made()}</p>\n')


def _page(workdir: Path) -> str:
    """Return the page of all sections, those with verdicts first, the others by name."""
    files = sorted((workdir / "sections").glob("*.html"))
    texts = {path.stem: path.read_text(encoding="utf-8") for path in files}
    names = sorted(texts, key=lambda name: (not texts[name].startswith(_FIRST), name))
    links, body = [], []
    for name in names:
        anchor, title = html.escape(name), _TITLE.search(texts[name])
        links.append(f'<li><a href="#{anchor}">{title[1] if title else anchor}</a></li>\n')
        body.append(f'<article id="{anchor}">\n{_with_pictures(texts[name], workdir)}</article>\n')
    size = sum(map(len, body))
    large = (
        f"<p><strong>This page is of {size / 1e6:.0f} MB</strong>, too large for many mail "
        "servers; its pictures are also files of their own, in figures/ beside it.</p>\n"
    )
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(workdir.resolve().name),
        large=large if size > LARGE else "",
        contents="".join(links),
        body="".join(body),
        made=f"{_made()}; {size / 1e6:.1f} MB, pictures inside",
    )


def _section(section: Section) -> str:
    text = "".join(f"<p>{html.escape(paragraph)}</p>\n" for paragraph in section.text)
    header = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in section.header)
    cell = _verdict_or_cell if section.verdicts else _cell
    rows = "".join(f"<tr>{''.join(map(cell, row))}</tr>\n" for row in section.rows)
    table = f"<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}</tbody>"
    figures = [
        _slider(each) if isinstance(each, Slider) else _figure(*each) for each in section.figures
    ]
    # The first picture says what the numbers are about.
    parts = [f"<h2>{html.escape(section.title)}</h2>\n", text, *figures[:1]]
    parts += [f'<div class="wide"><table>\n{table}\n</table></div>\n', *figures[1:]]
    start = _FIRST if section.verdicts else "<section>"
    return f"{start}\n{''.join(parts)}</section>\n"


def _cell(text: str) -> str:
    kind = ' class="number"' if _NUMBER.match(text) else ""
    return f"<td{kind}>{html.escape(text)}</td>"


def _verdict_or_cell(text: str) -> str:
    verdict = _VERDICTS.get(text.partition(" (")[0])
    return f'<td data-verdict="{verdict}">{html.escape(text)}</td>' if verdict else _cell(text)


def _figure(file: str, caption: str) -> str:
    caption, file = html.escape(caption), html.escape(file)
    return (
        f"<figure><figcaption>{caption} <small>figures/{file}</small></figcaption>"
        f'<div class="wide"><img src="figures/{file}" alt="{caption}"></div></figure>\n'
    )


def _slider(slider: Slider) -> str:
    """Return a slider's place in the page, hidden until the page's script fills it."""
    facts = html.escape(json.dumps(dataclasses.asdict(slider)))
    label = html.escape(slider.label)
    return (
        f'<figure class="slider" data-slider="{facts}" hidden><figcaption><label>{label} '
        f'<input type="range" min="0" max="{len(slider.values) - 1}" value="{slider.start}">'
        "</label> <output></output></figcaption></figure>\n"
    )


def _settings(settings: Mapping) -> str:
    text = html.escape(json.dumps(settings, indent=2))
    return f"<details><summary>Settings</summary><pre>{text}</pre></details>\n"


def _with_pictures(text: str, workdir: Path) -> str:
    """Return HTML with the pictures that it names inside it: the SVG, where there is one."""

    def embedded(match: re.Match) -> str:
        file, alt = match.groups()
        png = workdir / "figures" / html.unescape(file)
        if not png.is_file():
            return f"<em>figures/{file} could not be written</em>"
        kind, data, inches, grid = _picture(png)
        content = base64.b64encode(data).decode()
        places = f' data-grid="{html.escape(grid)}"' if grid else ""
        return (
            f'<img src="data:image/{kind};base64,{content}" alt="{alt}" data-file="{file}"{places} '
            f'style="--inches: {inches:.2f}">'
        )

    return _PICTURE.sub(embedded, text)


def _picture(png: Path) -> tuple[str, bytes, float, str]:
    """Return a picture's type and bytes, its width in inches, and its cells as JSON.

    It is the SVG beside the PNG, or WebP, a fifth of the PNG.
    """
    from PIL import Image  # here: a bench writes a page without pictures, and needs no Pillow

    with Image.open(png) as image:
        facts = image.width / image.info["dpi"][0], image.info.get("grid", "")
        if (svg := png.with_suffix(".svg")).is_file():
            return "svg+xml", svg.read_bytes(), *facts
        data = io.BytesIO()
        image.convert("RGB").save(data, "WEBP", quality=90, method=0)
        return "webp", data.getvalue(), *facts


def _made() -> str:
    """Say by what, on what, when and in what time this was made."""
    facts = [cli.devices(), f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"]
    if commit := _commit(Path(__file__).parents[2]):
        facts.insert(1, f"commit {commit}")
    if (seconds := cli.seconds_run()) is not None:
        facts.append(f"took {timedelta(seconds=round(seconds))}")
    return html.escape("; ".join(facts))


@cache
def _commit(clone: Path) -> str:
    """Return the commit of a clone, "-dirty" if its files differ; "" where there is none."""
    # A folder of packages may lie in another project's clone, whose commit says nothing.
    if not (clone / ".git").exists():
        return ""
    command = ["git", "-C", str(clone), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # no git here
        return ""
    return result.stdout.strip()
