"""What a report is made of: sections, sliders, tables of text. Takes text; knows no study."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rrjax import BadInput
from rrjax.runs.files import replace_text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slider:
    """A slider over recorded pictures: it shows a row, or a column, of each of some grids.

    label: what changes along it, with its unit. values: of its positions. files: the grids, by what
    is said above each; file names under figures/, of figures of the same section. axis: "row" or
    "column", what a position shows. first: the row or column of the first position; those that are
    no position, before and behind, are shown with every one. start: the position at first.
    """

    label: str
    values: Sequence[str]
    files: Mapping[str, str]
    axis: str
    first: int = 0
    start: int = 0


def steps_slider(what: str, files: Mapping[str, str], steps: int, record: int) -> Slider:
    """Make the slider of grids whose columns are a start and `record` snapshots of `steps` steps.

    what: goes where. files: as a slider's.
    """
    values = [str(steps * i // record) for i in range(record + 1)]
    return Slider(label=f"{what}, steps", values=values, files=files, axis="column", start=record)


def weights_slider(files: Mapping[str, str], points: int) -> Slider:
    """Make the slider of grids whose columns are the points of paths from one image to another."""
    values = [f"{i / (points - 1):.2f}" for i in range(points)]
    label, middle = "share of the second image", points // 2
    return Slider(label=label, values=values, files=files, axis="column", start=middle)


@dataclasses.dataclass(frozen=True)
class Section:
    """One study's part of report.html.

    text: paragraphs, plain. header, rows: a table of strings. figures: (file name under figures/,
    caption) pairs, and sliders over some of them. verdicts: it comes before all others.
    """

    name: str
    title: str
    text: Sequence[str]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: Sequence[tuple[str, str] | Slider]
    verdicts: bool = False


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
