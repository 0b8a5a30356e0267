"""The six commands as a shell runs them, in processes of their own; `bench` is in tests/bench."""

import json

import pytest
from PIL import Image

from commands import SHRUNK, networks, results, spawn

pytestmark = pytest.mark.slow


def output(name, *arguments):
    """Return what a command prints that must end well."""
    result = spawn(name, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_train_and_the_same_command_again(tmp_path):
    command = ["--config=robust_digits", *SHRUNK, f"--workdir={tmp_path}"]
    output("train", *command)
    log = (tmp_path / "metrics.jsonl").read_text()
    assert '"step": 2,' in log
    output("train", *command)  # it is done already
    assert (tmp_path / "metrics.jsonl").read_text() == log


def test_a_refusal_ends_with_exit_code_2(tmp_path):
    result = spawn("train", "--config=robust_digits", "--config.epochs=0", f"--workdir={tmp_path}")
    assert result.returncode == 2
    assert result.stdout.startswith("rrjax ") and result.stdout.endswith(" on 2 x cpu\n")
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_evaluate(trained, tmp_path):
    small = ["--config.n=20", "--config.steps=(1,)", "--config.eps=(0.0,)"]
    shown = output(
        "evaluate", "--config=evaluate", *networks(trained), *small, f"--workdir={tmp_path}"
    )
    assert "| robust" in shown
    assert set(results(tmp_path)["accuracy"]["models"]) == {"standard", "robust"}


def test_study(tmp_path):
    median = {"median": 0.1, "low": 0.0, "high": 0.2}
    scores = dict.fromkeys(("roar", "kar", "diff_roar"), median)
    facts = {"attribution": "gradient", "norm": "l2"}
    rows = [
        {**facts, **scores, "eps": eps, "accuracy": {"mean": accuracy, "low": 0, "high": 1}}
        for eps, accuracy in ((0.0, 0.9), (1.0, 0.8), (2.0, 0.6))
    ]
    (tmp_path / "results.json").write_text(json.dumps({"retraining": {"rows": rows}}))
    assert "ROAR" in output("study", "--config=tradeoff", f"--workdir={tmp_path}")
    assert results(tmp_path)["tradeoff"]["rows"]


def test_convert(tmp_path):
    arguments = ["--config=untrained:robust_digits", "--config.model.name=tiny"]
    shown = output("convert", *arguments, "--config.model.width=64", f"--workdir={tmp_path}")
    assert f"{tmp_path}: tiny (cifar), not trained\n" in shown
    assert shown.splitlines()[-1].startswith("peak memory of the process: ")


def test_prepare(tmp_path):
    for split in ("train", "test"):
        folder = tmp_path / "tree" / split / "teal"
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8), "teal").save(folder / "1.png")
    arguments = [f"--config.folder={tmp_path / 'tree'}", "--config.name=colors"]
    shown = output("prepare", "--config=prepare_folder", *arguments, f"--workdir={tmp_path}")
    assert "colors/train: 1 images of 1 classes (teal 1)\n" in shown
