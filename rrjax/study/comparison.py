"""What studies share: check settings, choose units, save parts, summarize, publish a table.

A row of results.json is a dict: text, numbers, and summaries ({"mean" or "median", "low", "high"}).
Its keys are identifiers; what a reader sees above a column is a heading, which lives in a mapping
of its own. So a heading may change without breaking what reads the numbers.
"""

import ctypes
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from ml_collections import ConfigDict
from tqdm import tqdm

from rrjax import BadInput, runs
from rrjax.core import vmapped
from rrjax.evaluate import metrics
from rrjax.runs import report

Row = dict[str, Any]
FEW = (
    "In parentheses, of fewer than 5 examples: the least and the greatest value, since no interval "
    "of so few covers what it should."
)


def require(config: ConfigDict, **least: float) -> None:
    """Check fields of a config against the least value that each may have.

    Raises:
      BadInput: in one line, naming every field that is too small.
    """
    small = [name for name, value in least.items() if not config[name] >= value]  # a NaN too
    if small:
        wrong = ", ".join(f"{name}={config[name]}" for name in small)
        needed = ", ".join(f"{name} of at least {least[name]:g}" for name in small)
        raise BadInput(f"{wrong}: give {needed}")


def summarized(scores: Mapping[str, npt.ArrayLike], seed: int) -> Row:
    """Summarize every score over its examples: mean, 95 % interval and n (`metrics.summarize`)."""
    return {name: metrics.summarize(values, seed) for name, values in scores.items()}


def in_pairs(
    scores: Mapping[str, npt.ArrayLike], first: Mapping[str, npt.ArrayLike], seed: int
) -> Row:
    """Summarize scores, and how much more each is than the first network's, in pairs of examples.

    scores, first: of the same examples, in the same order. The differences' keys end in "_more".
    The first network's own row, for which both are the same object, has none.
    """
    if scores is first:
        return summarized(scores, seed)
    more = {
        f"{name}_more": np.asarray(values, np.float64) - np.asarray(first[name], np.float64)
        for name, values in scores.items()
    }
    return summarized(scores, seed) | summarized(more, seed)


def choose_units(
    network: runs.Frozen, images: vmapped.Rows, n: int, config: ConfigDict
) -> tuple[np.ndarray, np.ndarray]:
    """Choose `n` coordinates of the representation: config.first_units, then some drawn.

    Those that are drawn are not the same for all of the images, (N, H, W, C), float in [0,1].
    config: also its batch_size, and its seed, which decides. Returns the units, (n,), and the
    representations of the images, (N, D).

    Raises:
      BadInput: if fewer units differ.
    """
    _, representations = vmapped.represent_images(network.apply, images, config.batch_size)
    rng = np.random.default_rng(config.seed)
    units = vmapped.alive_units(representations, n, rng, config.first_units)
    return units, representations


def part_cache(
    workdir: str,
    config: ConfigDict,
    name: str,
    network: runs.Frozen | runs.Autoencoder,
    *more: Any,
) -> Callable:
    """Return the cache of `in_saved_parts`, of what a study makes with one network.

    more: pytrees of whatever else decides it, as `runs.disk_cache` takes them.
    """
    if isinstance(network, runs.Autoencoder):
        arrays = (network.encode, network.decode, network.compare)
    else:
        arrays = network.variables
    identity = (name, network.config.to_json(sort_keys=True), arrays, more)
    return runs.disk_cache(workdir, config.study, config, identity)


def in_saved_parts(
    cached: Callable, label: str, function: Callable, size: int, *stacks: vmapped.Rows
) -> dict[str, np.ndarray]:
    """Call `function` on stacks of n rows, `size` rows at a time; a part that is saved is read.

    So a study that is killed loses at most a part, and takes the memory of one part, beside what it
    reports. A part is known by the config and the network of its cache, by the label and by the
    values of its rows.

    Args:
      cached: of `part_cache`.
      label: what is done, for the progress bar; it tells apart what is done to the same rows.
      function: arrays of at most `size` rows each -> arrays by name. They have as many rows, or
        those alone that are shown.
      size: the number of rows of a part.
      *stacks: arrays, or what reads its rows when they are asked for.
    """
    parts = []
    for first in tqdm(range(0, len(stacks[0]), size), disable=None, desc=label, unit="part"):
        rows = [np.asarray(stack[first : first + size]) for stack in stacks]
        content = hashlib.sha256()
        for each in rows:
            content.update(f"{each.shape} {each.dtype} ".encode() + each.tobytes())
        parts.append(cached(f"{label} {content.hexdigest()}", partial(function, *rows)))
        release_freed_memory()
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def release_freed_memory() -> None:
    """Give the system the memory that this process has freed, where the C library can (glibc).

    It keeps freed arrays to use them again, but what a part leaves behind lies between them: the
    arrays of the next part fit into none of the pieces, and a study of many parts would grow.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)


def searched_images(
    cached: Callable, label: str, search: Callable, size: int, *stacks: vmapped.Rows
) -> np.ndarray:
    """Return the images that a search makes of stacks of n rows, in parts that are saved.

    search: arrays of as many rows each -> as many images, for `in_parts`. The other arguments are
    those of `in_saved_parts`.
    """

    def part(*rows: np.ndarray) -> dict[str, np.ndarray]:
        return {"image": vmapped.in_parts(search, size, *rows)}

    return in_saved_parts(cached, label, part, size, *stacks)["image"]


def times_largest(reached: np.ndarray, units: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Divide what each unit has grown to by its largest value among the observed images.

    Args:
      reached: (..., units, D), the representations of the images that were grown for each unit.
      units: (units,), coordinates of the representation.
      observed: (N, D), the representations of the observed images.

    Returns:
      (..., units); NaN where none of the observed images has a value above 0.
    """
    largest = observed[:, units].max(0)
    return reached[..., np.arange(len(units)), units] / np.where(largest > 0, largest, np.nan)


def publish(
    workdir: str,
    config: ConfigDict,
    title: str,
    text: Sequence[str],
    rows: Sequence[Row],
    columns: Mapping[str, str],
    figures: Sequence[tuple[str, str] | report.Slider],
    digits: int | Mapping[str, int] = 2,
    **more: Any,
) -> None:
    """Put a study's rows into results.json and report.html, and print its table.

    Args:
      workdir: the folder.
      config: of the study; config.study names the section.
      title: the section's.
      text: its paragraphs: what the pictures show, and what the numbers are.
      rows: of results.json and of the table.
      columns: for each key of a row, in order, the heading of its column.
      figures: (file name under figures/, caption) pairs, and sliders over some of them.
      digits: after the point, of summaries; a mapping gives them by key (2 where it has none).
      more: what else results.json gets beside "rows".
    """
    part = section(config, title, text, rows, columns, figures, digits)
    runs.publish(workdir, config, part, {"rows": rows, **more})


def section(
    config: ConfigDict,
    title: str,
    text: Sequence[str],
    rows: Sequence[Row],
    columns: Mapping[str, str],
    figures: Sequence[tuple[str, str] | report.Slider],
    digits: int | Mapping[str, int] = 2,
) -> report.Section:
    """Make a study's part of report.html; for a table of other rows than those of results.json.

    Arguments are `publish`'s. A cell whose row has no such key is empty.
    """
    places = digits if isinstance(digits, Mapping) else dict.fromkeys(columns, digits)
    cells = [[_cell(row.get(key, ""), places.get(key, 2)) for key in columns] for row in rows]
    header = list(columns.values())
    few = any(_is_range(value) for row in rows for value in row.values())
    text = [*text, FEW] if few else text
    return report.Section(config.study, title, text, header, cells, figures)


def by_norm(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Group networks' rows by (attribution, norm of training); eps 0 belongs to every norm.

    A row has "attribution", "norm" and "eps". Norms are sorted, attributions in the rows' order.
    """
    norms = sorted({row["norm"] for row in rows if row["eps"]})
    attributions = dict.fromkeys(row["attribution"] for row in rows)
    return {
        (each, norm): [
            row
            for row in rows
            if row["attribution"] == each and (row["norm"] == norm or not row["eps"])
        ]
        for norm in norms
        for each in attributions
    }


def _is_range(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("interval") == "range"


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, Mapping):
        return report.with_interval(value, digits)
    return f"{value:g}" if isinstance(value, float) else str(value)
