"""Can a feature be added to an image?

Engstrom et al. (2019), Figures 11 and 23: one coordinate of an image's representation is made to
grow, and the search stops in time: where the unit exceeds all others (the paper), or reaches a
threshold (its code). How often it does, after how many steps, and how much of the image is left.

python -m rrjax.study --config=configs/manipulation.py --workdir=runs/quickstart
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from rrjax import data, runs
from rrjax.core import representation, vmapped
from rrjax.core.pgd import SearchResult
from rrjax.core.vmapped import in_parts
from rrjax.evaluate import metrics
from rrjax.runs import figures
from rrjax.study.comparison import (
    Row,
    choose_units,
    in_saved_parts,
    part_cache,
    publish,
    require,
)

COLUMNS = {
    "network": "network",
    "stop": "stop rule",
    "stopped": "stopped",
    "unit_is_largest": "unit is the largest",
    "steps": "steps",
    "l2_distance": "l2 distance from the image",
    "correlation_with_image": "correlation with the image",
}


def run(config: ConfigDict, workdir: str) -> None:
    """Add config.units units to config.n test images with every network, by both stop rules."""
    least = {"units": len(config.first_units), "n": len(config.first_images)}
    least = {name: max(2, count) for name, count in least.items()}
    require(config, observed=2, steps=1, batch_size=1, **least)
    networks = runs.load_networks(config)
    rng = np.random.default_rng(config.seed)
    trained = next(iter(networks.values())).config
    images = data.eval_images(trained, config.n + config.observed, rng, config.first_images)
    images, others = images[: config.n], images[config.n :]
    runs.make_folder(workdir)
    rows, pictures = [], []
    for name, network in networks.items():
        units, _ = choose_units(network, others, config.units, config)
        cached = part_cache(workdir, config, name, network)
        # Every unit is added to every image.
        before, pair_units = np.tile(images, (len(units), 1, 1, 1)), np.repeat(units, len(images))
        for stop in representation.STOPS:
            label = f"manipulation, {name}, {stop}"
            add = partial(_add, network, stop, config)
            pairs = before, pair_units
            fields: dict[str, Any] = in_saved_parts(cached, label, add, config.batch_size, *pairs)
            result = SearchResult(**fields)
            _, after = vmapped.represent_images(network.apply, result.x, config.batch_size)
            scores = _scores(result, before, pair_units, after, stop, config)
            names = {"network": name, "stop": stop, "units": units.tolist()}
            rows.append(names | _summarized(scores, len(units)))
            changed = result.x.reshape(len(units), *images.shape)
            grid = {"image": images} | {f"unit {u}": changed[i] for i, u in enumerate(units)}
            file = figures.save_grid(workdir, f"manipulation_{len(pictures)}", grid)
            pictures.append((file, f"{name}: a unit added a row, until it is {_end(stop, config)}"))
    title = "Adding a feature to an image"
    publish(workdir, config, title, _text(config), rows, COLUMNS, pictures)


def _add(network: runs.Frozen, stop: str, config, images, units) -> dict[str, np.ndarray]:
    """Add a unit (k,) to each image (k, H, W, C); return the fields of a `SearchResult`."""
    add = partial(
        _manipulate,
        network.differentiable_apply(config.straight_through),
        stop=stop,
        threshold=config.threshold,
        step_size=config.step_size,
        steps=config.steps,
    )
    result = in_parts(add, config.batch_size, images, units)
    return {name: x for name, x in result._asdict().items() if x is not None}


@partial(jax.jit, static_argnames="stop")
def _manipulate(apply, images, units, **options):
    return jax.vmap(partial(representation.manipulate, apply, **options))(images, units)


def _scores(
    result: SearchResult, before, units, after, stop: str, config
) -> dict[str, metrics.Array]:
    """Score every pair of an image (N, H, W, C) and the unit (N,) that was added to it.

    before: the images without the unit. after: the representations (N, D) of those with it.
    One that takes all of config.steps has stopped too if the last of them was enough.
    """
    is_enough = partial(representation.is_enough, stop=stop, threshold=config.threshold)
    enough = jax.vmap(is_enough)(jnp.asarray(after), jnp.asarray(units))
    similarity = metrics.image_similarity(jnp.asarray(result.x), jnp.asarray(before))
    return {
        "stopped": (result.steps < config.steps) | np.asarray(enough),
        "unit_is_largest": after[np.arange(len(units)), units] == after.max(1),
        "steps": result.steps,
        "l2_distance": metrics.l2_distance(result.x, before),
        "correlation_with_image": similarity["correlation"],
    }


def _summarized(scores: Mapping[str, metrics.Array], units: int) -> Row:
    """Summarize scores of all pairs, (units * images,), over units and images both."""
    crossed = {name: np.asarray(values).reshape(units, -1) for name, values in scores.items()}
    return {name: metrics.summarize_crossed(values) for name, values in crossed.items()}


def _end(stop: str, config) -> str:
    return "the largest" if stop == "largest" else f"{config.threshold:g}"


def _text(config) -> list[str]:
    return [
        "One coordinate of an image's representation grows, step by step, until it is enough: the "
        f"largest of all (stop rule: largest), or {config.threshold:g} (threshold).",
        f"{config.units} units, {config.n} test images; l2 steps of {config.step_size:g}, at most "
        f"{config.steps}; mean and 95 % interval over units and images both. Stopped: the share "
        "that was enough in time.",
    ]
