"""Laws of a run: killed and resumed equals never killed; every example counts once; NaN stops."""

import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drill
from commands import works
from paths import ROOT
from rrjax import BadInput, Stopped, data, runs
from rrjax.configs import robust_digits
from rrjax.data import augment
from rrjax.runs import checkpoints
from rrjax.train import loop, parallel
from rrjax.train.signals import asked_to_stop
from rrjax.train.tasks import Task, TrainState, classifier

pytestmark = pytest.mark.slow

# A run of two epochs of 11 steps, with all that a resumed run must bring back: BN, momentum, random
# starts and crops. The overrides are those a user would type.
SIZE = {"data.image_size": 8, "data.resize": 8, "batch_size": 128}
OVERRIDES = drill.OVERRIDES | SIZE | {"data.rotation": 5.0, "epochs": 2}
OVERRIDES |= {"model.name": "resnet8", "model.width": 2}


def config(**changes):
    c = robust_digits.get_config()
    c.update_from_flattened_dict(OVERRIDES | changes)
    return c


SHORT = {"epochs": 1, "model.name": "tiny", "model.width": 64, "tensorboard": True}


def fit(c, workdir, **options):
    batches = data.create(c)
    loop.fit(classifier.create(c, batches.steps_per_epoch), batches, c, workdir, **options)


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("loop") / "undisturbed"
    fit(config(), workdir)
    return workdir


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A run of the tiny network, one epoch, undisturbed."""
    workdir = tmp_path_factory.mktemp("loop") / "short"
    fit(config(**SHORT), workdir)
    return workdir


@pytest.fixture
def copy(short, tmp_path):
    """A copy of that run, to be changed."""
    return shutil.copytree(short, tmp_path / "run")


def test_a_run_leaves_its_folder(undisturbed):
    assert runs.read_config(undisturbed).to_dict() == json.loads(config().to_json())
    log = lines(undisturbed)
    assert [line["step"] for line in log if "train_loss" in line] == list(range(1, 23))
    scores = [line for line in log if "test_accuracy" in line]
    assert [line["step"] for line in scores] == [11, 22]
    assert all(0 <= line["data_wait"] <= 1 for line in log if "data_wait" in line)
    network = runs.load(undisturbed)
    batch = next(iter(data.eval_batches(network.config, 360)))
    logits, reps = network(augment.pixels(batch["image"]))
    accuracy = (logits.argmax(-1) == batch["label"]).mean()
    np.testing.assert_allclose(accuracy, scores[-1]["test_accuracy"], atol=1e-6)
    assert reps["representation"].shape[0] == 360


def test_a_loaded_network_refuses_images_it_was_not_made_for(undisturbed):
    network = runs.load(undisturbed)
    image = np.full((1, 8, 8, 1), 0.5, np.float32)
    for images, message in (
        (image * 255, "pixels from 127.5 to 127.5: give floats in"),
        (image - 1, "pixels from -0.5"),
        (image * np.nan, "pixels from nan"),
        (np.repeat(image, 3, -1), r"takes \(N, H, W, 1\)"),
        (image[0], "takes"),
    ):
        with pytest.raises(BadInput, match=message):
            network(images)


def test_the_best_checkpoint_is_the_one_of_best_score(undisturbed):
    scores = {
        line["step"]: line["test_adversarial_accuracy"]
        for line in lines(undisturbed)
        if "test_adversarial_accuracy" in line
    }
    best = runs.load(undisturbed, "best")
    means = loop.evaluate(
        parallel.data_parallel(classifier.create(best.config, 11).eval_step),
        TrainState(jnp.array(0), best.variables["params"], best.variables["batch_stats"], None),
        data.eval_batches(best.config, 128),
    )
    np.testing.assert_allclose(means["adversarial_accuracy"], max(scores.values()), atol=1e-6)


def test_a_run_that_is_done_is_not_trained_again(short, copy):
    fit(config(**SHORT), copy)
    assert (copy / "metrics.jsonl").read_bytes() == (short / "metrics.jsonl").read_bytes()


def test_a_disturbed_run_equals_an_undisturbed_one(tmp_path):
    """The fault drill, short: SIGKILL and SIGTERM at random moments."""
    signals = [signal.SIGTERM, signal.SIGKILL]
    random.shuffle(signals)
    drill.drill(tmp_path, 1, signals)


def stop_at(monkeypatch, call):
    """Let a SIGTERM come at the `call`th time that the loop asks whether to stop."""
    calls = itertools.count(1)

    @contextmanager
    def asked():
        with asked_to_stop() as stop_asked:

            def counted():
                if next(calls) == call:
                    signal.raise_signal(signal.SIGTERM)
                return stop_asked()

            yield counted

    monkeypatch.setattr(loop, "asked_to_stop", asked)


# The loop asks after each of 11 steps, and in its evaluation before each of 3 batches.
@pytest.mark.parametrize(("call", "step"), [(7, 7), (11, 11), (13, 11)])
def test_sigterm_saves_the_step_and_the_run_goes_on(short, tmp_path, monkeypatch, call, step):
    c = config(**SHORT)
    with monkeypatch.context() as patch:
        stop_at(patch, call)
        with pytest.raises(Stopped) as stopped:
            fit(c, tmp_path / "run")
    assert str(stopped.value) == (
        f"{tmp_path / 'run'}: interrupted at step {step}/11; checkpoint saved. "
        "Rerun the same command to resume."
    )
    assert drill.saved(tmp_path / "run")[0] == step
    assert not [line for line in lines(tmp_path / "run") if "test_loss" in line]
    for _ in range(2):  # a run that has ended is not evaluated again
        fit(c, tmp_path / "run")
        assert [line["step"] for line in lines(tmp_path / "run") if "test_loss" in line] == [11]
    with (
        checkpoints.open_manager(tmp_path / "run") as manager,
        checkpoints.open_manager(short) as one,
    ):
        assert manager.metrics(11) == one.metrics(11)
        assert checkpoints.choose_step(manager, "best") == 11
    jax.tree.map(np.testing.assert_array_equal, drill.saved(tmp_path / "run"), drill.saved(short))


def test_the_handlers_of_signals_are_put_back(capfd):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with asked_to_stop() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGINT)
        assert asked()
        assert "a second signal ends it at once" in capfd.readouterr().err
        # A second one does what it would have done.
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_signal_is_noted_where_nobody_reads(monkeypatch):
    """As Ctrl-C of `rrjax train | tee log` ends tee, too."""

    def write(*_):
        raise BrokenPipeError

    monkeypatch.setattr(os, "write", write)
    with asked_to_stop() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked()


def test_a_changed_config_is_named_and_taken_only_when_asked(copy):
    longer = config(**SHORT | {"epochs": 2})
    with pytest.raises(BadInput, match=r"epochs was 1, now 2.*--accept_changes"):
        fit(longer, copy)
    fit(longer, copy, accept_changes=True)
    assert drill.saved(copy)[0] == 22
    assert runs.read_config(copy).epochs == 2
    assert json.loads((copy / "config.old.json").read_text())["epochs"] == 1


def test_one_training_writes_a_folder(copy):
    c = config(**SHORT)
    with (
        runs.one_writer(copy),
        pytest.raises(BadInput, match="another training writes it"),
    ):
        fit(c, copy)
    fit(c, copy)


def test_a_disk_that_is_full_leaves_the_last_good_checkpoint(tmp_path):
    fields = ["epochs=1", "batch_size=718", "attack.steps=1", "model.name=mnist_cnn"]
    fields += ["model.width=64", "data.image_size=8", "data.resize=8"]
    command = ["--config=configs/robust_digits.py", f"--workdir={tmp_path / 'run'}"]
    command += [f"--config.{field}" for field in fields]
    works("train", *command)
    longer = ["--accept_changes", "--config.epochs=2"]
    limited = ["bash", "-c", 'ulimit -f 30 && exec "$@"', "bash"]  # kilobytes a file
    limited += [sys.executable, "-m", "rrjax.train", *command, *longer]
    # Without the compile cache: its files would be cut off too, and the other tests read it.
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    full = subprocess.run(limited, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert full.returncode == 2, full.stderr
    # Threads of Orbax that write other arrays may print tracebacks, even in front on its line.
    written = r"error: .*a checkpoint could not be written.*its last whole one is of step 2:"
    assert re.search(written, full.stderr), full.stderr
    assert drill.saved(tmp_path / "run")[0] == 2
    works("train", *command, *longer)
    assert drill.saved(tmp_path / "run")[0] == 4


def test_a_resumed_run_brings_back_its_average_and_its_perturbation(tmp_path):
    c = config(**SHORT, **{"ema_decay": 0.9, "replays": 2, "attack.random_start": "none"})
    fit(c, tmp_path / "run")
    step, whole = drill.saved(tmp_path / "run")
    shutil.rmtree(tmp_path / f"run/checkpoints/{step}")
    fit(c, tmp_path / "run")
    assert drill.saved(tmp_path / "run")[0] == step == 11
    jax.tree.map(np.testing.assert_array_equal, drill.saved(tmp_path / "run")[1], whole)
    carried = whole["training"]["carried"]
    assert carried["delta"].shape == (128, 8, 8, 1) and np.abs(carried["delta"]).max() > 0
    loaded = np.asarray(runs.load(tmp_path / "run").variables["params"]["fc2"]["bias"])
    np.testing.assert_array_equal(loaded, whole["variables"]["params"]["fc2"]["bias"])
    assert np.abs(loaded - carried["trained"]["params"]["fc2"]["bias"]).max() > 1e-5


def test_half_a_line_in_the_log_of_a_killed_run_is_dropped(copy):
    log = copy / "metrics.jsonl"
    whole = log.read_text()
    assert [json.loads(line)["step"] for line in whole.splitlines()][-1] == 11
    log.write_text(whole + '{"step": 99, "train_loss": 1.0}\n{"step": 100, "tra')
    fit(config(**SHORT), copy)
    assert log.read_text() == whole


def test_a_log_whose_checkpoints_are_lost_is_kept(copy):
    whole = (copy / "metrics.jsonl").read_text()
    shutil.rmtree(copy / "checkpoints")
    fit(config(**SHORT), copy)
    assert (copy / "metrics.old.jsonl").read_text() == whole


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path):
    def train_step(state, batch):
        loss = jnp.where(state.step == 7, jnp.nan, 1.0)  # the eighth step
        loss = loss + 0 * jax.lax.pmean(batch["label"].sum(), "batch")
        return state.replace(step=state.step + 1), {"loss": loss}

    def init():
        return TrainState(jnp.array(0), {"w": jnp.zeros(2)}, {}, {})

    def eval_step(state, batch):
        return jax.lax.psum({"count": batch["mask"].sum(), "loss": 0.0}, "batch")

    c = config(log_every=4)
    task = Task(init, train_step, eval_step, "loss")
    with pytest.raises(BadInput, match=r"step 8: loss is nan.*learning_rate"):
        loop.fit(task, data.create(c), c, tmp_path / "run")
    with checkpoints.open_manager(tmp_path / "run") as manager:
        assert manager.latest_step() == 5
    assert "NaN" not in (tmp_path / "run/metrics.jsonl").read_text()


def test_evaluation_counts_every_example_once():
    c = config()

    def eval_step(state, batch):
        ones = {"count": batch["mask"].sum(), "labels": (batch["mask"] * batch["label"]).sum()}
        return jax.lax.psum(ones, "batch")

    labels = data.create_source(c.data, "test").labels
    for batch_size in (64, 100, 400):  # 360 examples
        means = loop.evaluate(
            parallel.data_parallel(eval_step), jnp.zeros(()), data.eval_batches(c, batch_size)
        )
        np.testing.assert_allclose(means["labels"], labels.mean(), rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 7}, r"batch_size=7 .*multiple of 2"),
        ({"micro_batches": 5}, r"batch_size=128 .*2 devices x 5 micro-batches.*multiple of 10"),
        ({"micro_batches": 0}, "micro_batches=0: it must be at least 1"),
        ({"batch_size": -2}, "batch_size=-2: it must be at least 1"),
        ({"epochs": 0}, "epochs=0: it must be at least 1"),
        ({"save_every": 0}, "save_every=0"),
        ({"seed": -1}, "seed=-1: it must be at least 0"),
    ],
)
def test_impossible_numbers_are_refused_before_anything_is_written(tmp_path, change, message):
    with pytest.raises(BadInput, match=message):
        loop.fit(None, None, config(**change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_tensorboard_is_written_when_asked(short, undisturbed):
    assert list((short / "tensorboard").glob("events*"))
    assert not (undisturbed / "tensorboard").exists()


def test_what_is_due_at_a_step():
    schedule = loop.Schedule(epochs=3, steps_per_epoch=5, log_every=2, save_every=4, eval_every=2)
    assert schedule.total == 15
    due = {step: schedule.due(step, stop=False) for step in range(1, 16)}
    assert [step for step in due if due[step].evaluate] == [10, 15]
    assert [step for step in due if due[step].save] == [4, 8, 10, 12, 15]
    assert [step for step in due if due[step].log] == [2, 4, 6, 8, 10, 12, 14, 15]
    # Told to stop, it saves with its metrics in the log, and evaluates when it is resumed.
    assert schedule.due(10, stop=True) == loop.Due(log=True, evaluate=False, save=True, stop=True)
    assert schedule.due(7, stop=True) == loop.Due(log=True, evaluate=False, save=True, stop=True)
