"""Tables, and the HTML report of a folder. Takes text; knows no study."""

import dataclasses
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rrjax.errors import BadInput
from rrjax.runs.files import replace_text


@dataclasses.dataclass(frozen=True)
class Section:
    """One study's part of report.html.

    text: paragraphs, plain. header, rows: a table of strings. figures: (file name under figures/,
    caption) pairs.
    """

    name: str
    title: str
    text: Sequence[str]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: Sequence[tuple[str, str]]


def write_report(workdir: str | Path, section: Section, settings: Mapping | None = None) -> Path:
    """Put one study's section into the folder's report.html, beside those of other studies.

    settings: the config that repeats it, as a plain dict; shown folded. Return the page's path.
    """
    workdir = Path(workdir)
    sections = workdir / "sections"
    sections.mkdir(parents=True, exist_ok=True)
    text = _section(section) + ("" if settings is None else _settings(settings))
    replace_text(sections / f"{section.name}.html", text)
    paths = sorted(sections.glob("*.html"))
    body = "".join(path.read_text(encoding="utf-8") for path in paths)
    page = workdir / "report.html"
    replace_text(page, _PAGE.format(title=html.escape(workdir.name), body=body))
    return page


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table as aligned Markdown, for the terminal and a README."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells):
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return "| " + " | ".join(padded) + " |"

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table as Markdown without alignment, whose lines do not change with other rows."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def replace_table(document: str | Path, name: str, table: str) -> None:
    """Put a table into a document, between its lines <!-- NAME --> and <!-- end of NAME -->.

    Raises:
      BadInput: unless the document has both lines, once each and in this order.
    """
    before, _, after = _around_table(document, name)
    replace_text(Path(document), f"{before}{table}\n{after}")


def replace_column(
    document: str | Path, name: str, column: str, cells: Mapping[str, str], empty: str
) -> None:
    """Put cells into one column of a document's table, which lies as `replace_table` has it.

    Args:
      document: a Markdown file.
      name: of the table.
      column: its heading.
      cells: by the first cell of their row; a row that the table does not have is added.
      empty: the other cells of such a row.

    Raises:
      BadInput: unless the document has that table, and the table that column.
    """
    _, table, _ = _around_table(document, name)
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    header, rows = (lines[0], lines[2:]) if lines else ([], [])
    if column not in header[1:]:
        raise BadInput(f"column={column!r}: choose from {', '.join(header[1:]) or 'no columns'}")
    place, known = header.index(column), {row[0] for row in rows}
    rows += [[key] + [empty] * (len(header) - 1) for key in cells if key not in known]
    for row in rows:
        row[place] = cells.get(row[0], row[place])
    replace_table(document, name, markdown(header, rows))


def _around_table(document: str | Path, name: str) -> tuple[str, str, str]:
    """Return a document's text up to a table, the table, and the text behind it."""
    path, ends = Path(document), (f"<!-- {name} -->\n", f"<!-- end of {name} -->")
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, first, rest = text.partition(ends[0])
    table, last, after = rest.partition(ends[1])
    if not (first and last) or any(text.count(end) != 1 for end in ends):
        raise BadInput(
            f"document={document!r}, table={name!r}: the document needs the lines "
            f"{ends[0].strip()} and {ends[1]}, once each, around the table"
        )
    return before + first, table, last + after


def spread(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Summarize repeats for `with_interval`: their median, least and greatest."""
    return {"median": np.median(values), "low": np.min(values), "high": np.max(values)}


def center(summary: Mapping[str, Any]) -> float:
    """Return what a summary says first: its mean, or where it is of few repeats its median."""
    return summary["mean"] if "mean" in summary else summary["median"]


def with_interval(summary: Mapping[str, Any], digits: int = 2) -> str:
    """Format a summary as 'mean [low, high]' or 'median [low, high]'.

    As 'mean (low to high)' where these are the least and greatest of too few for an interval.
    """
    low, high = (f"{summary[end]:.{digits}f}" for end in ("low", "high"))
    few = summary.get("interval") == "range"
    return f"{center(summary):.{digits}f} " + (f"({low} to {high})" if few else f"[{low}, {high}]")


def _section(section: Section) -> str:
    def line(tag, cells):
        return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>\n"

    text = "".join(f"<p>{html.escape(paragraph)}</p>\n" for paragraph in section.text)
    table = line("th", section.header) + "".join(line("td", row) for row in section.rows)
    figures = [
        f'<figure><figcaption>{html.escape(caption)}</figcaption><img src="figures/{name}" '
        f'alt="{html.escape(caption)}"></figure>\n'
        for name, caption in section.figures
    ]
    # The first picture says what the numbers are about.
    parts = [f"<h2>{html.escape(section.title)}</h2>\n", text, *figures[:1]]
    parts += [f'<div class="wide"><table>\n{table}</table></div>\n', *figures[1:]]
    return f"<section>\n{''.join(parts)}</section>\n"


def _settings(settings: Mapping) -> str:
    text = html.escape(json.dumps(settings, indent=2))
    return f"<details><summary>Settings</summary><pre>{text}</pre></details>\n"


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>rrjax: {title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; }}
body {{ padding: 0 1rem; }}
table {{ border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }}
th, td {{ border-bottom: 1px solid #ddd; padding: .25rem .7rem; text-align: left; }}
td {{ font-size: .85rem; white-space: nowrap; }}
figure {{ margin: 1.5rem 0; }}
figcaption {{ margin-bottom: .3rem; color: #444; }}
img {{ max-width: 100%; }}
.wide, details {{ overflow-x: auto; }}
</style>
<h1>{title}</h1>
{body}</html>
"""
