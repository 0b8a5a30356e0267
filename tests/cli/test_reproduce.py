"""The rules of launch/reproduce.mk: what a target runs, and that every command can be typed."""

import os
import shlex
import shutil
import subprocess

import pytest

from paths import ROOT
from rrjax.cli import parsing
from rrjax.configs import anomaly, autoencoder_alexnet

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make")

FOLDERS = ("DATA", "OTHERS", "CBSD68", "CIFAR10", "PETS", "CONTENTS", "STYLES", "PHOTOS")
FOLDERS += ("MNIST", "FASHION_MNIST")
# How many commands each has.
TARGETS = {"small": 32, "seeds": 37, "cifar10": 79, "ladder": 39, "rin64": 20, "imagenet-zoo": 8}
TARGETS |= {"gradients": 11, "gradients-paper": 128, "paper": 23, "decoders": 56}


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def rules(target, tmp_path):
    """Return the commands of a target by their logs, as lists of words."""
    (tmp_path / "settings").touch()
    given = {"SETTINGS": str(tmp_path / "settings"), "FLAGS": "", "STEPS": "7"}
    given |= {name: name.lower() for name in FOLDERS}
    make = ["make", "--dry-run", "--file=launch/reproduce.mk", target]
    shown = subprocess.run(
        make, cwd=ROOT, env=os.environ | given, capture_output=True, check=True, text=True
    )
    assert not shown.stderr
    text = shown.stdout.replace("\\\n", " ")
    for name in FOLDERS:
        text = text.replace(f"${name}", name.lower())
    lines = [shlex.split(line) for line in text.splitlines()]
    return {words[3]: words[4:] for words in lines if "launch/logged.sh" in words}


@pytest.mark.parametrize("target", TARGETS)
def test_every_command_has_a_config_with_its_fields(target, tmp_path):
    commands = rules(target, tmp_path)
    assert len(commands) == TARGETS[target]
    for python, m, module, *arguments in commands.values():
        assert (python, m, module.split(".")[0]) == ("python", "-m", "rrjax")
        parsing.parse([module, *arguments])


def configs_of(commands):
    """Return the resolved config and the workdir of each command, by what it is in configs/."""
    return [
        (words[3].removeprefix("--config=configs/"), *parsing.parse(words[2:]))
        for words in commands.values()
    ]


def test_the_decoders_are_those_that_the_studies_read(tmp_path):
    commands = configs_of(rules("decoders", tmp_path))
    made = {workdir for name, _, workdir in commands if name.startswith("autoencoder")}
    read = set()
    for name, config, _ in commands:
        if name == "anomaly.py:paper":
            read |= {f"{config.root}/{n}_{c}" for n in config.networks for c in anomaly.CIFAR10}
        elif name == "anomaly.py:pets":
            read |= {f"{config.root}/{n}_{c}" for n in config.networks for c in ("cat", "dog")}
        elif name == "denoising.py:paper":
            read |= set(config.networks)
        elif name == "style.py:paper":
            read |= {*config.standard, *config.robust}
        elif name == "reconstruction.py:paper":
            read |= {config.standard, config.robust, *config.more}
    assert made == read
    words = {name.partition(":")[2] for name, _, _ in commands if "alexnet.py:" in name}
    assert words == set(autoencoder_alexnet.SETTINGS)
    encoders = {config.model.encoder for name, config, _ in commands if "imagenet.py" in name}
    assert len(encoders) == 14 and all("_l2_eps" in encoder for encoder in encoders)
    one_class = next(c for _, c, workdir in commands if workdir.endswith("one_class/robust_frog"))
    assert one_class.data.groups == (("frog",),) and one_class.data.path == "cifar10"


def test_the_ladder_goes_on_to_an_eps_of_3(tmp_path):
    commands = configs_of(rules("ladder", tmp_path))
    rungs = {
        (config.seed, config.attack.eps): config.attack.step_size
        for name, config, _ in commands
        if name == "small_cifar10.py"
    }
    assert set(rungs) == {(s, eps) for s in range(3) for eps in (0, 0.25, 0.5, 1, 2, 3)}
    assert all(size == 1.25 * eps for (_, eps), size in rungs.items() if eps)
    studies = [(c, workdir) for name, c, workdir in commands if name == "reconstruction.py"]
    for seed, (config, workdir) in enumerate(studies):
        folder = f"runs/cifar10_studies/ladder/{seed}"
        assert workdir == f"{folder}/beyond"
        ladder = [config.standard, config.robust, *config.more]
        assert ladder == [f"{folder}/decoder_{eps}" for eps in (0.0, 0.25, 0.5, 1.0, 2.0, 3.0)]
