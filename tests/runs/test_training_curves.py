"""The training curves in a report: of which runs, and which points."""

import json

import numpy as np
import pytest

from rrjax.runs import training_curves


def run_folder(folder, lines, end=""):
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines) + end)
    return str(folder)


def trained(n):
    """The log of a training of n steps, ten of them an epoch, evaluated after the last."""
    lines = [{"step": i, "epoch": i / 10, "train_loss": 1 / i} for i in range(1, n + 1)]
    return [*lines, {"step": n, "test_loss": 0.5, "test_accuracy": 0.75}]


def test_runs_are_those_that_configs_name(tmp_path):
    standard = run_folder(tmp_path / "standard", trained(4), end='{"step": 5, "ep')  # killed
    robust = run_folder(tmp_path / "robust", trained(30))
    short = run_folder(tmp_path / "short", trained(2))  # no curve
    configs = [
        {"standard": standard, "n": 3},
        {"more": (short, robust), "other": {"run": standard}},
    ]
    results = {f"study {i}": {"config": config} for i, config in enumerate(configs)}
    section = training_curves.training_section(tmp_path, results | {"older": {"rows": []}})
    assert section.rows == [
        [standard, "0.4", "0.25", "0.5", "0.75", ""],
        [robust, "3", "0.03333", "0.5", "0.75", ""],
    ]
    files = [file for file, _ in section.figures]
    assert files == ["training_loss.png", "training_accuracy.png"]
    assert all((tmp_path / "figures" / file).exists() for file in files)
    assert (
        training_curves.training_section(tmp_path, {"study": {"config": {"robust": short}}}) is None
    )
    assert training_curves.training_section(tmp_path, {}) is None


def test_a_point_is_the_mean_of_its_lines():
    epochs, values = np.arange(250) / 10, np.arange(250.0)
    x, summaries = training_curves._curve(epochs, values)
    assert len(x) == len(summaries) == training_curves.POINTS
    assert summaries[0] == {"mean": 1.0, "low": 0.0, "high": 2.0} and x[0] == pytest.approx(0.1)
    assert max(each["high"] for each in summaries) == 249


def test_an_evaluation_is_at_the_epoch_of_its_step(tmp_path):
    log = training_curves._log(tmp_path / run_folder(tmp_path / "run", trained(20)))
    np.testing.assert_array_equal(log["test_accuracy"], [[2.0], [0.75]])


def test_of_many_runs_the_first_are_drawn(tmp_path):
    runs = [run_folder(tmp_path / f"run{i}", trained(3)) for i in range(training_curves.MOST + 1)]
    section = training_curves.training_section(tmp_path, {"study": {"config": {"runs": runs}}})
    assert len(section.rows) == len(runs) and "The first 6 of 7 are drawn." in section.text[0]
