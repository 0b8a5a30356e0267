"""How much faster than one device do all of them evaluate and invert?

python -m rrjax.bench --config=configs/bench_devices.py --workdir=runs/bench_devices

The network is not trained: the work does not depend on it. In each round every program has its
turn, so that what the machine does besides meets all of them. Two more say what the machine itself
gains by its devices: products of matrices, which the arithmetic limits, and sums of large arrays,
which the memory limits.

Devices of a CPU share one pool of threads, so that one of two would have both cores, and a program
on it be no measure of a device: there it runs on its share of the cores alone.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import jax
import numpy as np
from jax import lax
from ml_collections import ConfigDict

from rrjax import BadInput, models, runs
from rrjax.bench.speed import times
from rrjax.core import attack, devices, vmapped
from rrjax.evaluate import robustness
from rrjax.runs import report


def run(config: ConfigDict, workdir: str) -> None:
    """Time both; write results.json and a section of report.html, and print the table.

    Raises:
      BadInput: for counts below 1, and on a machine with one device.
    """
    if min(config.n, config.steps, config.rounds) < 1:
        raise BadInput(
            f"--config.n={config.n}, steps={config.steps}, rounds={config.rounds}: they must be at "
            "least 1"
        )
    count = jax.local_device_count()
    if count < 2:
        raise BadInput(
            "there is one device: on a CPU, set the environment's "
            'XLA_FLAGS="--xla_force_host_platform_device_count=2 '
            '--xla_cpu_multi_thread_eigen=false" for two, of a thread each'
        )
    programs = {key: _program(config, *key) for key in product(WORK, (1, count))}
    seconds = times(programs, warmup=1, rounds=config.rounds)
    rows = [
        {
            "work": name,
            "one": report.spread(seconds[name, 1]),
            "all": report.spread(seconds[name, count]),
            "faster": report.spread(np.divide(seconds[name, 1], seconds[name, count])),
        }
        for name in WORK
    ]
    runs.make_folder(workdir)
    results = {"rows": rows, "devices": count, "kind": jax.devices()[0].device_kind}
    runs.publish(workdir, config, _section(config, results), results)


def _program(config: ConfigDict, name: str, count: int) -> Callable[[], None]:
    """Make what is timed on the first `count` devices."""
    model = models.create(config.model)
    shape = (config.image_size, config.image_size, len(config.model.mean))
    variables = models.init(model, jax.random.key(config.seed), shape)
    images = np.random.default_rng(config.seed).random((config.n, *shape), np.float32)

    def program() -> None:
        with devices.first(count), _share_of_cores(count):
            WORK[name](config, placed, images)

    with devices.first(count):
        placed = models.frozen(model, jax.device_put(variables, devices.replicated()))
    return program


@contextlib.contextmanager
def _share_of_cores(count: int) -> Iterator[None]:
    """Run the threads of this process on what `count` devices have of a CPU's cores."""
    if jax.default_backend() != "cpu":
        yield
        return
    cores = sorted(os.sched_getaffinity(0))
    _pin(cores[: max(len(cores) * count // jax.local_device_count(), 1)])
    try:
        yield
    finally:
        _pin(cores)


def _pin(cores: list[int]) -> None:
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread.name), cores)


def _evaluate(config: ConfigDict, apply: Callable, images: np.ndarray) -> None:
    options = {"norm": "l2"} | attack.protocol(config.eps, config.steps)
    correct = partial(robustness.correct_under_attack, apply, **options)
    keys = jax.random.split(jax.random.key(config.seed), config.n)
    vmapped.in_parts(correct, config.n, images, np.zeros(config.n, np.int32), keys)


def _invert(config: ConfigDict, apply: Callable, images: np.ndarray) -> None:
    invert = partial(vmapped.invert_images, apply, apply, step_size=0.1, steps=config.steps)
    vmapped.in_parts(invert, config.n, images[::-1], images)


def _multiply(config: ConfigDict, _apply: Callable, _images: np.ndarray) -> None:
    matrices = np.full((config.n, _SIDE, _SIDE), 1 / _SIDE, np.float32)
    vmapped.in_parts(partial(_products, steps=config.steps), config.n, matrices)


@partial(jax.jit, static_argnames="steps")
def _products(matrices: jax.Array, steps: int) -> jax.Array:
    return lax.fori_loop(0, steps, lambda _, x: x @ matrices, matrices)[:, 0]


def _add(config: ConfigDict, _apply: Callable, _images: np.ndarray) -> None:
    arrays = np.zeros((config.n, _SIDE * _SIDE), np.float32)
    vmapped.in_parts(partial(_sums, steps=config.steps), config.n, arrays)


@partial(jax.jit, static_argnames="steps")
def _sums(arrays: jax.Array, steps: int) -> jax.Array:
    return lax.fori_loop(0, steps, lambda _, x: x + arrays, arrays)[:, :1]


_SIDE = 512  # of a matrix; 64 of them are larger than a CPU's caches
WORK = {"evaluation": _evaluate, "inversion": _invert, "products": _multiply, "sums": _add}


def _section(config: ConfigDict, results: dict) -> report.Section:
    return report.Section(
        name="devices",
        title="One device, and all of them",
        text=[
            f"{results['devices']} x {results['kind']}; {config.model.name} of width "
            f"{config.model.width}, {config.n} images of {config.image_size} pixels, float32; "
            f"{config.steps} steps of the attack of an evaluation, and of an inversion; as many "
            f"products of {config.n} matrices, and sums of their size. Seconds: "
            f"median [least, greatest] of {config.rounds} rounds; faster: within a round."
        ],
        header=["work", "seconds on one", "on all", "times as fast"],
        rows=[
            [row["work"], *(report.with_interval(row[key]) for key in ("one", "all", "faster"))]
            for row in results["rows"]
        ],
        figures=[],
    )
