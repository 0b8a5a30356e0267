"""A network as a folder for the hub: the same bits again, from the folder and from the hub."""

import json
import shutil

import jax
import numpy as np
import pytest

import hub as loopback
import rrjax
from commands import refused, works
from paths import GOLDEN
from rrjax import BadInput
from rrjax.runs import network_files, torch_checkpoint, torch_files

EXPORT = ("convert", "--config=configs/export_hub.py")
FLAGS = ("--config.repository=someone/digits", "--config.license=mit")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run folder of an untrained network, and what is made of it for the hub."""
    root = tmp_path_factory.mktemp("networks")
    tiny = ["--config.model.name=resnet8", "--config.model.width=2", "--config.data.path=nowhere"]
    works("convert", "--config=configs/untrained.py:robust_digits", *tiny, f"--workdir={root}/run")
    done = works(*EXPORT, *FLAGS, f"--config.run={root}/run", f"--workdir={root}/out")
    assert f"{root}/run -> {root}/out: hf upload someone/digits {root}/out\n" in done.stdout
    return root / "run", root / "out"


def test_the_folder_is_the_run(folders):
    run, out = (rrjax.load(folder) for folder in folders)
    jax.tree.map(np.testing.assert_array_equal, run.variables, out.variables)
    assert run.config.model == out.config.model and run.config.attack == out.config.attack
    assert out.config.data.path == "" and run.config.data.path == "nowhere"


def test_the_weights_have_torchs_names(folders):
    run, out = folders
    state = torch_files.read(out / "model.safetensors").state
    counts = {name for name in state if name.endswith("num_batches_tracked")}
    assert len(counts) == 9
    assert state.keys() - counts == torch_checkpoint.to_state_dict(rrjax.load(run).variables).keys()


def test_the_card_has_the_hubs_header(folders):
    lines = (folders[1] / "README.md").read_text().splitlines()
    end = lines.index("---", 1)
    assert lines[0] == "---" and lines[1:3] == ["license: mit", "library_name: rrjax"]
    assert lines[4] == "tags:" and "- adversarial-robustness" in lines[5:end]
    assert 'network = rrjax.load("hf:someone/digits")' in lines[end:]


def test_the_hub_gives_the_same_network(folders, tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    run, out = folders
    with loopback.serve() as server:
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        for file in ("config.json", "model.safetensors"):
            for revision in ("main", loopback.COMMIT):
                path = f"/someone/digits/resolve/{revision}/{file}"
                server.files[path] = (out / file).read_bytes()
        loaded = rrjax.load("hf:someone/digits")
    jax.tree.map(np.testing.assert_array_equal, rrjax.load(run).variables, loaded.variables)


def test_another_programs_folder_is_recognized_by_its_keys(tmp_path):
    shutil.copy(GOLDEN / "torch_files/plain.safetensors", tmp_path / "model.safetensors")
    pixels = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    for description in (None, {"architecture": "resnet8"}):
        if description:
            (tmp_path / "config.json").write_text(json.dumps(description))
        model = rrjax.load(tmp_path, model=pixels).config.model
        assert (model.name, model.width, model.mean) == ("resnet8", 2, pixels["mean"])


def test_a_damaged_folder_is_one_line(folders, tmp_path):
    shutil.copytree(folders[1], tmp_path / "out")
    with (tmp_path / "out/model.safetensors").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(BadInput, match=r"out/model.safetensors: damaged"):
        rrjax.load(tmp_path / "out")
    (tmp_path / "out/config.json").write_text('{"model": ')
    assert network_files.describes_training(tmp_path / "out")
    with pytest.raises(BadInput, match=r"config.json: not a config"):
        rrjax.load(tmp_path / "out")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config.license=mit"], "repository '': name where the network will lie, OWNER/NAME"),
        (["--config.repository=a/b"], "config.license='': name the license of the weights"),
        ([*FLAGS, "--config.run=none"], "none: not a run folder"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_written(flags, message, tmp_path):
    assert message in refused(*EXPORT, *flags, f"--workdir={tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_a_network_is_left_alone(folders):
    run, out = folders
    message = refused(*EXPORT, *FLAGS, f"--config.run={run}", f"--workdir={out}")
    assert "holds a network already: choose another workdir" in message
