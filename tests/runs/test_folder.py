"""Laws of a run's folder: one config each, offenders named."""

import json
from concurrent.futures import ThreadPoolExecutor

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from rrjax import runs
from rrjax.configs import robust_digits
from rrjax.errors import BadInput
from rrjax.runs import report


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


def test_a_workdir_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"--workdir=.*file.*cannot be written"):
        runs.create_run_dir(tmp_path / "file", robust_digits.get_config())


def test_what_is_not_a_run_folder_is_named(tmp_path):
    with pytest.raises(BadInput, match="not a run folder"):
        runs.load(tmp_path / "nothing")
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
    (tmp_path / "results.json").write_text('{"half": ')
    with pytest.raises(BadInput, match=r"results.json: not JSON"):
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
