"""Laws of checkpoints: half-written ones ignored, damaged ones named, the best one kept."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import logging

from rrjax import BadInput
from rrjax.runs import checkpoints

SHARDING = jax.sharding.SingleDeviceSharding(jax.devices()[0])


def save(tmp_path, step, value, score=None):
    with checkpoints.open_manager(tmp_path, write=True) as manager:
        checkpoints.save(manager, step, {"w": jnp.full(3, value)}, {"step": jnp.array(step)}, score)


def steps(tmp_path):
    with checkpoints.open_manager(tmp_path) as manager:
        return sorted(manager.all_steps())


def test_the_latest_two_and_the_best_are_kept(tmp_path):
    for step, score in ((1, 0.3), (2, 0.9), (3, None), (4, 0.5), (5, None), (6, 0.4)):
        save(tmp_path, step, float(step), score)
    assert steps(tmp_path) == [2, 5, 6]
    with checkpoints.open_manager(tmp_path) as manager:
        assert manager.best_step() == 2


def test_the_best_is_of_evaluated_ones_and_the_only_one_of_what_was_not_trained(tmp_path):
    def chosen(folder, checkpoint):
        with checkpoints.open_manager(folder) as manager:
            return checkpoints.choose_step(manager, checkpoint)

    checkpoints.save_once(tmp_path / "imported", {"w": jnp.zeros(3)})
    assert chosen(tmp_path / "imported", "best") == chosen(tmp_path / "imported", "latest") == 0
    save(tmp_path / "run", 1, 1.0)
    assert chosen(tmp_path / "run", "latest") == 1
    with pytest.raises(BadInput, match=r"run: no checkpoint was evaluated yet, .* checkpoint=lat"):
        chosen(tmp_path / "run", "best")
    save(tmp_path / "run", 2, 1.0, 0.5)
    save(tmp_path / "run", 3, 1.0)
    assert (chosen(tmp_path / "run", "best"), chosen(tmp_path / "run", "latest")) == (2, 3)


def test_a_checkpoint_comes_back_as_it_went(tmp_path):
    save(tmp_path, 7, 1.5)
    like = {"w": jax.ShapeDtypeStruct((3,), jnp.float32)}
    with checkpoints.open_manager(tmp_path) as manager:
        items = checkpoints.restore(manager, 7, SHARDING, variables=like)
    np.testing.assert_array_equal(items["variables"]["w"], [1.5, 1.5, 1.5])


def test_a_truncated_checkpoint_is_named(tmp_path):
    save(tmp_path, 7, 1.5)
    for path in (tmp_path / "checkpoints/7/variables").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    like = {"w": jax.ShapeDtypeStruct((3,), jnp.float32)}
    with (
        checkpoints.open_manager(tmp_path) as manager,
        pytest.raises(
            BadInput, match=r"checkpoints/7: this checkpoint cannot be read .*there is none before"
        ),
    ):
        checkpoints.restore(manager, 7, SHARDING, variables=like)


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_it_offered(tmp_path):
    save(tmp_path, 5, 1.0)
    save(tmp_path, 7, 1.5)
    for path in (tmp_path / "checkpoints/7/variables").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    like = {"w": jax.ShapeDtypeStruct((3,), jnp.float32)}
    with checkpoints.open_manager(tmp_path) as manager:
        with pytest.raises(BadInput, match=r"checkpoints/7: .*go back to the one of step 5"):
            checkpoints.restore(manager, 7, SHARDING, variables=like)
        before = checkpoints.restore(manager, 5, SHARDING, variables=like)
    np.testing.assert_array_equal(before["variables"]["w"], [1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def ones(tmp_path_factory):
    """The folder of one checkpoint, of step 5, that holds ones."""
    folder = tmp_path_factory.mktemp("ones")
    save(folder, 5, 1.0)
    return folder


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_byte_is_noticed_or_changes_nothing(ones, tmp_path, seed):
    shutil.copytree(ones, tmp_path, dirs_exist_ok=True)
    rng = np.random.default_rng(seed)
    folder = tmp_path / "checkpoints/5/variables"
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size)
    path = files[rng.integers(len(files))]
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    like = {"w": jax.ShapeDtypeStruct((3,), jnp.float32)}
    with checkpoints.open_manager(tmp_path) as manager:
        try:
            weights = checkpoints.restore(manager, 5, SHARDING, variables=like)["variables"]["w"]
        except BadInput:
            return
    np.testing.assert_array_equal(weights, [1.0, 1.0, 1.0])


def test_another_networks_checkpoint_is_named(tmp_path):
    save(tmp_path, 7, 1.5)
    like = {"w": jax.ShapeDtypeStruct((4,), jnp.float32)}
    with (
        checkpoints.open_manager(tmp_path) as manager,
        pytest.raises(BadInput, match=r"cannot be read"),
    ):
        checkpoints.restore(manager, 7, SHARDING, variables=like)


def test_a_reader_is_not_warned_that_it_only_reads(tmp_path, caplog):
    save(tmp_path, 1, 1.0)
    caplog.clear()
    before = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)  # absl's own, in a user's script
    try:
        assert steps(tmp_path) == [1]
        assert logging.get_verbosity() == logging.WARNING
    finally:
        logging.set_verbosity(before)
    assert not caplog.records
