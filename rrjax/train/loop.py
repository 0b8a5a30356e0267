"""Drive a task to the end of its run: restore, step, log, evaluate, save. Knows no model."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from rrjax import BadInput, Stopped, runs
from rrjax.core import devices
from rrjax.data import Data
from rrjax.data.augment import Batch
from rrjax.runs import checkpoints
from rrjax.train import parallel
from rrjax.train.log import Log, open_log
from rrjax.train.prefetch import prefetched
from rrjax.train.signals import asked_to_stop
from rrjax.train.tasks import Metrics, Task, TrainState


class Due(NamedTuple):
    """What is due after a step."""

    log: bool
    evaluate: bool
    save: bool
    stop: bool


class Schedule(NamedTuple):
    """After which steps, counted from 1, a run logs, evaluates and saves; after the last all."""

    epochs: int
    steps_per_epoch: int
    log_every: int  # steps
    save_every: int  # steps
    eval_every: int  # epochs

    @property
    def total(self) -> int:
        """How many steps the run has."""
        return self.epochs * self.steps_per_epoch

    def evaluates(self, step: int) -> bool:
        """Say whether a run evaluates after a step, unless it is told to stop there."""
        return step == self.total or step % (self.steps_per_epoch * self.eval_every) == 0

    def due(self, step: int, stop: bool) -> Due:
        """Say what is due after a step; `stop`: the run was told to stop.

        Then there is no time for an evaluation, which the resumed run does first. Whatever is
        saved has its metrics in the log, so that a resumed run's log has no gap.
        """
        save = stop or self.evaluates(step) or step % self.save_every == 0
        return Due(
            log=save or step % self.log_every == 0,
            evaluate=self.evaluates(step) and not stop,
            save=save,
            stop=stop,
        )


@dataclass
class Window:
    """The steps since the last line of the log; `metrics` are on the devices, not waited for."""

    metrics: list[Metrics] = field(default_factory=list)
    waited: float = 0.0  # seconds, for data
    start: float = field(default_factory=time.monotonic)

    def means(self, last: int, batch_size: int) -> dict[str, float]:
        """Return the means of the metrics, waiting for step `last`, and the rates of the steps."""
        means = _means(jax.device_get(self.metrics), last)
        elapsed = time.monotonic() - self.start
        means["images_per_second"] = len(self.metrics) * batch_size / elapsed
        means["data_wait"] = self.waited / elapsed  # a share of the time
        return means


def fit(
    task: Task,
    data: Data,
    config: ConfigDict,
    workdir: str | Path,
    accept_changes: bool = False,
) -> None:
    """Train `task` in `workdir` until `config.epochs` are done, from its last checkpoint on.

    Raises:
      BadInput: before any compile, for numbers or a workdir that cannot be used; later, for
        a loss that is not finite (the step is named, and no checkpoint holds it) and for a
        checkpoint that cannot be written.
      Stopped: after SIGTERM or SIGINT, when the step is done and saved.
    """
    check(config)
    runs.create_run_dir(workdir, config, accept_changes)
    workdir, schedule = Path(workdir), _schedule(config, data.steps_per_epoch)
    # The order matters, since leaving is in reverse: the reader of batches ends first, then the
    # checkpoint that is being written is waited for, and only then may another run begin here.
    with (
        runs.one_writer(workdir),
        checkpoints.open_manager(workdir, write=True) as manager,
        asked_to_stop() as stop_asked,
    ):
        for name, network in task.networks:
            runs.save_network(workdir / name, network)
        state = _start(task, manager)
        first = int(state.step)
        _announce(config, state, schedule, workdir)
        with (
            open_log(workdir, first, schedule.total, config.tensorboard) as log,
            prefetched(data.train(first), parallel.place) as next_batch,
        ):
            eval_step = parallel.data_parallel(task.eval_step)
            run = _Run(workdir, schedule, manager, log, stop_asked, eval_step, data.test)
            _train(run, task, state, next_batch, config.batch_size)


def _announce(config: ConfigDict, state: TrainState, schedule: Schedule, workdir: Path) -> None:
    """Print what is trained, how long, and where it is logged."""
    if jax.process_index():
        return
    n = sum(x.size for x in jax.tree.leaves(state.params))
    begun = f", {int(state.step):,} of them done" if int(state.step) else ""
    print(
        f"{config.model.name}: {n:,} parameters, {config.dtype}; {config.batch_size} images a "
        f"step, {schedule.total:,} steps{begun}; log: {workdir / 'metrics.jsonl'}",
        flush=True,
    )


@dataclass(frozen=True)
class _Run:
    """What a run's steps are evaluated by and written to, and what tells it to stop."""

    workdir: Path
    schedule: Schedule
    manager: Any
    log: Log
    stop_asked: Callable[[], bool]
    eval_step: Callable
    eval_batches: Callable[[], Iterator[Batch]]

    def evaluate(self, step: int, state: TrainState) -> dict[str, float] | None:
        """Evaluate the state after a step; None if the run is told to stop meanwhile."""
        scores = evaluate(self.eval_step, state, self.eval_batches(), self.stop_asked)
        if scores:
            self.log.evaluation(step, scores)
        return scores

    def stopped(self, step: int) -> Stopped:
        """Say that the run was interrupted."""
        return Stopped(
            f"{self.workdir}: interrupted at step {step}/{self.schedule.total}; checkpoint saved. "
            "Rerun the same command to resume."
        )


def _train(run: _Run, task: Task, state: TrainState, next_batch: Callable, batch_size: int) -> None:
    """Train from the state's step to the end; Stopped when the run is told to stop."""
    first, schedule = int(state.step), run.schedule
    # A run that was told to stop at a step to be evaluated was not evaluated then.
    if first > 0 and schedule.evaluates(first) and run.manager.metrics(first) is None:
        scores = run.evaluate(first, state)
        if scores is None:
            raise run.stopped(first)
        checkpoints.add_score(run.manager, first, scores[task.score])
    # Donated: the state's memory becomes the next state's, so there is room for one only.
    train_step = parallel.data_parallel(task.train_step, donate=True)
    window = Window()
    for step in range(first + 1, schedule.total + 1):
        batch, waited = next_batch(window.metrics[-1:])
        # This only starts the step: the devices compute while the next batch is fetched, and
        # nothing waits for them until a line of the log needs their numbers.
        state, metrics = train_step(state, batch)
        window.metrics.append(metrics)
        window.waited += waited
        # Every process asks after every step, since they have to agree on the one to stop at.
        due = schedule.due(step, run.stop_asked())
        if not due.log:
            continue
        # First of all the means: for a loss that is not finite they raise, before it is saved.
        means = window.means(step, batch_size)
        left = (schedule.total - step) * batch_size / means["images_per_second"]
        run.log.training(step, {"epoch": step / schedule.steps_per_epoch} | means, left)
        scores = run.evaluate(step, state) if due.evaluate else None
        if due.save:
            score = scores[task.score] if scores else None
            checkpoints.save(run.manager, step, **checkpoint_items(state), score=score)
        if due.stop or (due.evaluate and not scores):
            raise run.stopped(step)
        window = Window()  # anew here: evaluating and saving are not training's time


def evaluate(
    eval_step: Callable,
    state: TrainState,
    batches: Iterable[Batch],
    stop_asked: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """Return the means of a data-parallel evaluation over every example, each counted once.

    `stop_asked()` says before every batch whether to stop; stopped, there are no means: None.

    Raises:
      BadInput: for a mean that is not finite.
    """
    stopped = False

    def starts() -> Iterator[Callable[[], Metrics]]:
        nonlocal stopped
        for batch in batches:
            if stop_asked():
                stopped = True
                return
            yield partial(jax.device_get, eval_step(state, parallel.shard(batch)))

    sums: dict[str, float] = {}
    for outputs in devices.results(starts()):
        for name, value in outputs.items():
            sums[name] = sums.get(name, 0.0) + float(value)
    if stopped:
        return None
    count = sums.pop("count")
    means = {name: value / count for name, value in sums.items()}
    for name, value in means.items():
        if not math.isfinite(value):
            raise BadInput(f"evaluation: {name} is {value}; no checkpoint holds this state")
    return means


def check(config: ConfigDict) -> None:
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


def checkpoint_items(state: TrainState) -> dict[str, dict]:
    """Split a state into what a reader of the run needs and what only more training does."""
    return {
        "variables": {"params": state.params, "batch_stats": state.batch_stats},
        "training": {
            "step": state.step,
            "opt_state": state.opt_state,
            "carried": state.carried,
        },
    }


def _schedule(config: ConfigDict, steps_per_epoch: int) -> Schedule:
    return Schedule(
        config.epochs, steps_per_epoch, config.log_every, config.save_every, config.eval_every
    )


def _start(task: Task, manager: Any) -> TrainState:
    """Return the replicated first state, or the last saved one."""
    # numpy's copy: the loop donates the state, these are another's, and lie on one device.
    fixed = jax.device_put(jax.tree.map(np.array, task.fixed), parallel.replicated())
    step = manager.latest_step()
    if step is None:
        return jax.device_put(task.init(), parallel.replicated()).replace(fixed=fixed)
    like = jax.eval_shape(task.init)
    items = checkpoints.restore(manager, step, parallel.replicated(), **checkpoint_items(like))
    return like.replace(**items["variables"], **items["training"], fixed=fixed)


def _means(metrics: list[Metrics], last: int) -> dict[str, float]:
    """Average the metrics of the steps up to `last`; BadInput names the first not finite one."""
    for step, values in enumerate(metrics, last + 1 - len(metrics)):
        for name, value in values.items():
            if not math.isfinite(value):
                raise BadInput(
                    f"step {step}: {name} is {value}; the run stops, its checkpoints are from "
                    "before: lower --config.optimizer.learning_rate and start a new workdir"
                )
    return {f"train_{k}": float(np.mean([m[k] for m in metrics])) for k in metrics[0]}
