"""What does one coordinate of the representation stand for?

Engstrom et al. (2019), Figures 7 and 19-22: a single coordinate is made as large as can be, from
noise, from mid-gray and from test images. With a robust network the same thing is said to appear
wherever one starts. The number for that: the correlation of what two starts' images have gained
(the result less the start), for one unit, beside that of two different units from one start.

python -m rrjax.study --config=configs/visualization.py --workdir=runs/quickstart
"""

from functools import partial

import numpy as np
from tqdm import tqdm

from rrjax import data, runs
from rrjax.core import representation, vmapped
from rrjax.core.vmapped import in_parts
from rrjax.errors import BadInput
from rrjax.evaluate import metrics
from rrjax.runs import figures, report

SHOWN = 10  # units a grid shows; the numbers are over all of them


def run(config, workdir: str) -> None:
    """Grow config.units units of every network from every start."""
    if min(config.units, config.n) < 2 or min(config.steps, config.batch_size) < 1:
        raise BadInput(
            f"units={config.units}, n={config.n}, steps={config.steps}, batch_size="
            f"{config.batch_size}: give at least 2 units, n of at least 2, the others of at least 1"
        )
    networks = runs.load_networks(config)
    images, starts = _starts(next(iter(networks.values())).config, config)
    runs.make_folder(workdir)
    rows, shown = [], []
    for name, network in networks.items():
        _, known = vmapped.represent_images(network.apply, images, config.batch_size)
        rng = np.random.default_rng(config.seed)
        units = vmapped.alive_units(known, config.units, rng)
        grown = _grow(name, network, np.concatenate(list(starts.values())), units, config)
        scores = _scores(network, starts, units, grown, known, config)
        summary = {k: metrics.summarize(v, config.seed) for k, v in scores.items()}
        rows.append({"network": name, "units": units.tolist(), **summary})
        labels = [f"{kind} {i + 1}" for kind, stack in starts.items() for i in range(len(stack))]
        grid = dict(zip(labels, grown[:, :SHOWN], strict=True))
        file = figures.save_grid(workdir, f"visualization_{len(shown)}", grid)
        shown.append((file, f"{name}: a unit a column, a start a row"))
    runs.publish(workdir, config, _section(config, rows, shown), {"rows": rows})


def _starts(trained, config) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw test images to know the units by, and the starts: noise, mid-gray, other test images."""
    rng = np.random.default_rng(config.seed)
    images = data.eval_images(trained, config.n + 128, rng)
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


def _scores(network: runs.Frozen, starts, units, grown, known, config) -> dict[str, np.ndarray]:
    """Score every unit: gain over the test images' largest, agreement, a class by itself."""
    before = np.concatenate(list(starts.values()))
    gained = (grown - before[:, None]).reshape(len(before), len(units), -1)
    alike = np.array([np.corrcoef(gained[:, u]) for u in range(len(units))])
    apart = np.array([np.corrcoef(gained[s]) for s in range(len(before))])
    flat = grown.reshape(-1, *grown.shape[2:])
    logits, after = vmapped.represent_images(network.apply, flat, config.batch_size)
    classes = logits.argmax(-1).reshape(len(before), len(units))
    reached = after.reshape(len(before), len(units), -1)[:, np.arange(len(units)), units]
    same = [np.mean(column == np.bincount(column).argmax()) for column in classes.T]
    return {
        "agreement of starts": _between_starts(alike),
        "of other units": _between_units(apart),
        "times the largest seen": (reached / known[:, units].max(0)).mean(0),
        "starts of one class": np.array(same),
    }


def _between_starts(matrices: np.ndarray) -> np.ndarray:
    """Average each unit's correlations over pairs of starts: (u, starts, starts) to (u,)."""
    n = matrices.shape[-1]
    return (matrices.sum((1, 2)) - n) / (n * (n - 1))


def _between_units(matrices: np.ndarray) -> np.ndarray:
    """Average over starts each unit's correlation with the other units: (starts, u, u) to (u,)."""
    n = matrices.shape[-1]
    return ((matrices.sum(2) - 1) / (n - 1)).mean(0)


def _section(config, rows: list[dict], shown: list) -> report.Section:
    scores = [key for key in rows[0] if key not in ("network", "units")]
    return report.Section(
        name="visualization",
        title="What single units stand for",
        text=[
            "Each column: one coordinate of the representation made as large as gradient steps "
            "can, from each start.",
            f"{config.units} units that tell 128 test images apart; {2 * config.n + 1} starts; "
            f"{config.steps} l2 steps of {config.step_size:g}; mean and 95 % bootstrap interval "
            "over units. Agreement: the correlation of what two starts have gained, for one unit; "
            "beside it that of two units from one start. Times the largest seen: the unit, over "
            "its largest among 128 test images. Starts of one class: the share that the network "
            "takes for the most frequent class.",
        ],
        header=["network", *scores],
        rows=[[row["network"], *(report.with_interval(row[s]) for s in scores)] for row in rows],
        figures=shown,
    )
