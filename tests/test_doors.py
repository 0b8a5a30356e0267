"""Every shipped config runs, shrunk, through its real entry point; bad input gets one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
CONFIGS = {path.stem for path in (ROOT / "configs").glob("*.py")} - {"__init__", "defaults"}
SHRUNK = [
    "--config.epochs=1",
    "--config.batch_size=718",  # two steps
    "--config.model.width=2",
    "--config.attack.steps=1",
]
RAN = {"robust_digits", "standard_digits", "evaluate", "inversion", "training_eps"}


def door(name, *arguments):
    command = [sys.executable, "-m", f"rrjax.{name}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)


def works(name, *arguments):
    result = door(name, *arguments)
    assert result.returncode == 0, result.stderr
    return result


def refused(name, *arguments):
    """Return the one line with which a command refuses."""
    result = door(name, *arguments)
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0]


def test_every_config_is_run_here():
    assert CONFIGS == RAN


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Run folders of the two training configs, shrunk."""
    root = tmp_path_factory.mktemp("runs")
    for name in ("standard", "robust"):
        works("train", f"--config=configs/{name}_digits.py", f"--workdir={root / name}", *SHRUNK)
    return root


def networks(root):
    return [f"--config.standard={root / 'standard'}", f"--config.robust={root / 'robust'}"]


@pytest.mark.slow
def test_train_and_evaluate(trained, tmp_path):
    log = (trained / "robust/metrics.jsonl").read_text().splitlines()
    steps = {json.loads(line)["step"] for line in log}
    assert steps == {2}
    arguments = [*networks(trained), "--config.steps=(1, 2)", "--config.eps=(0.0, 1.0)"]
    shown = works("evaluate", "--config=configs/evaluate.py", f"--workdir={tmp_path}", *arguments)
    models = json.loads((tmp_path / "results.json").read_text())["accuracy"]["models"]
    assert {name: len(cells) for name, cells in models.items()} == {"standard": 4, "robust": 4}
    assert all(cell["n"] == 360 for cells in models.values() for cell in cells)
    assert "| robust" in shown.stdout
    assert "Accuracy under attack" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_inversion(trained, tmp_path):
    arguments = [*networks(trained), "--config.steps=2", "--config.n=3"]
    works("study", "--config=configs/inversion.py", f"--workdir={tmp_path}", *arguments)
    rows = json.loads((tmp_path / "results.json").read_text())["inversion"]["rows"]
    assert len(rows) == 2 * 3 * 2  # networks, targets, starts
    assert all(row[score]["n"] == 3 for row in rows for score in ("distance", "ssim"))
    page = (tmp_path / "report.html").read_text()
    pictures = sorted((tmp_path / "figures").glob("*.png"))
    assert len(pictures) == 6
    for picture in pictures:
        assert f'src="figures/{picture.name}"' in page
        assert np.asarray(Image.open(picture)).std() > 1


@pytest.mark.slow
def test_training_eps(trained, tmp_path):
    for eps, name in (("0", "standard"), ("2", "robust")):
        (tmp_path / f"eps{eps}_seed0").symlink_to(trained / name)
    arguments = [
        "--config.train_eps=(0.0, 2.0)",
        "--config.seeds=(0,)",
        "--config.inversion_steps=2",
    ]
    arguments += [f"--config.root={tmp_path}", "--config.n=3", "--config.attack_steps=2"]
    works("study", "--config=configs/training_eps.py", f"--workdir={tmp_path}", *arguments)
    rows = json.loads((tmp_path / "results.json").read_text())["training_eps"]["rows"]
    assert [(row["eps"], row["seed"]) for row in rows] == [(0.0, 0), (2.0, 0)]


@pytest.mark.slow
def test_train_on_your_own_folder(tmp_path):
    rng = np.random.default_rng(0)
    for split, n in (("train", 30), ("test", 5)):
        for label in ("cat", "dog"):
            folder = tmp_path / "set" / split / label
            folder.mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (20 + i, 24, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    workdir = tmp_path / "run"
    arguments = ["--config=configs/robust_digits.py", f"--workdir={workdir}", *SHRUNK]
    arguments += ["--config.data.name=folder", f"--config.data.path={tmp_path / 'set'}"]
    arguments += ["--config.batch_size=20", "--config.data.crop_padding=2", "--config.data.flip=1"]
    message = refused("train", *arguments)
    assert "2 classes and the model 10; set --config.model.classes=2" in message
    arguments += ["--config.model.classes=2"]
    assert "3 channels, the model 1: give --config.model.mean" in refused("train", *arguments)
    assert not workdir.exists()
    arguments += ["--config.model.mean=(0.5,0.5,0.5)", "--config.model.std=(0.2,0.2,0.2)"]
    works("train", *arguments)
    assert (workdir / "metrics.jsonl").read_text().count("train_loss") == 1


TRAIN = ["train", "--config=configs/robust_digits.py"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*TRAIN, "--config.attack.epss=3"], 'Did you mean "eps"'),
        ([*TRAIN, "--config.atack.eps=3"], 'Did you mean "attack"'),
        ([*TRAIN, "--config.attack.eps=3/255"], "could not convert string to float: '3/255'"),
        ([*TRAIN, "--config.attack.steps=7.5"], "7.5"),
        ([*TRAIN, "--config.attack.norm=l3"], "attack.norm='l3'"),
        ([*TRAIN, "--config.model.name=resnet51"], "model name 'resnet51': choose from"),
        ([*TRAIN, "--config.model.classes=5"], "set --config.model.classes=10"),
        ([*TRAIN, "--config.batch_size=7"], "set it to a multiple of 2"),
        ([*TRAIN, "--config.epochs=0"], "epochs=0"),
        ([*TRAIN, "--config.data.name=mnist"], "choose from"),
        (
            [*TRAIN, "--config.data.name=folder", "--config.data.path=/no/such"],
            "'/no/such' is no folder; set --config.data.path",
        ),
        ([*TRAIN, "--config.attack.keep=first"], "attack.keep='first'"),
        ([*TRAIN, "--config.model.name=alexnet"], "variant"),
        ([*TRAIN, "extra"], "unexpected argument 'extra'"),
        (["train", "--config=configs/inversion.py"], "another command's config"),
        (["train", "--config=configs/nothing.py"], "configs/nothing.py"),
        (["train", "--config=README.md"], "--config cannot be loaded"),
        (["evaluate", TRAIN[1]], "another command's config"),
        (["evaluate", "--config=configs/evaluate.py", "--config.steps=(0,)"], "steps=(0,)"),
        (["evaluate", "--config=configs/evaluate.py", "--config.eps=()"], "eps=()"),
        (["study", "--config=configs/inversion.py", "--config.n=1"], "n=1"),
        (["train"], "--config"),
        (
            ["study", "--config=configs/inversion.py", "--config.robust=/no/such"],
            "not a run folder",
        ),
        (["study", "--config=configs/inversion.py", "--config.study=magic"], "choose one of"),
        (["evaluate", "--config=configs/evaluate.py", "--config.standard=/no"], "not a run folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[-2:]),
)
def test_bad_input_gets_one_line_and_writes_nothing(arguments, message, tmp_path):
    assert message in refused(*arguments, f"--workdir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_workdir_of_another_run_is_left_alone(trained):
    before = {p: p.stat().st_mtime_ns for p in (trained / "robust").rglob("*") if p.is_file()}
    message = refused(*TRAIN, f"--workdir={trained / 'robust'}")
    assert "holds another run" in message and "attack.steps was 1, now 7" in message
    assert before == {
        p: p.stat().st_mtime_ns for p in (trained / "robust").rglob("*") if p.is_file()
    }
