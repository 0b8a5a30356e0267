"""Image grids and curves, as PNG. Takes arrays; knows no study.

Figures are objects of their own, without pyplot: neither its backend, which belongs to a notebook
that imports rrjax, nor MPLBACKEND has to do with them.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from rrjax.runs import report

WIDEST = 18  # letters of a title that fit above an image
Summary = Mapping[str, float]
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
    square of `side` inches. titles: for each row, what stands above its images.
    """
    columns = max(len(images) for images in rows.values())
    margin = 0.15 + 0.09 * max(map(len, rows))  # inches, for the longest label
    gap = 0.25 if titles else 0.05  # between rows, in sides
    size = (margin + side * columns, side * len(rows) * (0.95 + gap))
    figure = Figure(figsize=size)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for (label, images), line in zip(rows.items(), axes, strict=True):
        for axis in line:
            axis.set_axis_off()
        for image, axis in zip(images, line, strict=False):
            image = np.asarray(image)
            gray = image.shape[-1] == 1
            axis.imshow(image[..., 0] if gray else image, cmap="gray", vmin=0, vmax=1)
        for title, axis in zip((titles or {}).get(label, ()), line, strict=False):
            axis.set_title(title[:WIDEST], fontsize=6, pad=2)
        line[0].annotate(label, (-0.08, 0.5), xycoords="axes fraction", ha="right", va="center")
    figure.subplots_adjust(
        left=margin / size[0],
        right=0.997,
        top=1 - 0.16 / size[1] if titles else 0.99,
        bottom=0.01,
        wspace=0.05,
        hspace=gap,
    )
    return _save(figure, workdir, name)


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
    """Write figures/`name`.png and return the file name: a curve a label, with a band about it.

    curves: for each label x, and as many summaries: a mean or a median, low and high. More than 6
    have their legend beside them. ylim: None fits the axis to the curves.
    """
    many = len(curves) > 6  # more labels than a corner has room for
    figure = Figure(figsize=(9, 4.5) if many else (6, 3.6))
    axis = figure.subplots()
    for i, (label, (x, summaries)) in enumerate(curves.items()):
        center = np.array([report.center(summary) for summary in summaries])
        low, high = (np.array([s[end] for s in summaries]) for end in ("low", "high"))
        style = {"marker": "o" if len(x) < 30 else "", "linestyle": "-" if i < 10 else "--"}
        (line,) = axis.plot(x, center, markersize=4, label=label, **style)
        axis.fill_between(
            x, low, high, alpha=0.05 if many else 0.2, color=line.get_color(), linewidth=0
        )
    axis.set(xlabel=xlabel, ylabel=ylabel, ylim=ylim)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    if many:
        axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
    else:
        axis.legend(frameon=False)
    figure.tight_layout()
    return _save(figure, workdir, name)


def save_points(
    workdir: str | Path,
    name: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    xlabel: str,
    ylabel: str,
) -> str:
    """Write figures/`name`.png: points (x, y) for each label, and their line of least squares.

    Return the file name.
    """
    figure = Figure(figsize=(6, 3.6))
    axis = figure.subplots()
    for label, points in series.items():
        x, y = np.array(points).T
        dots = axis.scatter(x, y, s=20, label=label)
        ends = np.array([x.min(), x.max()])
        axis.plot(ends, np.polyval(np.polyfit(x, y, 1), ends), color=dots.get_facecolor()[0])
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    figure.tight_layout()
    return _save(figure, workdir, name)


def save_planes(
    workdir: str | Path,
    name: str,
    points: np.ndarray,
    labels: np.ndarray,
    panels: Mapping[str, tuple[Callable, np.ndarray]],
) -> str:
    """Write figures/`name`.png and return the file name: panels of two classes of points.

    points: (N, 2), in [0,1]; labels: (N,), 0 or 1. panels: for each label a score, (M, 2) -> (M,),
    whose sign says the side of the boundary, and the attacked points of class 1, (K, 2).
    """
    size = (4 * len(panels), 4.3)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)
    line = np.linspace(-0.1, 1.1, 121, dtype=np.float32)
    grid = np.stack(np.meshgrid(line, line), axis=-1)
    for (label, (score, attacked)), axis in zip(panels.items(), axes[0], strict=True):
        side = np.asarray(score(grid.reshape(-1, 2))).reshape(grid.shape[:2])
        axis.contourf(line, line, side > 0, levels=1, cmap="coolwarm", alpha=0.25)
        axis.scatter(*points.T, c=labels, s=2, cmap="coolwarm")
        axis.scatter(*attacked.T, s=2, color="black", alpha=0.3)
        start, end = points[labels == 1].mean(0), attacked.mean(0)
        axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "linewidth": 2})
        axis.set(title=label, xlim=(-0.1, 1.1), ylim=(-0.1, 1.1), xticks=[], yticks=[])
        axis.set_aspect("equal")
    return _save(figure, workdir, name)


def _save(figure: Figure, workdir: str | Path, name: str) -> str:
    path = Path(workdir) / "figures" / f"{name}.png"
    if jax.process_index():  # the first process writes for all
        return path.name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{name}.png.draft")
        figure.savefig(draft, dpi=120, format="png")
        draft.replace(path)
    except OSError as error:  # a full disk must not cost the numbers, which are written after this
        tqdm.write(f"{path}: not written ({error.strerror})", file=sys.stderr)
    return path.name
