"""Image grids as PNG; curves, points and planes as PNG and SVG. Takes arrays; knows no study.

Figures are objects of their own, without pyplot: neither its backend, which belongs to a notebook
that imports rrjax, nor MPLBACKEND has to do with them.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from rrjax.runs import report

DPI = 120  # of a PNG
WIDEST = 18  # letters of a title that fit above an image
Summary = Mapping[str, Any]
Images = Sequence[np.ndarray] | np.ndarray | jax.Array


def save_grid(
    workdir: str | Path,
    name: str,
    rows: Mapping[str, Images],
    side: float = 0.9,
    titles: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Write figures/`name`.png: a labeled row for each stack of images; return the file name.

    Images are (H, W, 1 or 3), float in [0,1], shown pixel for pixel without smoothing, each in a
    square of `side` inches. titles: for each row, what stands above its images. The text "grid" of
    the file says where each image is and what it is called, for the sliders of report.html.
    """
    columns = max(len(images) for images in rows.values())
    margin = 0.15 + 0.09 * max(map(len, rows))  # inches, for the longest label
    gap = 0.25 if titles else 0.05  # between rows, in sides
    size = (margin + side * columns, side * len(rows) * (0.95 + gap))
    figure = Figure(figsize=size, dpi=DPI)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for (label, images), line in zip(rows.items(), axes, strict=True):
        for axis in line:
            axis.set_axis_off()
        for image, axis in zip(images, line, strict=False):
            image = np.asarray(image)
            gray = image.shape[-1] == 1
            axis.imshow(image[..., 0] if gray else image, cmap="gray", vmin=0, vmax=1)
        for title, axis in zip((titles or {}).get(label, ()), line, strict=False):
            axis.set_title(title[:WIDEST], fontsize=6, pad=2, parse_math=False)
        place = {"xycoords": "axes fraction", "ha": "right", "va": "center"}
        line[0].annotate(label, (-0.08, 0.5), parse_math=False, **place)
    figure.subplots_adjust(
        left=margin / size[0],
        right=0.997,
        top=1 - 0.16 / size[1] if titles else 0.99,
        bottom=0.01,
        wspace=0.05,
        hspace=gap,
    )
    layout = {
        "rows": list(rows),
        "titles": [list((titles or {}).get(label, ())) for label in rows],
        "cells": [_places(line, size[1] * DPI) for line in axes],
    }
    return _save(figure, workdir, name, {".png": {"grid": json.dumps(layout)}})


def _places(line: Iterable[Axes], height: float) -> list[list[int]]:
    """Return where the images of a row are: left, top, width and height, in pixels of the PNG.

    height: of the PNG.
    """
    places = []
    for axis in line:
        if axis.images:
            axis.apply_aspect()
            box = axis.get_window_extent()  # from the bottom
            places.append([round(x) for x in (box.x0, height - box.y1, box.width, box.height)])
    return places


def class_labels(classes: np.ndarray, names: Sequence[str]) -> list[list[str]]:
    """Return the names of classes (rows, columns); their numbers where there are no names."""
    return [[names[i] if i < len(names) else str(i) for i in row] for row in classes]


def save_curves(
    workdir: str | Path,
    name: str,
    curves: Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[Summary]]],
    *,
    xlabel: str,
    ylabel: str,
    ylim: tuple[float, float] | None = (-0.05, 1.05),
) -> str:
    """Write figures/`name`.png and .svg: a curve a label, with a band about it.

    curves: for each label x, and as many summaries: a mean or a median, low and high. More than 6
    have their legend beside them, whose title says what the bands are. xlabel, ylabel: with units.
    ylim: None fits the axis to the curves. Returns the name of the PNG.
    """
    many = len(curves) > 6  # more labels than a corner has room for
    figure = Figure(figsize=(9, 4.5) if many else (6, 3.6))
    axis = figure.subplots()
    for i, (label, (x, summaries)) in enumerate(curves.items()):
        center, low, high = _ends(summaries)
        style = {"marker": "o" if len(x) < 30 else "", "linestyle": "-" if i < 10 else "--"}
        (line,) = axis.plot(x, center, markersize=4, label=label, **style)
        axis.fill_between(
            x, low, high, alpha=0.05 if many else 0.2, color=line.get_color(), linewidth=0
        )
    everything = [summary for _, summaries in curves.values() for summary in summaries]
    _finish(axis, xlabel, ylabel, _intervals("band", everything), beside=many)
    axis.set(ylim=ylim)
    figure.tight_layout()
    return _save(figure, workdir, name, LINES)


def save_points(
    workdir: str | Path,
    name: str,
    series: Mapping[str, Sequence[tuple[float | Summary, Summary]]],
    *,
    xlabel: str,
    ylabel: str,
) -> str:
    """Write figures/`name`.png and .svg: points (x, y) for each label, and their fitted line.

    The line is that of least squares through the centers. Summaries have error bars, numbers none.
    xlabel, ylabel: with units. Returns the name of the PNG.
    """
    figure = Figure(figsize=(6, 3.6))
    axis = figure.subplots()
    for label, points in series.items():
        (x, *x_ends), (y, *y_ends) = (_ends(values) for values in zip(*points, strict=True))
        bars = [abs(np.array(ends) - each) for each, ends in ((x, x_ends), (y, y_ends))]
        style = {"fmt": "o", "markersize": 4, "capsize": 2, "elinewidth": 1, "label": label}
        dots, *_ = axis.errorbar(x, y, xerr=bars[0], yerr=bars[1], **style)
        ends = np.array([x.min(), x.max()])
        axis.plot(ends, np.polyval(np.polyfit(x, y, 1), ends), color=dots.get_color())
    values = [value for points in series.values() for point in points for value in point]
    _finish(axis, xlabel, ylabel, _intervals("bars", [v for v in values if isinstance(v, Mapping)]))
    figure.tight_layout()
    return _save(figure, workdir, name, LINES)


def save_planes(
    workdir: str | Path,
    name: str,
    points: np.ndarray,
    labels: np.ndarray,
    panels: Mapping[str, tuple[Callable, np.ndarray]],
) -> str:
    """Write figures/`name`.png and .svg: panels of two classes of points.

    points: (N, 2), in [-1,1]; labels: (N,), 0 or 1. panels: for each label a score, (M, 2) -> (M,),
    whose sign says the side of the boundary, and the attacked points of class 1, (K, 2). Returns
    the name of the PNG.
    """
    size = (4 * len(panels), 5.0)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)
    line = np.linspace(-1.2, 1.2, 121, dtype=np.float32)
    grid = np.stack(np.meshgrid(line, line), axis=-1)
    colors = matplotlib.colormaps["coolwarm"]([0.0, 1.0])
    for (label, (score, attacked)), axis in zip(panels.items(), axes[0], strict=True):
        side = np.asarray(score(grid.reshape(-1, 2))).reshape(grid.shape[:2])
        axis.contourf(line, line, side > 0, levels=1, cmap="coolwarm", alpha=0.25)
        dots = {"s": 2, "rasterized": True}  # thousands of them: an SVG holds their picture
        for k in (0, 1):
            axis.scatter(*points[labels == k].T, color=colors[k], label=f"class {k}", **dots)
        axis.scatter(*attacked.T, color="black", alpha=0.3, label="class 1, attacked", **dots)
        start, end = points[labels == 1].mean(0), attacked.mean(0)
        axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "linewidth": 2})
        axis.set(title=label, xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), xlabel="first coordinate")
        axis.set_aspect("equal")
    axes[0, 0].set_ylabel("second coordinate")
    legend: dict[str, Any] = {"loc": "outside lower center", "ncols": 3, "frameon": False}
    figure.legend(*axes[0, 0].get_legend_handles_labels(), markerscale=4, **legend)
    return _save(figure, workdir, name, LINES)


def _ends(values: Sequence[float | Summary]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the centers, the lower and the upper ends of summaries; a number is all three."""
    rows = [
        (report.center(value), value["low"], value["high"])
        if isinstance(value, Mapping)
        else (value,) * 3
        for value in values
    ]
    center, low, high = np.array(rows, float).T
    return center, low, high


def _intervals(mark: str, summaries: Sequence[Summary]) -> str:
    """Say in the title of a legend what a mark about the centers shows; "" where it shows nothing.

    mark: "band" or "bars".
    """
    wide = [each for each in summaries if each["low"] < each["high"]]
    ranges = [each.get("interval", "range") == "range" for each in wide]
    if not wide:
        return ""
    if any(ranges) and not all(ranges):
        return f"{mark}: 95 % interval; of medians, least to greatest"
    return f"{mark}: least to greatest" if all(ranges) else f"{mark}: 95 % interval"


def _finish(axis: Axes, xlabel: str, ylabel: str, title: str, beside: bool = False) -> None:
    """Label the axes of lines, and give them a grid and a legend with a title."""
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if beside else {}
    small = {"fontsize": "small", "title_fontsize": "small"}
    axis.legend(frameon=False, title=title or None, **small, **place)


# The formats of lines and their metadata. Without a date the same lines are the same bytes.
LINES: dict[str, dict] = {".png": {}, ".svg": {"Date": None}}


def _save(figure: Figure, workdir: str | Path, name: str, formats: Mapping[str, dict]) -> str:
    """Write figures/`name` in the formats, by suffix their metadata; return the PNG's name."""
    folder = Path(workdir) / "figures"
    if jax.process_index():  # the first process writes for all
        return f"{name}.png"
    for suffix, metadata in formats.items():
        path = folder / f"{name}{suffix}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.draft")
            with matplotlib.rc_context({"svg.hashsalt": name}):
                figure.savefig(draft, dpi=DPI, format=suffix[1:], metadata=metadata)
            draft.replace(path)
        except OSError as error:  # a full disk must not cost the numbers, which come after this
            tqdm.write(f"{path}: not written ({error.strerror})", file=sys.stderr)
    return f"{name}.png"
