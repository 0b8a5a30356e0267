"""How much faster than one after another does one program train the networks of a retraining study?

python -m rrjax.bench --config=configs/bench_retraining.py --workdir=runs/bench_retraining

On digits with random ranks: the work does not depend on them. In each round every program has its
turn, so that what the machine does besides meets all of them.
"""

import time
from dataclasses import replace
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from rrjax import BadInput, models, runs
from rrjax.core import attribution, losses
from rrjax.data import sources
from rrjax.data.augment import pixels
from rrjax.evaluate import roar
from rrjax.runs import report

LOOP = "a loop of steps"


def run(config: ConfigDict, workdir: str) -> None:
    """Time every program; write results.json and a section of report.html, and print the table.

    Raises:
      BadInput: for counts below 1.
    """
    if min(config.rounds, config.epochs, config.batch_size, *config.at_once) < 1:
        raise BadInput(
            f"--config.rounds={config.rounds}, epochs={config.epochs}, "
            f"batch_size={config.batch_size}, at_once={config.at_once}: they must be at least 1"
        )
    model = models.create(config.model)
    train, test = (_ranked(split, config) for split in ("train", "test"))
    training = roar.Training(config.learning_rate, config.epochs, config.batch_size)
    options = {"invert_mask": False, "fill": jnp.full((1,), 0.5)}
    grid = model, train, test, jnp.array(config.seeds), jnp.array(config.counts)
    programs = {
        f"one program, {n} at once": partial(
            roar.retrain, *grid, training=replace(training, at_once=n), **options
        )
        for n in config.at_once
    }
    programs[LOOP] = partial(retrain_in_a_loop, *grid, training=training, **options)
    first = {name: _timed(program) for name, program in programs.items()}
    again = {name: [] for name in programs}
    for _ in range(config.rounds):
        for name, program in programs.items():
            again[name].append(_timed(program)[0])
    accuracy = first[LOOP][1]
    rows = [
        {
            "program": name,
            "first": first[name][0],
            "seconds": report.spread(times),
            "faster": report.spread(np.array(again[LOOP]) / np.array(times)),
            "difference": np.abs(first[name][1] - accuracy).max(),
        }
        for name, times in again.items()
    ]
    runs.make_folder(workdir)
    runs.publish(workdir, config, _section(config, rows, len(train.labels)), {"rows": rows})


def retrain_in_a_loop(
    model: nn.Module,
    train: roar.Ranked,
    test: roar.Ranked,
    seeds: jax.Array,
    counts: jax.Array,
    *,
    invert_mask: bool,
    fill: jax.Array,
    training: roar.Training,
) -> np.ndarray:
    """Do what `roar.retrain` does, a network after the other and a step after the other.

    Arguments and result as there; each step is a compiled program, as is each evaluation.
    """
    occlude = jax.jit(
        jax.vmap(partial(attribution.occlude, invert_mask=invert_mask), in_axes=(0, 0, None, None))
    )

    def accuracy(seed, count):
        inputs, held_out = (occlude(s.images, s.ranks, count, fill) for s in (train, test))
        init_key, order_key = jax.random.split(jax.random.key(seed))
        params = _init(model, init_key, inputs[:1])
        state = optax.adam(training.learning_rate).init(params)
        size = training.batch_size
        for key in jax.random.split(order_key, training.epochs):
            rows = np.asarray(jax.random.permutation(key, len(inputs)))
            for part in rows[: len(rows) // size * size].reshape(-1, size):
                batch = inputs[part], train.labels[part]
                params, state = _step(model, params, state, *batch, training.learning_rate)
        return _accuracy(model, params, held_out, test.labels)

    return np.array([[accuracy(seed, count) for count in counts] for seed in seeds])


@partial(jax.jit, static_argnums=0)
def _init(model, key, images):
    return model.init(key, images, train=False)["params"]


@partial(jax.jit, static_argnums=0)
def _step(model, params, state, images, labels, learning_rate):
    def loss(params):
        logits, _ = model.apply({"params": params}, images, train=False)
        return losses.cross_entropy(logits, labels).mean()

    updates, state = optax.adam(learning_rate).update(jax.grad(loss)(params), state)
    return optax.apply_updates(params, updates), state


@partial(jax.jit, static_argnums=0)
def _accuracy(model, params, images, labels):
    logits, _ = model.apply({"params": params}, images, train=False)
    return jnp.mean(logits.argmax(-1) == labels)


def _ranked(split: str, config: ConfigDict) -> roar.Ranked:
    source = sources.digits(split, config.image_size)
    records = [source[i] for i in range(len(source))]
    images = jnp.asarray(pixels(np.stack([record["image"] for record in records])))
    labels = jnp.array([record["label"] for record in records])
    keys = jax.random.split(jax.random.key(config.seed), len(records))

    def draw(key, image):
        return attribution.ranks(attribution.random(image, key)[..., 0])

    return roar.Ranked(images, labels, jax.vmap(draw)(keys, images))


def _timed(program) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    accuracy = np.asarray(program())
    return time.perf_counter() - start, accuracy


def _section(config: ConfigDict, rows: list[dict], n: int) -> report.Section:
    networks = len(config.seeds) * len(config.counts)
    return report.Section(
        name="retraining_speed",
        title="Many networks in one program",
        text=[
            f"{networks} networks ({config.model.name}), each trained for {config.epochs} epochs "
            f"on {n:,} digits of {config.image_size} pixels in batches of {config.batch_size}; "
            f"{jax.device_count()} x {jax.devices()[0].device_kind}. First: with compilation. "
            f"Then median [least, greatest] of {config.rounds} rounds, and the loop's time over a "
            "program's in the same round. Difference: the largest of an accuracy from the loop's."
        ],
        header=["program", "first, seconds", "seconds", "times as fast", "difference"],
        rows=[
            [
                row["program"],
                f"{row['first']:.1f}",
                report.with_interval(row["seconds"]),
                report.with_interval(row["faster"]),
                f"{row['difference']:.4f}",
            ]
            for row in rows
        ],
        figures=[],
    )
