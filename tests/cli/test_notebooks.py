"""The notebooks run, cell by cell, with small settings of the tests' own; only their installation,
and what they download, is read.
"""

import io
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
from PIL import Image

from commands import SHRUNK, logged, results
from paths import ROOT
from rrjax.data import outside

NOTEBOOKS = ("colab", "colab_tpu")


def cells(name, kind="code"):
    """Return the texts of a notebook's cells of one kind."""
    notebook = json.loads((ROOT / f"launch/{name}.ipynb").read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def of_the_shell(cell):
    """Return whether a cell has lines of the shell's."""
    return re.search(r"(?m)^\s*[%!]", cell) is not None


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return (name, settings) -> the names of a notebook that ran in a folder of its own.

    The settings replace those of its first cell that imports rrjax.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(HTML=str))

    def run_cells(name, **settings):
        space = {}
        for cell in cells(name):
            if not of_the_shell(cell):
                exec(cell, space)
            if "import rrjax" in cell:
                assert settings.keys() <= space.keys()
                space |= settings
        return space

    return run_cells


def shown_whole(report, folder):
    """Return whether a report holds all figures of its folder, and needs none of its files."""
    figures = len([*(folder / "figures").glob("*.png")])
    return figures > 0 and report.count("data:image/png") == figures and "figures/" not in report


@pytest.mark.slow
def test_colab(run, monkeypatch):
    """Features, the photograph that was uploaded, and a training in the same process."""
    content = io.BytesIO()
    Image.fromarray(skimage.data.cat()).save(content, "png")
    files = SimpleNamespace(upload=lambda: {"my cat.png": content.getvalue()})
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace(files=files))
    flags = {
        "train": SHRUNK,
        "evaluate": ["--config.n=8", "--config.eps=(0,1)", "--config.steps=(2,)"],
        "study": ["--config.n=2", "--config.steps=2", "--config.targets=('test images',)"],
    }
    space = run("colab", UNITS=range(2), FEATURE_STEPS=2, STEPS=20, FLAGS=flags)
    network, photo = space["network"], space["photo"]
    np.testing.assert_array_equal(photo, space["rrjax"].read_image("photograph", network))
    wanted, inverted, gray = (
        network(x[None])[1]["representation"]
        for x in (photo, space["inverted"], np.full_like(photo, 0.5))
    )
    assert np.linalg.norm(inverted - wanted) < 0.8 * np.linalg.norm(gray - wanted)
    assert network.predict(photo).name != network.predict(space["attacked"]).name
    assert network.predict(space["towards"]).name == space["TOWARDS"]
    folder = space["RUNS"]
    assert {"accuracy", "inversion"} <= results(folder).keys()
    assert shown_whole(space["report"](folder), folder)


@pytest.mark.slow
def test_colab_tpu(run, tmp_path):
    """Photographs in a tree as Imagenette's become a network, its accuracy and its inversions."""
    names = {"n01440764": "tench", "n03028079": "church"}
    for split, n in (("train", 8), ("val", 2)):
        for label, folder in enumerate(names):
            (tmp_path / "photographs" / split / folder).mkdir(parents=True)
            for i, x in enumerate(outside.photographs(n, 32, 3, seed=label)):
                path = tmp_path / "photographs" / split / folder / f"{i}.JPEG"
                Image.fromarray(np.uint8(x * 255)).save(path)
    training = {"model.name": "tiny", "model.variant": "cifar", "model.width": 64}
    training |= {"epochs": 1, "batch_size": 8, "dtype": "bfloat16", "optimizer.learning_rate": 0.01}
    small = {"TRAINING": training, "SIZE": 32, "N_ATTACKED": 4, "N_INVERTED": 2, "STEPS": 2}
    small |= {"DATA": tmp_path / "photographs", "NAMES": names, "TOWARDS": ("church", "tench")}
    space = run("colab_tpu", **small)
    network, folder = space["network"], space["RUNS"]
    assert network.classes == ("tench", "church") and network.config.dtype == "bfloat16"
    assert np.isfinite([line["loss"] for line in logged(folder / "robust") if "loss" in line]).all()
    assert {"accuracy", "inversion"} <= results(folder).keys()
    assert shown_whole(space["report"](folder), folder)
    before = network.predict(space["photos"]).probabilities
    for name, moved in zip(space["TOWARDS"], space["moved"], strict=True):
        label = network.label(name)
        assert (network.predict(moved).probabilities[:, label] > before[:, label]).all()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_the_shell_is_told(name):
    """It installs, and trains nothing: another process would not get the accelerator."""
    told = "\n".join(cell for cell in cells(name) if of_the_shell(cell))
    assert "git clone" in told and not re.search(r"python|rrjax (train|evaluate|study)", told)
    extra = re.search(r'EXTRA = "\[(.*)\]"', told)[1]
    assert f"\n{extra} =\n" in (ROOT / "setup.cfg").read_text()


def test_the_notebooks_name_one_address_and_themselves():
    """Of the repository: in each notebook's badge, and where it is cloned."""
    addresses = set()
    for name in NOTEBOOKS:
        text = "\n".join(cells(name) + cells(name, "markdown"))
        addresses |= set(re.findall(r"github(?:\.com)?/(\w+)/rrjax", text))
        assert f"/rrjax/blob/main/launch/{name}.ipynb)" in cells(name, "markdown")[0]
    assert len(addresses) == 1


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_without_outputs(name):
    notebook = json.loads((ROOT / f"launch/{name}.ipynb").read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not [cell for cell in code if cell["outputs"] or cell["execution_count"]]
