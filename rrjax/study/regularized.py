"""Does a standard network show as much, if its visualization is regularized?

Engstrom et al. (2019), Figures 9 and 10: visualizations of standard networks are made legible by a
Fourier basis and random transforms (`rrjax.core.regularization`, in the manner of Lucid); a robust
network's need none. So the fair comparison has four arms: both networks, with and without. Numbers:
the correlation of the results of two starts, and the roughness, the mean difference of neighboring
pixels over that of test images.

python -m rrjax.study --config=configs/regularized.py --workdir=runs/quickstart
"""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from ml_collections import ConfigDict

from rrjax import BadInput, data, runs
from rrjax.core import objectives, regularization, representation, vmapped
from rrjax.evaluate import metrics
from rrjax.runs import figures
from rrjax.study.comparison import (
    choose_units,
    part_cache,
    publish,
    require,
    searched_images,
    summarized,
    times_largest,
)

STARTS = 2

COLUMNS = {
    "network": "network",
    "method": "method",
    "agreement_of_starts": "agreement of starts",
    "roughness": "roughness",
    "times_largest": "times the largest seen",
}


def run(config: ConfigDict, workdir: str) -> None:
    """Grow config.units units of every network by either method."""
    units = max(2, len(config.first_units))
    require(config, units=units, observed=2, steps=1, regularized_steps=1, batch_size=1)
    if not config.learning_rate > 0:
        raise BadInput(f"learning_rate={config.learning_rate}: give one above 0")
    networks = runs.load_networks(config)
    rng = np.random.default_rng(config.seed)
    images = data.eval_images(next(iter(networks.values())).config, config.observed, rng)
    shape = images.shape[1:]
    runs.make_folder(workdir)
    rows, grid = [], {}
    for name, network in networks.items():
        apply = network.differentiable_apply(config.straight_through)
        units, observed = choose_units(network, images, config.units, config)
        cached = part_cache(workdir, config, name, network)
        for method, prepare in METHODS.items():
            grow, starts = prepare(apply, shape, config)
            pairs = starts.repeat(len(units), axis=0), np.tile(units, STARTS)
            label = f"regularized, {name}, {method}"
            grown = searched_images(cached, label, grow, config.batch_size, *pairs)
            grown = grown.reshape(STARTS, len(units), *shape)
            scores = _scores(network, units, grown, images, observed, config)
            names = {"network": name, "method": method, "units": units.tolist()}
            rows.append(names | summarized(scores, config.seed))
            for start in range(STARTS):
                grid[f"{name}, {method} {start + 1}"] = grown[start]
    picture = (figures.save_grid(workdir, "regularized", grid), "A unit a column, a start a row")
    title = "Feature visualization with a regularizer, and without"
    publish(workdir, config, title, _text(config), rows, COLUMNS, [picture])


def _plain(apply: objectives.Apply, shape: tuple, config) -> tuple[Callable, np.ndarray]:
    """Return the search that grows units (k,) in images (k, H, W, C), and STARTS of noise."""
    options = {"step_size": config.step_size, "steps": config.steps}

    def grow(starts, units):
        return vmapped.visualize_images(apply, starts, units, **options).x

    return grow, representation.noise((STARTS, *shape), np.random.default_rng(config.seed))


def _regularized(apply: objectives.Apply, shape: tuple, config) -> tuple[Callable, np.ndarray]:
    """Return the search that grows units (k,) by the data of keys, and STARTS of those.

    A key decides the first Fourier coefficients and the transforms.
    """
    options = {"steps": config.regularized_steps, "learning_rate": config.learning_rate}

    def grow(data, units):
        return _visualize(apply, jax.random.wrap_key_data(data), units, shape=shape, **options)

    keys = jax.random.split(jax.random.key(config.seed), STARTS)
    return grow, np.asarray(jax.random.key_data(keys))


@partial(jax.jit, static_argnames="shape")
def _visualize(apply, keys, units, *, shape, **options):
    visualize = partial(regularization.visualize, apply, shape=shape, **options)
    return jax.vmap(lambda key, unit: visualize(unit, key))(keys, units)


METHODS = {"plain": _plain, "regularized": _regularized}


def _scores(network: runs.Frozen, units, grown, images, observed, config) -> dict[str, np.ndarray]:
    _, reached = vmapped.represent_images(network.apply, grown[0], config.batch_size)
    return {
        "agreement_of_starts": _agreement(*grown),
        "roughness": _roughness(grown).mean(0) / _roughness(images).mean(),
        "times_largest": times_largest(reached, units, observed),
    }


def _agreement(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the correlation of each image of two stacks (N, H, W, C) with its counterpart."""
    pairs = zip(*(stack.reshape(len(stack), -1) for stack in (images, others)), strict=True)
    return np.array([metrics.correlations(np.stack(pair))[0, 1] for pair in pairs])


def _roughness(images: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference of neighboring pixels of images (..., H, W, C)."""
    down, along = np.diff(images, axis=-3), np.diff(images, axis=-2)
    return (np.abs(down).mean((-3, -2, -1)) + np.abs(along).mean((-3, -2, -1))) / 2


def _text(config) -> list[str]:
    return [
        "Plain: gradient steps on the pixels, from noise. Regularized: on Fourier coefficients of "
        "decorrelated colors, under random shifts, scales and turns.",
        f"{config.units} units; plain: {config.steps} l2 steps of {config.step_size:g}; "
        f"regularized: {config.regularized_steps} of Adam at {config.learning_rate:g}; mean and "
        "95 % interval over units. Agreement: the correlation of the results of two "
        "starts; roughness: the mean difference of neighboring pixels, over that of "
        f"{config.observed} test images; times the largest seen: the unit, over its largest among "
        "them.",
    ]
