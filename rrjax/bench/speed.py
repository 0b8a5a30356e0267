"""How fast are a training step, an evaluation and an inversion? How near to the chip's best?

python -m rrjax.bench --config=configs/bench_cpu.py --workdir=runs/bench_cpu

Where MadryLab's `robustness` is installed, it and a tuned PyTorch loop do the same work
(`launch/bench_peers.sh` installs both). In each round every program has its turn, so that what the
machine does besides meets all of them; ratios are taken within a round.
"""

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Generator, Hashable, Mapping
from contextlib import contextmanager
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from rrjax import BadInput, models, runs
from rrjax.bench import cases
from rrjax.cli.programs import cache_setting
from rrjax.core import devices, vmapped
from rrjax.data.augment import pixels
from rrjax.runs import report
from rrjax.train import parallel
from rrjax.train.tasks import classifier

RRJAX = "rrjax"  # the name of its program
Key = TypeVar("Key", bound=Hashable)


def run(config: ConfigDict, workdir: str) -> None:
    """Time every case; write results.json and a section of report.html, and print the table.

    Raises:
      BadInput: for no rounds, and for a case that is none.
    """
    chosen = _cases(config)
    runs.make_folder(workdir)
    results = {"device": _device(), "ceiling": _ceiling(config.training.dtype), "cases": []}
    print(f"{results['device']}: {_ceiling_text(results['ceiling'])}", flush=True)
    for case in chosen:
        for row in _case(config, case, results["ceiling"]):
            results["cases"].append(row)
            print(" ".join(_cells(row)), flush=True)
    results["compilation"] = _compilation(config, chosen)
    runs.publish(workdir, config, _section(config, results), results)


def _cases(config) -> list[cases.Case]:
    if config.rounds < 1:
        raise BadInput(f"--config.rounds={config.rounds}: it must be at least 1")
    devices, chosen = jax.device_count(), cases.read(config)
    for case in chosen:
        if case["n"] % devices:
            raise BadInput(
                f"--config.cases: {_fields(case)}: give as many images as divide by {devices} "
                "devices"
            )
    return chosen


def _fields(case: cases.Case) -> tuple:
    return tuple(case[field] for field in cases.FIELDS)


def _case(config, case: dict, ceiling: dict) -> list[dict]:
    """Time one case with every program there is: a row each."""
    training = cases.training(config, case)
    images, labels = _batch(config.seed, case, training.model.classes)
    work, memory = KINDS[case["kind"]](config, training, images, labels)
    _check_memory(case, memory)
    programs = {RRJAX: work}
    if importlib.util.find_spec("robustness") and config.peers:
        from rrjax.bench import peers  # PyTorch is imported for this alone

        programs |= peers.programs(config, training, case["kind"], images, labels)
    seconds = times(programs, config.warmup, config.rounds)
    flops = cases.flops(config, case)
    return [
        {
            **case,
            "program": name,
            "seconds": report.spread(times),
            "images_per_second": case["n"] / np.median(times),
            "flops_per_second": flops / np.median(times),
            "share_of_ceiling": flops / np.median(times) / ceiling["flops_per_second"],
            "bytes": memory if name == RRJAX else None,
            "time_ratio": report.spread(np.array(seconds[RRJAX]) / np.array(times)),
        }
        for name, times in seconds.items()
    ]


def _check_memory(case: dict, needed: int) -> None:
    """Check that a case fits, before a run that the system would kill, with what was measured."""
    stats = jax.devices()[0].memory_stats()
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    available = stats["bytes_limit"] if stats else total
    if needed > available:
        raise BadInput(
            f"--config.cases: {_fields(case)} takes {needed / 1e9:.1f} GB "
            f"of a device that has {available / 1e9:.1f}: give fewer images, or leave it out"
        )


def times(programs: Mapping[Key, Callable], warmup: int, rounds: int) -> dict[Key, list[float]]:
    """Return the seconds of every round by program; in each round every program has its turn."""
    for program in programs.values():
        for _ in range(warmup):
            program()
    seconds = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            start = time.perf_counter()
            program()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def _batch(seed: int, case: dict, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (case["n"], case["size"], case["size"], 3)
    return rng.integers(0, 256, shape, np.uint8), rng.integers(0, classes, case["n"], np.int32)


def _training_step(_config, training, images, labels) -> tuple[Callable, int]:
    task = classifier.create(training, steps_per_epoch=1000)
    step = parallel.data_parallel(task.train_step, donate=True)
    batch = parallel.place({"image": images, "label": labels})
    carried = [jax.device_put(task.init(), parallel.replicated())]
    step = step.lower(carried[0], batch).compile()

    def work():
        state, metrics = step(carried.pop(), batch)
        carried.append(state)
        jax.block_until_ready((state, metrics))

    return work, _bytes(step)


def _evaluation_step(_config, training, images, labels) -> tuple[Callable, int]:
    task = classifier.create(training, steps_per_epoch=1000)
    everyone = {"index": np.arange(len(labels), dtype=np.int32), "mask": np.ones(len(labels))}
    batch = parallel.place({"image": images, "label": labels, **everyone})
    state = jax.device_put(task.init(), parallel.replicated())
    step = parallel.data_parallel(task.eval_step).lower(state, batch).compile()
    return lambda: jax.block_until_ready(step(state, batch)), _bytes(step)


def _inversion(config, training, images, _labels) -> tuple[Callable, int]:
    model = models.create(training.model)
    variables = models.init(model, jax.random.key(0), images.shape[1:])
    apply = models.frozen(model, jax.device_put(variables, devices.replicated()))
    targets = pixels(images)
    arguments = (apply, apply, *jax.device_put((targets[::-1], targets), devices.split()))
    options = {"eps": 1000.0, "step_size": 1.0, "steps": config.inversion_steps}
    step = jax.jit(vmapped.invert_images).lower(*arguments, **options).compile()
    return lambda: jax.block_until_ready(step(*arguments, **options)), _bytes(step)


KINDS = {
    "adversarial": _training_step,
    "standard": _training_step,
    "evaluation": _evaluation_step,
    "inversion": _inversion,
}


def _bytes(step) -> int:
    """Return what a compiled program needs on its device, arguments included."""
    memory = step.memory_analysis()
    return memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes


def _ceiling(dtype: str) -> dict[str, float]:
    """Measure what the device reaches at best: a large matrix product, and a large copy."""
    big = jax.default_backend() != "cpu"
    n, length = (8192, 2**28) if big else (2048, 2**25)
    a = jnp.ones((n, n), dtype)
    b = jnp.ones(length, jnp.float32)
    product, copy_ = jax.jit(lambda a: a @ a), jax.jit(lambda b: b + 1)
    return {
        "flops_per_second": 2 * n**3 / _best(product, a),
        "bytes_per_second": 2 * b.nbytes / _best(copy_, b),
    }


def _best(program: Callable, argument) -> float:
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        jax.block_until_ready(program(argument))
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _compilation(config, chosen: list[cases.Case]) -> list[dict]:
    """Time compiling the first case's training step, by the steps of its attack.

    Once with an empty cache of compiled programs, and again with what the first time left there.
    """
    training = cases.training(config, chosen[0] | {"kind": "adversarial"})
    images, labels = _batch(config.seed, chosen[0], training.model.classes)
    batch = parallel.place({"image": images, "label": labels})
    rows = []
    with _empty_cache():
        for steps in config.compiled_steps:
            training.attack.steps = steps
            row = {"steps": steps}
            for name in ("seconds", "again"):
                task = classifier.create(training, steps_per_epoch=1000)
                state = jax.eval_shape(task.init)
                jax.clear_caches()
                start = time.perf_counter()
                step = parallel.data_parallel(task.train_step, donate=True).lower(state, batch)
                traced = time.perf_counter()
                step.compile()
                row |= {"tracing": traced - start, name: time.perf_counter() - traced}
            rows.append(row)
    return rows


@contextmanager
def _empty_cache() -> Generator[None, None, None]:
    """Give jax an empty cache of compiled programs for a while, and then its own again."""
    with (
        tempfile.TemporaryDirectory() as folder,
        cache_setting("jax_compilation_cache_dir", folder),
    ):
        yield


def _device() -> str:
    return f"{jax.device_count()} x {jax.devices()[0].device_kind}"


def _ceiling_text(ceiling: dict) -> str:
    return (
        f"a matrix product reaches {ceiling['flops_per_second'] / 1e12:.3g} TFLOP/s, "
        f"a copy {ceiling['bytes_per_second'] / 1e9:.3g} GB/s"
    )


def _cells(row: dict) -> list[str]:
    return [
        f"{row['kind']} {row['name']} {row['size']}, {row['n']}",
        row["program"],
        report.with_interval(row["seconds"], 3),
        f"{row['images_per_second']:.1f}",
        f"{row['flops_per_second'] / 1e12:.3g}",
        f"{row['share_of_ceiling']:.0%}",
        "" if row["bytes"] is None else f"{row['bytes'] / 2**30:.2f}",
        report.with_interval(row["time_ratio"], 2),
    ]


def _section(config, results: dict) -> report.Section:
    compiled = ", ".join(
        f"{row['steps']} steps {row['seconds']:.1f} s, from disk {row['again']:.1f} s"
        for row in results["compilation"]
    )
    return report.Section(
        name=config.name,
        title="Speed",
        text=[
            f"{results['device']}, {config.training.dtype}: {_ceiling_text(results['ceiling'])}. "
            f"Attack: {config.training.attack.norm}, {config.training.attack.steps} steps; of an "
            f"evaluation {config.evaluation_steps}, of an inversion {config.inversion_steps}. "
            f"Median [least, greatest] of {config.rounds} rounds; rrjax's time over the "
            "program's, within a round.",
            f"Compiling the first case's training step, after tracing it: {compiled}.",
        ],
        header=[
            "case, images",
            "program",
            "seconds",
            "images/s",
            "TFLOP/s",
            "of ceiling",
            "GiB",
            "rrjax's time over it",
        ],
        rows=[_cells(row) for row in results["cases"]],
        figures=[],
    )
