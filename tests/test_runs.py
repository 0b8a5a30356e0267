"""Laws of a run's folder: one config each, half-written things ignored, offenders named."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import robust_digits
from rrjax import runs
from rrjax.errors import BadInput

SHARDING = jax.sharding.SingleDeviceSharding(jax.devices()[0])


def save(tmp_path, step, value, score=None):
    with runs.open_checkpoints(tmp_path, write=True) as manager:
        runs.save(manager, step, {"w": jnp.full(3, value)}, {"step": jnp.array(step)}, score)


def steps(tmp_path):
    with runs.open_checkpoints(tmp_path) as manager:
        return sorted(manager.all_steps())


def test_the_latest_two_and_the_best_are_kept(tmp_path):
    for step, score in ((1, 0.3), (2, 0.9), (3, None), (4, 0.5), (5, None), (6, 0.4)):
        save(tmp_path, step, float(step), score)
    assert steps(tmp_path) == [2, 5, 6]
    with runs.open_checkpoints(tmp_path) as manager:
        assert manager.best_step() == 2


def test_a_checkpoint_comes_back_as_it_went(tmp_path):
    save(tmp_path, 7, 1.5)
    like = {"w": jax.ShapeDtypeStruct((3,), jnp.float32)}
    with runs.open_checkpoints(tmp_path) as manager:
        items = runs.restore(manager, 7, SHARDING, variables=like)
    np.testing.assert_array_equal(items["variables"]["w"], [1.5, 1.5, 1.5])


def test_a_truncated_checkpoint_is_named(tmp_path):
    save(tmp_path, 7, 1.5)
    for path in (tmp_path / "checkpoints/7/variables").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    like = {"w": jax.ShapeDtypeStruct((3,), jnp.float32)}
    with (
        runs.open_checkpoints(tmp_path) as manager,
        pytest.raises(
            BadInput, match=r"checkpoints/7: this checkpoint cannot be read .*there is none before"
        ),
    ):
        runs.restore(manager, 7, SHARDING, variables=like)


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_it_offered(tmp_path):
    save(tmp_path, 5, 1.0)
    save(tmp_path, 7, 1.5)
    for path in (tmp_path / "checkpoints/7/variables").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    like = {"w": jax.ShapeDtypeStruct((3,), jnp.float32)}
    with runs.open_checkpoints(tmp_path) as manager:
        with pytest.raises(BadInput, match=r"checkpoints/7: .*go back to the one of step 5"):
            runs.restore(manager, 7, SHARDING, variables=like)
        before = runs.restore(manager, 5, SHARDING, variables=like)
    np.testing.assert_array_equal(before["variables"]["w"], [1.0, 1.0, 1.0])


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_byte_is_noticed_or_changes_nothing(tmp_path, seed):
    save(tmp_path, 5, 1.0)
    rng = np.random.default_rng(seed)
    folder = tmp_path / "checkpoints/5/variables"
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size)
    path = files[rng.integers(len(files))]
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    like = {"w": jax.ShapeDtypeStruct((3,), jnp.float32)}
    with runs.open_checkpoints(tmp_path) as manager:
        try:
            found = runs.restore(manager, 5, SHARDING, variables=like)["variables"]["w"]
        except BadInput:
            return
    np.testing.assert_array_equal(found, [1.0, 1.0, 1.0])


def test_another_networks_checkpoint_is_named(tmp_path):
    save(tmp_path, 7, 1.5)
    like = {"w": jax.ShapeDtypeStruct((4,), jnp.float32)}
    with (
        runs.open_checkpoints(tmp_path) as manager,
        pytest.raises(BadInput, match=r"cannot be read"),
    ):
        runs.restore(manager, 7, SHARDING, variables=like)


def test_a_workdir_belongs_to_one_config(tmp_path):
    config = robust_digits.get_config()
    runs.claim(tmp_path / "run", config)
    runs.claim(tmp_path / "run", config)  # the same again: a resumed run
    saved = runs.read_config(tmp_path / "run").to_dict()
    assert saved["attack"] == json.loads(config.to_json())["attack"]
    before = (tmp_path / "run/config.json").read_bytes()
    config.attack.eps = 1.0
    config.seed = 3
    with pytest.raises(BadInput, match=r"attack.eps was 2.0, now 1.0; seed was 0, now 3"):
        runs.claim(tmp_path / "run", config)
    assert (tmp_path / "run/config.json").read_bytes() == before


def test_a_workdir_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"--workdir=.*file.*cannot be written"):
        runs.claim(tmp_path / "file", robust_digits.get_config())


def test_what_is_not_a_run_folder_is_named(tmp_path):
    with pytest.raises(BadInput, match="not a run folder"):
        runs.load(tmp_path / "nothing")
    with pytest.raises(BadInput, match="checkpoint='newest': choose"):
        runs.load(tmp_path / "nothing", "newest")
    runs.claim(tmp_path / "run", robust_digits.get_config())
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
