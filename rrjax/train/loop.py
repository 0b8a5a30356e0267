"""Drive a task to the end of its run: restore, step, log, evaluate, save. Knows no model."""

import json
import math
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from pathlib import Path

import jax
import numpy as np
from tensorboardX import SummaryWriter
from tqdm import tqdm

from rrjax import runs
from rrjax.data import Data
from rrjax.data.augment import Batch
from rrjax.errors import BadInput, Stopped
from rrjax.runs import checkpoints
from rrjax.runs.files import replace_text
from rrjax.train import parallel
from rrjax.train.prefetch import prefetched
from rrjax.train.signals import asked_to_stop


def fit(task, data: Data, config, workdir: str | Path, accept_changes: bool = False) -> None:
    """Train `task` in `workdir` until `config.epochs` are done, going on from its last checkpoint.

    Raises:
      BadInput: before any compile, for numbers or a workdir that cannot be used; later, for
        a loss that is not finite (the step is named, and no checkpoint holds it) and for a
        checkpoint that cannot be written.
      Stopped: after SIGTERM or SIGINT, when the step is done and saved.
    """
    check(config)
    runs.create_run_dir(workdir, config, accept_changes)
    workdir = Path(workdir)
    total = config.epochs * data.steps_per_epoch
    train_step = parallel.data_parallel(task.train_step, donate=True)
    eval_step = parallel.data_parallel(task.eval_step)
    with ExitStack() as stack:
        stack.enter_context(runs.one_writer(workdir))
        manager = stack.enter_context(checkpoints.open_manager(workdir, write=True))
        asked = stack.enter_context(asked_to_stop())
        for name, network in task.networks:
            runs.save_network(workdir / name, network)
        state = _start(task, manager)
        first = int(state.step)
        write = _open_log(workdir, first, config.tensorboard, stack)
        following = stack.enter_context(prefetched(data.train(first), parallel.place))
        quiet = jax.process_index() > 0 or None  # None: where there is no terminal
        bar = tqdm(total=total, initial=first, disable=quiet, unit="step", desc=workdir.name)
        stack.enter_context(bar)

        def test(step: int, state) -> dict[str, float] | None:
            scores = evaluate(eval_step, state, data.test(), asked)
            if scores:
                write(step, {f"test_{name}": value for name, value in scores.items()})
                if not quiet:
                    tqdm.write(_line(workdir.name, step, total, scores))
            return scores

        def evaluates(step: int) -> bool:
            return step == total or step % (data.steps_per_epoch * config.eval_every) == 0

        # A run that was told to stop at a step to be evaluated was not evaluated then.
        missed = first > 0 and evaluates(first) and manager.metrics(first) is None
        if missed and test(first, state) is None:
            raise _stopped(workdir, first, total)
        pending, waited, opened = [], 0.0, time.monotonic()
        for step in range(first + 1, total + 1):
            batch, idle = following(pending[-1:])
            waited += idle
            state, metrics = train_step(state, batch)
            pending.append(metrics)
            stops = asked()
            saves = stops or evaluates(step) or step % config.save_every == 0
            if saves or step % config.log_every == 0:
                means = _means(pending, step)
                elapsed = time.monotonic() - opened
                means["images_per_second"] = len(pending) * config.batch_size / elapsed
                means["data_wait"] = waited / elapsed
                write(step, {"epoch": step / data.steps_per_epoch, **means})
                bar.update(step - bar.n)
                bar.set_postfix(loss=f"{means['train_loss']:.3f}")
                scores = test(step, state) if evaluates(step) and not stops else None
                if saves:
                    score = scores[task.score] if scores else None
                    checkpoints.save(manager, step, **_items(state), score=score)
                if stops or (evaluates(step) and scores is None):
                    raise _stopped(workdir, step, total)
                pending, waited, opened = [], 0.0, time.monotonic()


def evaluate(
    eval_step: Callable,
    state,
    batches: Iterable[Batch],
    asked: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """Return the means of a data-parallel evaluation over every example, each counted once.

    `asked() -> whether to stop` is called for every batch; stopped, there are no means: None.
    """
    sums: dict[str, float] = {}
    for batch in batches:
        if asked():
            return None
        for name, value in eval_step(state, parallel.shard(batch)).items():
            sums[name] = sums.get(name, 0.0) + float(value)
    count = sums.pop("count")
    means = {name: value / count for name, value in sums.items()}
    for name, value in means.items():
        if not math.isfinite(value):
            raise BadInput(f"evaluation: {name} is {value}; no checkpoint holds this state")
    return means


def check(config) -> None:
    """Raise BadInput unless a run's numbers are possible on the devices there are."""
    counts = ("epochs", "batch_size", "micro_batches", "log_every", "save_every", "eval_every")
    for name in ("seed", *counts):
        least = 0 if name == "seed" else 1
        if config[name] < least:
            raise BadInput(f"--config.{name}={config[name]}: it must be at least {least}")
    n = jax.device_count() * config.micro_batches
    if config.batch_size % n:
        raise BadInput(
            f"--config.batch_size={config.batch_size} does not divide by {jax.device_count()} "
            f"devices x {config.micro_batches} micro-batches: set it to a multiple of {n}"
        )


def _start(task, manager):
    """Return the replicated first state, or the last saved one."""
    # numpy's copy: the loop donates the state, these are another's, and lie on one device.
    fixed = jax.device_put(jax.tree.map(np.array, task.fixed), parallel.replicated())
    step = manager.latest_step()
    if step is None:
        return jax.device_put(task.init(), parallel.replicated()).replace(fixed=fixed)
    like = jax.eval_shape(task.init)
    items = checkpoints.restore(manager, step, parallel.replicated(), **_items(like))
    return like.replace(**items["variables"], **items["training"], fixed=fixed)


def _items(state) -> dict[str, dict]:
    """Split a state into what a reader of the run needs and what only more training does."""
    return {
        "variables": {"params": state.params, "batch_stats": state.batch_stats},
        "training": {
            "step": state.step,
            "opt_state": state.opt_state,
            "carried": state.carried,
        },
    }


def _stopped(workdir: Path, step: int, total: int) -> Stopped:
    return Stopped(
        f"{workdir}: told to stop; step {step} of {total} is saved, and the same command goes on"
    )


def _means(pending: list[dict], last: int) -> dict[str, float]:
    """Average the metrics of the steps up to `last`; BadInput names the first not finite one."""
    pending = jax.device_get(pending)
    for step, metrics in enumerate(pending, last + 1 - len(pending)):
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise BadInput(
                    f"step {step}: {name} is {value}; the run stops, its checkpoints are from "
                    "before: lower --config.optimizer.learning_rate and start a new workdir"
                )
    return {f"train_{k}": float(np.mean([m[k] for m in pending])) for k in pending[0]}


def _open_log(workdir: Path, step: int, tensorboard: bool, stack: ExitStack) -> Callable:
    """Return write(step, values) to metrics.jsonl, rid of the lines after `step`."""
    if jax.process_index():  # the first process writes for all
        return lambda step, values: None
    path = workdir / "metrics.jsonl"
    if path.exists():
        # A killed run wrote lines for steps that it did not save and that will come again; its
        # last line may be half a line.
        lines = path.read_text().split("\n")[:-1]
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        if lines and not kept:  # it may be that the checkpoints were lost, and this is all there is
            replace_text(path.with_name("metrics.old.jsonl"), path.read_text())
        replace_text(path, "".join(f"{line}\n" for line in kept))
    file = stack.enter_context(path.open("a", buffering=1))
    board = None
    if tensorboard:
        board = SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)
        stack.enter_context(closing(board))

    def write(step: int, values: dict[str, float]) -> None:
        file.write(json.dumps({"step": step, **values}) + "\n")
        if board:
            for name, value in values.items():
                board.add_scalar(name, value, step)

    return write


def _line(name: str, step: int, total: int, scores: dict[str, float]) -> str:
    return f"{name}: step {step}/{total}  " + "  ".join(f"{k} {v:.4f}" for k, v in scores.items())
