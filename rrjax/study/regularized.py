"""Does a standard network show as much, if its visualization is regularized?

Engstrom et al. (2019), Figures 9 and 10: visualizations of standard networks are made legible by a
Fourier basis and random transforms (`rrjax.core.regularization`, in the manner of Lucid); a robust
network's need none. So the fair comparison has four arms: both networks, with and without. Numbers:
the correlation of the results of two starts, and the roughness, the mean difference of neighboring
pixels over that of test images.

python -m rrjax.study --config=configs/regularized.py --workdir=runs/quickstart
"""

from functools import partial

import jax
import numpy as np

from rrjax import data, runs
from rrjax.core import regularization, representation, vmapped
from rrjax.core.vmapped import in_parts
from rrjax.errors import BadInput
from rrjax.evaluate import metrics
from rrjax.runs import figures, report

METHODS = ("plain", "regularized")
STARTS = 2


def run(config, workdir: str) -> None:
    """Grow config.units units of every network by either method."""
    steps = min(config.steps, config.regularized_steps, config.batch_size)
    if config.units < 2 or steps < 1 or config.learning_rate <= 0:
        raise BadInput(
            f"units={config.units}, steps={config.steps}, regularized_steps="
            f"{config.regularized_steps}, batch_size={config.batch_size}, learning_rate="
            f"{config.learning_rate}: give at least 2 units, the others positive"
        )
    networks = runs.load_networks(config)
    rng = np.random.default_rng(config.seed)
    images = data.eval_images(next(iter(networks.values())).config, 128, rng)
    runs.make_folder(workdir)
    rows, grid = [], {}
    for name, network in networks.items():
        _, known = vmapped.represent_images(network.apply, images, config.batch_size)
        units = vmapped.alive_units(known, config.units, np.random.default_rng(config.seed))
        for method in METHODS:
            grown = _grow(network, method, units, images.shape[1:], config)
            scores = _scores(network, units, grown, images, known, config)
            summary = {k: metrics.summarize(v, config.seed) for k, v in scores.items()}
            rows.append({"network": name, "method": method, "units": units.tolist(), **summary})
            for start in range(STARTS):
                grid[f"{name}, {method} {start + 1}"] = grown[start]
    picture = (figures.save_grid(workdir, "regularized", grid), "A unit a column, a start a row")
    runs.publish(workdir, config, _section(config, rows, picture), {"rows": rows})


@partial(jax.jit, static_argnames="shape")
def _regularized(apply, keys, units, *, shape, **options):
    visualize = partial(regularization.visualize, apply, shape=shape, **options)
    return jax.vmap(lambda key, unit: visualize(unit, key))(keys, units)


def _grow(network: runs.Frozen, method: str, units, shape, config) -> np.ndarray:
    """Grow every unit from every start: (STARTS, units, H, W, C)."""
    apply = network.differentiable_apply(config.straight_through)
    if method == "plain":
        rng = np.random.default_rng(config.seed)
        starts = representation.noise((STARTS, *shape), rng).repeat(len(units), axis=0)
        options = {"step_size": config.step_size, "steps": config.steps}
        grow = partial(vmapped.visualize_images, apply, **options)
    else:
        keys = jax.random.split(jax.random.key(config.seed), STARTS)
        starts = np.asarray(jax.random.key_data(keys)).repeat(len(units), axis=0)
        options = {"steps": config.regularized_steps, "learning_rate": config.learning_rate}

        def grow(data, which):
            return _regularized(
                apply, jax.random.wrap_key_data(data), which, shape=shape, **options
            )

    grown = in_parts(grow, config.batch_size, starts, np.tile(units, STARTS))
    return grown.reshape(STARTS, len(units), *shape)


def _scores(network, units, grown, images, known, config) -> dict[str, np.ndarray]:
    one, other = (stack.reshape(len(units), -1) for stack in grown)
    alike = [np.corrcoef(*pair)[0, 1] for pair in zip(one, other, strict=True)]
    _, reached = vmapped.represent_images(network.apply, grown[0], config.batch_size)
    return {
        "agreement of starts": np.array(alike),
        "roughness": _roughness(grown).mean(0) / _roughness(images).mean(),
        "times the largest seen": reached[np.arange(len(units)), units] / known[:, units].max(0),
    }


def _roughness(images: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference of neighboring pixels of images (..., H, W, C)."""
    down, along = np.diff(images, axis=-3), np.diff(images, axis=-2)
    return (np.abs(down).mean((-3, -2, -1)) + np.abs(along).mean((-3, -2, -1))) / 2


def _section(config, rows: list[dict], picture: tuple[str, str]) -> report.Section:
    scores = [key for key in rows[0] if key not in ("network", "method", "units")]
    return report.Section(
        name="regularized",
        title="Feature visualization with a regularizer, and without",
        text=[
            "Plain: gradient steps on the pixels, from noise. Regularized: on Fourier coefficients "
            "of decorrelated colors, under random shifts, scales and turns.",
            f"{config.units} units; plain: {config.steps} l2 steps of {config.step_size:g}; "
            f"regularized: {config.regularized_steps} of Adam at {config.learning_rate:g}; mean "
            "and 95 % bootstrap interval over units. Agreement: the correlation of the results of "
            "two starts; roughness: the mean difference of neighboring pixels, over that of 128 "
            "test images; times the largest seen: the unit, over its largest among them.",
        ],
        header=["network", "method", *scores],
        rows=[
            [row["network"], row["method"], *(report.with_interval(row[s]) for s in scores)]
            for row in rows
        ],
        figures=[picture],
    )
