"""The first paper's figures by published networks: the rules of imagenet-zoo, and commands."""

import os
import shlex
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

import hub as loopback
from commands import refused, results, works
from paths import ROOT
from rrjax.configs import imagenet_zoo
from rrjax.runs import published

pytest.importorskip("huggingface_hub")
STANDARD, ROBUST = "resnet50_l2_eps0", "resnet50_l2_eps3"
STUDIES = ["inversion", "proximity", "interpolation", "visualization", "regularized"]
STUDIES += ["manipulation", "activations"]
SHRUNK = {  # with make's -e the environment's go before the rules' own
    "proximity_flags": "--config.n=2 --config.steps=2 --config.free_steps=2 "
    "--config.radii='(1.0,)'",
    "visualization_flags": "--config.units=2 --config.n=2 --config.steps=2 --config.observed=4",
}


def rules(photographs, *flags, **environment):
    """Return the commands of the target, by the names of their logs, as lists of words."""
    settings = photographs / "settings"
    settings.touch()
    given = {"SETTINGS": settings, "PHOTOS": photographs, "STEPS": "7", "FLAGS": shlex.join(flags)}
    given = {name: str(value) for name, value in (given | environment).items()}
    make = ["make", "--dry-run", "-e", "--file=launch/reproduce.mk", "imagenet-zoo"]
    printed = subprocess.run(
        make, cwd=ROOT, env=os.environ | {"DATA": ""} | given, capture_output=True, check=True
    ).stdout.decode()
    lines = printed.replace("\\\n", " ").splitlines()
    expanded = [line.replace("$PHOTOS", given["PHOTOS"]) for line in lines]
    commands = [words for line in expanded if "logged.sh" in (words := shlex.split(line))[1]]
    return {words[3].split("/")[-1].removesuffix(".log"): words[4:] for words in commands}


@pytest.fixture
def photographs(tmp_path):
    """A folder of photographs, as a user has them."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        pixels = rng.integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.jpg")
    return folder


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make")


@needs_make
def test_the_rules_are_every_study_of_the_first_paper(photographs):
    commands = rules(photographs, "--config.batch_size=4")
    assert sorted(commands) == sorted(STUDIES)
    for name, words in commands.items():
        assert words[:4] == ["python", "-m", "rrjax.study", f"--config=configs/{name}.py:paper"]
        assert f"--config.standard={STANDARD}" in words and f"--config.robust={ROBUST}" in words
        assert f"--config.data.path={photographs}" in words
        assert words[-1] == "--config.batch_size=4"
    for name in ("inversion", "interpolation"):
        assert "--config.steps=7" in commands[name]
    assert "--config.free_steps=7" in commands["proximity"]
    with_data = rules(photographs, DATA="imagenet")
    assert sorted(with_data) == sorted([*STUDIES, "accuracy"])
    assert "--config=configs/imagenet_zoo.py" in with_data["accuracy"]


def test_the_ladder_is_the_published_one():
    config = imagenet_zoo.get_config()
    names = {config.standard, config.robust, *config.more}
    assert names == {name for name in published.NETWORKS if name.startswith("resnet50_l2_")}


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A hub with a small network in the place of each of the two."""
    with loopback.serve_client(monkeypatch, tmp_path) as served:
        for name in (STANDARD, ROBUST):
            small = loopback.SMALL._replace(file=f"{name}.ckpt")
            monkeypatch.setitem(published.NETWORKS, name, small)
            path = loopback.PATH.replace(loopback.NAME, name)
            served.files[path] = loopback.checkpoint(loopback.state(seed=len(served.files)))
        yield served


@needs_make
@pytest.mark.slow
def test_two_of_the_rules_of_photographs_alone(server, photographs, tmp_path):
    commands = rules(photographs, "--config.batch_size=4", **SHRUNK)
    for name in ("proximity", "visualization"):
        works("study", *commands[name][3:], f"--workdir={tmp_path / 'out'}")
        rows = results(tmp_path / "out")[name]["rows"]
        assert {row["network"] for row in rows} == {"standard", "robust"}
    assert sorted(line for line in server.asked if "GET" in line) == sorted(
        f"GET {path}" for path in server.files
    )
    synthesis = ["study", "--config=synthesis", *commands["proximity"][5:9]]
    assert "no labels, which are needed here" in refused(*synthesis, f"--workdir={tmp_path}/other")


@pytest.mark.slow
def test_the_accuracy_of_the_ladder(server, photographs, tmp_path):
    for name in "abcde":
        (tmp_path / "data/val" / name).mkdir(parents=True)
        shutil.copy(photographs / "1.jpg", tmp_path / "data/val" / name)
    small = ["--config.more=()", "--config.n=5", "--config.steps=(2,)", "--config.batch_size=6"]
    data = f"--config.data.path={tmp_path / 'data'}"
    works("evaluate", "--config=imagenet_zoo", f"--workdir={tmp_path}/out", data, *small)
    cells = results(tmp_path / "out")["accuracy"]["models"]["robust"]
    assert [(cell["eps"], cell["n"]) for cell in cells] == [(0, 5), (0.5, 5), (1, 5), (3, 5)]
    # The five images are one, of five labels.
    assert cells[0]["mean"] == pytest.approx(0.2)
