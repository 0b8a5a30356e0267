"""Laws of a run folder: one config each, one writer, invalid values named."""

import errno
import fcntl
import json
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from subprocess import PIPE

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from paths import ROOT
from rrjax import BadInput, models, runs
from rrjax.configs import robust_digits
from rrjax.runs import checkpoints, files, report


def test_a_workdir_belongs_to_one_config(tmp_path):
    config = robust_digits.get_config()
    runs.create_run_dir(tmp_path / "run", config)
    runs.create_run_dir(tmp_path / "run", config)  # the same again: a resumed run
    saved = runs.read_config(tmp_path / "run").to_dict()
    assert saved["attack"] == json.loads(config.to_json())["attack"]
    before = (tmp_path / "run/config.json").read_bytes()
    config.attack.eps = 1.0
    config.seed = 3
    with pytest.raises(BadInput, match=r"attack.eps was 2.0, now 1.0; seed was 0, now 3"):
        runs.create_run_dir(tmp_path / "run", config)
    assert (tmp_path / "run/config.json").read_bytes() == before


def with_fields(run, change):
    """Change the fields of a run's config.json, as an older rrjax would have written them."""
    fields = json.loads((run / "config.json").read_text())
    change(fields)
    (run / "config.json").write_text(json.dumps(fields))


@pytest.fixture
def tiny_run(tmp_path):
    """A run folder with a checkpoint of a network as it is initialized, and its config."""
    config = robust_digits.get_config()
    config.model.update(name="tiny", width=64)
    runs.create_run_dir(tmp_path / "run", config)
    shape = (config.data.image_size, config.data.image_size, 1)
    variables = models.init(models.create(config.model), jax.random.key(0), shape)
    checkpoints.save_once(tmp_path / "run", {"batch_stats": {}} | variables)
    return tmp_path / "run", config


def test_an_old_run_folder_has_a_field_by_its_old_name(tiny_run):
    run, config = tiny_run

    def rename(fields):
        fields["attack"]["keep"] = "last"
        del fields["attack"]["return_iterate"]

    with_fields(run, rename)
    network = runs.load(run)
    assert network.config.attack.return_iterate == "last" and "keep" not in network.config.attack
    config.attack.return_iterate = "last"
    runs.create_run_dir(run, config)  # its training resumes
    config.attack.return_iterate = "best"
    with pytest.raises(BadInput, match=r"attack.return_iterate was 'last', now 'best'"):
        runs.create_run_dir(run, config)


def test_an_old_run_folder_without_a_field_says_what_to_add(tiny_run):
    run, _ = tiny_run

    def remove(fields):
        del fields["replays"], fields["loss"]["beta"]

    with_fields(run, remove)
    message = r"run/config.json was written by an older rrjax: add the missing fields, with the"
    with pytest.raises(BadInput, match=message + r".*the defaults are loss.beta=6.0, replays=0"):
        runs.load(run)
    with_fields(run, lambda fields: fields.update(replays=0) or fields["loss"].update(beta=6.0))
    assert runs.load(run).config.loss.beta == 6


HOLDER = """
import sys, pathlib
from rrjax.runs import files
with files.locked(pathlib.Path(sys.argv[1]), "held"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_has_one_holder_and_ends_with_it(tmp_path):
    path = tmp_path / ".lock"
    command = [sys.executable, "-c", HOLDER, path]
    with subprocess.Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BadInput, match="another writes"), files.locked(path, "another writes"):
            pass
        holder.kill()
    with (
        files.locked(path, "no"),
        pytest.raises(BadInput, match="I do"),
        files.locked(path, "I do"),
    ):
        pass
    with files.in_turn(path):
        pass


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOTSUP])
def test_without_locks_a_warning_says_so_once_and_work_goes_on(code, tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(code, "not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    work = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            with files.locked(tmp_path / ".lock", "no"), files.in_turn(tmp_path / ".turn"):
                work.append(1)
    assert work == [1, 1]
    (warning,) = caught
    assert "this file system has no locks" in str(warning.message)


def test_a_workdir_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"--workdir=.*file.*cannot be written"):
        runs.create_run_dir(tmp_path / "file", robust_digits.get_config())


def test_what_is_not_a_run_folder_is_named(tmp_path):
    with pytest.raises(BadInput, match="not a run folder"):
        runs.load(tmp_path / "nothing")
    for path in (None, "", 5, "https://example.org/network"):
        with pytest.raises(BadInput, match=r"is no network: give a run folder on this machine"):
            runs.load(path)
    with pytest.raises(BadInput, match="checkpoint='newest': choose"):
        runs.load(tmp_path / "nothing", "newest")
    runs.create_run_dir(tmp_path / "run", robust_digits.get_config())
    with pytest.raises(BadInput, match="no finished checkpoint"):
        runs.load(tmp_path / "run")
    for text, message in (
        ('{"seed": ', "not a config"),
        ("[]", "config"),
        ("{}", "not a training"),
    ):
        (tmp_path / "run/config.json").write_text(text)
        with pytest.raises(BadInput, match=message):
            runs.load(tmp_path / "run")


def test_results_that_cannot_be_read_are_named_before_any_work(tmp_path):
    path = tmp_path / "results.json"
    for text, message in (('{"half": ', "not JSON"), ("[1, 2]", "a list, not results by name")):
        path.write_text(text)
        with pytest.raises(BadInput, match=f"results.json: {message}"):
            runs.make_folder(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(BadInput, match="Is a directory"):
        runs.make_folder(tmp_path)


def test_results_of_several_studies_share_a_file(tmp_path):
    runs.write_results(tmp_path, "a", {"mean": np.float32(0.5), "all": np.arange(2)})
    runs.write_results(tmp_path, "b", {"mean": 1})
    runs.write_results(tmp_path, "a", {"mean": jnp.array(0.25)})
    results = json.loads((tmp_path / "results.json").read_text())
    assert results == {"a": {"mean": 0.25}, "b": {"mean": 1}}


def test_studies_side_by_side_lose_nothing_of_each_other(tmp_path):
    names = [f"study{i}" for i in range(40)]

    def publish(name):
        section = report.Section(name, name, text=[], header=["n"], rows=[["1"]], figures=[])
        runs.publish(tmp_path, ConfigDict({"study": name}), section, {})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(publish, names))
    assert set(runs.read_results(tmp_path)) == set(names)
    page = (tmp_path / "report.html").read_text()
    assert [name for name in names if f"<h2>{name}</h2>" not in page] == []
