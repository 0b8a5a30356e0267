"""What does one coordinate of the representation stand for?

Engstrom et al. (2019), Figures 7 and 19-22: a single coordinate is made as large as can be, from
noise, from mid-gray and from test images. With a robust network the same thing is said to appear
wherever one starts. The number for that: the correlation of what two starts' images have gained
(the result less the start), for one unit, beside that of two different units from one start.

python -m rrjax.study --config=configs/visualization.py --workdir=runs/quickstart
"""

from functools import partial

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from rrjax import data, runs
from rrjax.core import representation, vmapped
from rrjax.core.vmapped import in_parts
from rrjax.evaluate import metrics
from rrjax.runs import figures
from rrjax.study.comparison import choose_units, publish, require, summarized, times_largest

SHOWN = 10  # units a grid shows; the numbers are over all of them

COLUMNS = {
    "network": "network",
    "agreement_of_starts": "agreement of starts",
    "agreement_of_units": "of other units",
    "times_largest": "times the largest seen",
    "starts_of_one_class": "starts of one class",
}


def run(config: ConfigDict, workdir: str) -> None:
    """Grow config.units units of every network from every start."""
    require(config, units=2, observed=2, n=2, steps=1, batch_size=1)
    networks = runs.load_networks(config)
    images, starts = _images(next(iter(networks.values())).config, config)
    before = np.concatenate(list(starts.values()))
    labels = [f"{kind} {i + 1}" for kind, stack in starts.items() for i in range(len(stack))]
    runs.make_folder(workdir)
    rows, pictures = [], []
    for name, network in networks.items():
        units, observed = choose_units(network, images, config.units, config)
        grown = _grow(name, network, before, units, config)
        scores = _scores(network, before, units, grown, observed, config)
        names = {"network": name, "units": units.tolist()}
        alike = metrics.summarize_pairs(_between_units(before, grown), config.seed)
        rows.append(names | summarized(scores, config.seed) | {"agreement_of_units": alike})
        grid = dict(zip(labels, grown[:, :SHOWN], strict=True))
        file = figures.save_grid(workdir, f"visualization_{len(pictures)}", grid)
        pictures.append((file, f"{name}: a unit a column, a start a row"))
    publish(workdir, config, "What single units stand for", _text(config), rows, COLUMNS, pictures)


def _images(trained: ConfigDict, config) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw the test images to choose units by, and the starts: noise, mid-gray, test images."""
    rng = np.random.default_rng(config.seed)
    images = data.eval_images(trained, config.n + config.observed, rng)
    shape = images.shape[1:]
    starts = {
        "noise": representation.noise((config.n, *shape), rng),
        "gray": np.full((1, *shape), 0.5, np.float32),
        "image": images[: config.n],
    }
    return images[config.n :], starts


def _grow(name: str, network: runs.Frozen, starts, units, config) -> np.ndarray:
    """Grow every unit from every start: (starts, units, H, W, C)."""
    apply = network.differentiable_apply(config.straight_through)
    options = {"step_size": config.step_size, "steps": config.steps}
    grow = partial(vmapped.visualize_images, apply, **options)
    pairs = np.repeat(starts, len(units), axis=0), np.tile(units, len(starts))
    bar = partial(tqdm, disable=None, desc=f"visualization, {name}", unit="batch")
    grown = in_parts(grow, config.batch_size, *pairs, each=bar)
    return grown.reshape(len(starts), len(units), *starts.shape[1:])


def _scores(network: runs.Frozen, starts, units, grown, observed, config) -> dict[str, np.ndarray]:
    """Score every unit: what its images have in common, how much it grew, how they classify."""
    shape = (len(starts), len(units))
    flat = grown.reshape(-1, *grown.shape[2:])
    logits, reached = vmapped.represent_images(network.apply, flat, config.batch_size)
    return {
        "agreement_of_starts": _between_starts(_gained(starts, grown)),
        "times_largest": times_largest(reached.reshape(*shape, -1), units, observed).mean(0),
        "starts_of_one_class": _share_of_one_class(logits.argmax(-1).reshape(shape)),
    }


def _between_starts(gained: np.ndarray) -> np.ndarray:
    """Average the correlations of pairs of starts: (starts, units, pixels) to (units,)."""
    pairs = np.triu_indices(len(gained), 1)
    units = gained.swapaxes(0, 1)
    return np.array([metrics.correlations(of_unit)[pairs].mean() for of_unit in units])


def _between_units(starts: np.ndarray, grown: np.ndarray) -> np.ndarray:
    """Average over starts the correlations of what units gain there: (units, units)."""
    gained = _gained(starts, grown)
    return np.mean([metrics.correlations(of_one_start) for of_one_start in gained], axis=0)


def _gained(starts: np.ndarray, grown: np.ndarray) -> np.ndarray:
    """Return what images (starts, units, H, W, C) have more than their starts, pixels flat."""
    return (grown - starts[:, None]).reshape(*grown.shape[:2], -1)


def _share_of_one_class(classes: np.ndarray) -> np.ndarray:
    """Return the share of starts of a unit's most frequent class: (starts, units) to (units,)."""
    return np.array([np.mean(column == np.bincount(column).argmax()) for column in classes.T])


def _text(config) -> list[str]:
    return [
        "Each column: one coordinate of the representation made as large as gradient steps can, "
        "from each start.",
        f"{config.units} units that tell {config.observed} test images apart; "
        f"{2 * config.n + 1} starts; {config.steps} l2 steps of {config.step_size:g}; mean and "
        "95 % interval over units. Agreement: the correlation of what two starts have gained, for "
        "one unit; beside it that of two units from one start. Times the largest seen: the unit, "
        f"over its largest among {config.observed} test images. Starts of one class: the share "
        "that the network takes for the most frequent class.",
    ]
