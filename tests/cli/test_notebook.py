"""The notebook: its cells of Python run, its commands are ours."""

import json
import shlex

import numpy as np
import pytest
from matplotlib import pyplot as plt

from paths import ROOT
from rrjax.configs import inversion

CELLS = [
    "".join(cell["source"])
    for cell in json.loads((ROOT / "launch/colab.ipynb").read_text())["cells"]
    if cell["cell_type"] == "code"
]


@pytest.mark.slow
def test_cells_of_python():
    plt.switch_backend("agg")
    space = {}
    for cell in CELLS[1:4]:
        exec(cell, space)  # as a notebook does
    network = space["rrjax"].load("cifar10_robust_l2_eps05")
    wanted = network(space["photographs"])[1]["representation"]
    gray = network(space["gray"])[1]["representation"]
    found = network(space["rows"]["cifar10_robust_l2_eps05"])[1]["representation"]
    distances = [np.linalg.norm(x - wanted, axis=-1) for x in (found, gray)]
    assert (distances[0] < 0.5 * distances[1]).all()
    plt.close("all")


def test_cells_of_commands():
    lines = CELLS[4].replace("\\\n", " ").splitlines()
    for line in lines:
        python, _, module, *flags = shlex.split(line.removeprefix("!"))
        flags = dict(flag.removeprefix("--").split("=") for flag in flags)
        assert python == "python" and (ROOT / module.replace(".", "/") / "__main__.py").exists()
        assert (ROOT / flags["config"]).exists()
    assert len(lines) == 3
    config = inversion.get_config()
    picture = f"inversion_{config.targets[0]}_from_{config.starts[0]}.png".replace(" ", "_")
    assert f"{flags['workdir']}/figures/{picture}" in CELLS[5]
