"""What studies share: their numbers checked, their scores summarized, their table published.

A row of results.json is a dict: text, numbers, and summaries ({"mean" or "median", "low", "high"}).
Its keys are identifiers; what a reader sees above a column is a heading, which lives in a mapping
of its own. So a heading may change without breaking what reads the numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from rrjax import runs
from rrjax.errors import BadInput
from rrjax.evaluate import metrics
from rrjax.runs import report

Row = dict[str, Any]


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


def summarized(scores: Mapping[str, np.ndarray], seed: int) -> Row:
    """Summarize every score over its examples: mean, 95 % bootstrap interval and n."""
    return {name: metrics.summarize(values, seed) for name, values in scores.items()}


def publish(
    workdir: str,
    config: ConfigDict,
    title: str,
    text: Sequence[str],
    rows: Sequence[Row],
    columns: Mapping[str, str],
    figures: Sequence[tuple[str, str]],
    digits: int | Mapping[str, int] = 2,
    **more: Any,
) -> None:
    """Put a study's rows into results.json and report.html, and print its table.

    Args:
      columns: for each key of a row, in order, the heading of its column.
      figures: (file name under figures/, caption) pairs.
      digits: after the point, of summaries; a mapping gives them by key (2 where it has none).
      more: what else results.json gets beside "rows".
    """
    places = digits if isinstance(digits, Mapping) else dict.fromkeys(columns, digits)
    cells = [[_cell(row.get(key, ""), places.get(key, 2)) for key in columns] for row in rows]
    header = list(columns.values())
    section = report.Section(config.study, title, text, header, cells, figures)
    runs.publish(workdir, config, section, {"rows": rows, **more})


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, Mapping):
        return report.with_interval(value, digits)
    return f"{value:g}" if isinstance(value, float) else str(value)
