"""Can a feature be added to an image?

Engstrom et al. (2019), Figures 11 and 23: one coordinate of an image's representation is made to
grow, and the search stops in time: where the unit exceeds all others (the paper), or reaches a
threshold (its code). How often it does, after how many steps, and how much of the image is left.

python -m rrjax.study --config=configs/manipulation.py --workdir=runs/quickstart
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from rrjax import data, runs
from rrjax.core import representation, vmapped
from rrjax.core.vmapped import in_parts
from rrjax.errors import BadInput
from rrjax.evaluate import metrics
from rrjax.runs import figures, report


def run(config, workdir: str) -> None:
    """Add config.units units to config.n test images with every network, by both stop rules."""
    if min(config.units, config.n) < 2 or min(config.steps, config.batch_size) < 1:
        raise BadInput(
            f"units={config.units}, n={config.n}, steps={config.steps}, batch_size="
            f"{config.batch_size}: give at least 2 units, n of at least 2, the others of at least 1"
        )
    networks = runs.load_networks(config)
    rng = np.random.default_rng(config.seed)
    images = data.eval_images(next(iter(networks.values())).config, config.n + 128, rng)
    images, known = images[: config.n], images[config.n :]
    runs.make_folder(workdir)
    rows, shown = [], []
    for name, network in networks.items():
        _, reps = vmapped.represent_images(network.apply, known, config.batch_size)
        chosen = np.random.default_rng(config.seed)
        units = vmapped.alive_units(reps, config.units, chosen)
        for stop in representation.STOPS:
            changed, scores = _add(f"{name}, {stop}", network, images, units, stop, config)
            summary = {k: metrics.summarize(v, config.seed) for k, v in scores.items()}
            rows.append({"network": name, "stop": stop, "units": units.tolist(), **summary})
            grid = {"image": images} | {f"unit {u}": changed[i] for i, u in enumerate(units)}
            file = figures.save_grid(workdir, f"manipulation_{len(shown)}", grid)
            shown.append((file, f"{name}: a unit added a row, until it is {_said(stop, config)}"))
    runs.publish(workdir, config, _section(config, rows, shown), {"rows": rows})


@partial(jax.jit, static_argnames="stop")
def _manipulate(apply, images, units, **options):
    return jax.vmap(partial(representation.manipulate, apply, **options))(images, units)


def _add(label: str, network: runs.Frozen, images, units, stop: str, config):
    """Add every unit to every image: images (units, n, H, W, C), and scores of each pair."""
    apply = network.differentiable_apply(config.straight_through)
    add = partial(
        _manipulate,
        apply,
        stop=stop,
        threshold=config.threshold,
        step_size=config.step_size,
        steps=config.steps,
    )
    before, which = np.tile(images, (len(units), 1, 1, 1)), np.repeat(units, len(images))
    bar = partial(tqdm, disable=None, desc=f"manipulation, {label}", unit="batch")
    found = in_parts(add, config.batch_size, before, which, each=bar)
    _, after = vmapped.represent_images(network.apply, found.x, config.batch_size)
    unit = after[np.arange(len(which)), which]
    scores = {
        "stopped": found.steps < config.steps,
        "unit is the largest": unit == after.max(1),
        "steps": found.steps,
        "moved": metrics.l2_distance(found.x, before),
        "correlation with the image": metrics.image_similarity(
            jnp.asarray(found.x), jnp.asarray(before)
        )["correlation"],
    }
    return found.x.reshape(len(units), *images.shape), scores


def _said(stop: str, config) -> str:
    return "the largest" if stop == "largest" else f"{config.threshold:g}"


def _section(config, rows: list[dict], shown: list) -> report.Section:
    scores = [key for key in rows[0] if key not in ("network", "stop", "units")]
    return report.Section(
        name="manipulation",
        title="Adding a feature to an image",
        text=[
            "One coordinate of an image's representation grows, step by step, until it is enough.",
            f"{config.units} units, {config.n} test images; l2 steps of {config.step_size:g}, at "
            f"most {config.steps}; mean and 95 % bootstrap interval over all pairs. Stopped: the "
            "share that was enough in time; moved: the l2 norm of the change.",
        ],
        header=["network", "until it is", *scores],
        rows=[
            [row["network"], _said(row["stop"], config)]
            + [report.with_interval(row[score]) for score in scores]
            for row in rows
        ],
        figures=shown,
    )
