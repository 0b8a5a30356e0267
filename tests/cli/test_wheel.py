"""The sdist and its wheel: what they hold, and that it works from a folder that is no clone."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

from commands import SHRUNK
from paths import ROOT

pytestmark = pytest.mark.slow


def python(*arguments, cwd, path=""):
    """Run Python in a folder with `path` before the environment's packages; return its output."""
    environment = os.environ | {"PYTHONPATH": str(path)}
    command = [sys.executable, *map(str, arguments)]
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


FOLDERS = ("rrjax", "configs", "docs", "launch", "tests")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """Build and unpack the sdist of a copy of the clone; return the folder in it."""
    clone = tmp_path_factory.mktemp("sdist") / "clone"
    clone.mkdir()
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", "_build", "_generated")
        shutil.copytree(ROOT / name, clone / name, ignore=ignored)
    for path in (path for path in ROOT.iterdir() if path.is_file()):
        shutil.copy(path, clone)
    python("-c", "from setuptools import build_meta; build_meta.build_sdist('..')", cwd=clone)
    (file,) = clone.parent.glob("rrjax-*.tar.gz")
    with tarfile.open(file) as archive:
        archive.extractall(clone.parent, filter="data")
    return file.with_suffix("").with_suffix("")


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """Build the wheel of the sdist, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    python(*command, "--wheel-dir", folder, sdist, cwd=folder)
    (file,) = folder.glob("rrjax-*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Install the wheel into a folder of its own; the environment has what it requires."""
    folder = tmp_path_factory.mktemp("installed")
    command = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder]
    python(*command, wheel, cwd=folder)
    return folder


def test_the_files_of_the_sdist(sdist):
    for folder in FOLDERS:
        ours = {
            path for path in (ROOT / folder).rglob("*.*") if path.suffix in (".py", ".sh", ".md")
        }
        ours = {path.relative_to(ROOT) for path in ours if "_generated" not in path.parts}
        assert ours and not [path for path in ours if not (sdist / path).is_file()], folder
    for name in ("README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "setup.cfg"):
        assert (sdist / name).is_file(), name


def test_the_files_of_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {"rrjax", f"{wheel.name.split('-py3')[0]}.dist-info"}
    for folder, inside in (("rrjax", "rrjax"), ("configs", "rrjax/configs")):
        expected = {
            f"{inside}/{p.relative_to(ROOT / folder)}" for p in (ROOT / folder).rglob("*.py")
        }
        assert expected <= names
    assert {"rrjax/py.typed", "rrjax/runs/page.html"} <= names
    pretrained = [p for p in (ROOT / "rrjax/runs/pretrained").iterdir() if p.is_file()]
    assert {f"rrjax/runs/pretrained/{path.name}" for path in pretrained} <= names


def test_train_and_evaluate_from_an_empty_folder(installed, tmp_path):
    command = ["-m", "rrjax.train", "--config=robust_digits"]
    shown = python("-c", "import rrjax; print(rrjax.__file__)", cwd=tmp_path, path=installed)
    assert shown.startswith(str(installed))
    python(*command, *SHRUNK, cwd=tmp_path, path=installed)
    assert (tmp_path / "runs/robust_digits/config.json").exists()
    command = ["-m", "rrjax.evaluate", "--config=evaluate", "--config.standard="]
    command += ["--config.robust=runs/robust_digits", "--config.steps=(1,)"]
    assert "| robust" in python(*command, cwd=tmp_path, path=installed)
    results = json.loads((tmp_path / "runs/evaluate/results.json").read_text())
    assert [row["n"] for row in results["accuracy"]["models"]["robust"]] == [360] * 4


PROJECT = """
import sys

import configs
from configs import robust_digits
from rrjax import cli
from rrjax.configs import robust_digits as shipped

assert robust_digits.MINE and not hasattr(shipped, "MINE")
assert cli.load_config("robust_digits").model.name == "resnet8"
from rrjax.train.__main__ import main

main(["rrjax.train", "--config=robust_digits", *sys.argv[1:]])
import configs.robust_digits

assert configs.robust_digits.MINE
"""


@pytest.mark.parametrize("files", [["robust_digits.py", "__init__.py"], ["robust_digits.py"]])
def test_a_project_has_configs_of_its_own(files, installed, tmp_path):
    (tmp_path / "configs").mkdir()
    for file in files:
        (tmp_path / "configs" / file).write_text("MINE = True\n")
    python("-c", PROJECT, *SHRUNK, cwd=tmp_path, path=installed)
    assert (tmp_path / "runs/robust_digits/metrics.jsonl").exists()
