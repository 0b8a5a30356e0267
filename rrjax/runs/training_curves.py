"""The training curves of the run folders that a folder's studies are about, for its report."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rrjax.runs.report import Section

MOST = 6  # runs that are drawn
LEAST = 3  # lines of a log, for a curve
POINTS = 100  # of a curve at most; each is the mean of the lines of the log that it stands for
LOSSES = {"train_loss": "training", "test_loss": "test"}
ACCURACIES = {"test_accuracy": "clean", "test_adversarial_accuracy": "attacked"}
COLUMNS = {"epoch": "epochs", "train_loss": "training loss", "test_loss": "test loss"}
COLUMNS |= {"test_accuracy": "test accuracy", "test_adversarial_accuracy": "under attack"}

Log = dict[str, np.ndarray]  # by metric (2, lines): epochs, and values


def training_section(workdir: str | Path, results: Mapping[str, Any]) -> Section | None:
    """Draw how the runs were trained that the configs of studies name; None where none has a log.

    results: of the folder, by study (`read_results`).
    """
    configs = [study.get("config") for study in results.values() if isinstance(study, Mapping)]
    logs = {run: _log(Path(run)) for run in dict.fromkeys(_run_folders(configs))}
    logs = {run: log for run, log in logs.items() if len(log["train_loss"][0]) >= LEAST}
    if not logs:
        return None
    text = (
        "The runs that the studies of this page are about, one training each; a point is the mean "
        "of the lines of the log that it stands for, the band their least and greatest."
    )
    if len(logs) > MOST:
        text += f" The first {MOST} of {len(logs)} are drawn."
    return Section(
        name="training",
        title="Training curves",
        text=[text],
        header=["run", *COLUMNS.values()],
        rows=[[run, *(_last(log, metric) for metric in COLUMNS)] for run, log in logs.items()],
        figures=_pictures(workdir, dict(list(logs.items())[:MOST])),
    )


def _run_folders(settings: Any) -> Iterator[str]:
    """Find the paths of run folders among the values of configs."""
    if isinstance(settings, str):
        if settings and (Path(settings) / "metrics.jsonl").is_file():
            yield settings
    elif isinstance(settings, Mapping | Sequence):
        for value in settings.values() if isinstance(settings, Mapping) else settings:
            yield from _run_folders(value)


def _log(run: Path) -> Log:
    """Read the metrics of a run, and at which epochs they were taken."""
    text = (run / "metrics.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.split("\n")[:-1]]  # the last may be half a line
    epochs = {line["step"]: line["epoch"] for line in lines if "epoch" in line}
    log: dict[str, list] = {metric: [] for metric in (*COLUMNS, *LOSSES)}
    for line in lines:
        # An evaluation is logged after the training step that it is of.
        epoch = line.get("epoch", epochs.get(line["step"]))
        for metric in log.keys() & line.keys():
            log[metric].append((epoch, line[metric]))
    return {metric: np.array(pairs, float).reshape(-1, 2).T for metric, pairs in log.items()}


def _last(log: Log, metric: str) -> str:
    _, values = log[metric]
    return f"{values[-1]:.4g}" if len(values) else ""


def _pictures(workdir: str | Path, logs: Mapping[str, Log]) -> list[tuple[str, str]]:
    # Imported here: matplotlib takes half a second, and a training draws nothing.
    from rrjax.runs import figures

    kinds = {
        "loss": (LOSSES, "loss, as each was trained"),
        "accuracy": (ACCURACIES, "test accuracy, share of images"),
    }
    pictures = []
    for kind, (metrics, ylabel) in kinds.items():
        curves = {
            f"{run}, {label}": _curve(*log[metric])
            for run, log in logs.items()
            for metric, label in metrics.items()
            if len(log[metric][0])
        }
        if curves:
            axes = {"xlabel": "epoch", "ylabel": ylabel, "ylim": None}
            file = figures.save_curves(workdir, f"training_{kind}", curves, **axes)
            pictures.append((file, f"Training: {kind} by epoch"))
    return pictures


def _curve(epochs: np.ndarray, values: np.ndarray) -> tuple[list[float], list[dict[str, float]]]:
    """Average the lines of a log in at most POINTS parts, each with its least and greatest."""
    parts = [np.array_split(each, min(POINTS, len(values))) for each in (epochs, values)]
    summaries = [{"mean": v.mean(), "low": v.min(), "high": v.max()} for v in parts[1]]
    return [float(part.mean()) for part in parts[0]], summaries
