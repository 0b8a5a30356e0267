"""What excites a unit?

Engstrom et al. (2019), Figure 8: the input that maximizes one coordinate of the representation,
from mid-gray, beside the test images for which it is largest and least. Representations are never
negative, so many images may be least, at exactly 0: how many is said, and the first in the order of
the draw are shown. A number for "they show the same": the cosine between the representation of the
maximizing input and those of the images at either end, the unit itself left out.

python -m rrjax.study --config=configs/activations.py --workdir=runs/quickstart
"""

from functools import partial

import numpy as np

from rrjax import data, runs
from rrjax.core import vmapped
from rrjax.core.vmapped import in_parts
from rrjax.errors import BadInput
from rrjax.evaluate import metrics
from rrjax.runs import figures, report


def run(config, workdir: str) -> None:
    """Show config.units units of every network."""
    if config.units < 2 or not 1 <= config.shown <= config.n // 2 or config.batch_size < 1:
        raise BadInput(
            f"units={config.units}, shown={config.shown}, n={config.n}, batch_size="
            f"{config.batch_size}: give at least 2 units, 1 image shown, n of twice as many"
        )
    networks = runs.load_networks(config)
    rng = np.random.default_rng(config.seed)
    images = data.eval_images(next(iter(networks.values())).config, config.n, rng)
    runs.make_folder(workdir)
    rows, shown = [], []
    for name, network in networks.items():
        units, maxima, order, scores = _examine(network, images, config)
        summary = {k: metrics.summarize(v, config.seed) for k, v in scores.items()}
        rows.append({"network": name, "units": units.tolist(), **summary})
        grid = {
            f"unit {unit}": np.concatenate([maxima[i : i + 1], images[order[i]]])
            for i, unit in enumerate(units)
        }
        file = figures.save_grid(workdir, f"activations_{len(shown)}", grid)
        ends = f"the {config.shown} test images of most and of least activation"
        shown.append((file, f"{name}: a unit's maximizing input, then {ends}"))
    runs.publish(workdir, config, _section(config, rows, shown), {"rows": rows})


def _examine(network: runs.Frozen, images, config):
    """Return units, their maximizing inputs, the images at either end (u, 2 shown), scores."""
    _, reps = vmapped.represent_images(network.apply, images, config.batch_size)
    units = vmapped.alive_units(reps, config.units, np.random.default_rng(config.seed))
    apply = network.differentiable_apply(config.straight_through)
    options = {"eps": config.eps, "step_size": config.step_size, "steps": config.steps}
    gray = np.full((len(units), *images.shape[1:]), 0.5, np.float32)
    maximize = partial(vmapped.visualize_images, apply, return_iterate="best", **options)
    maxima = in_parts(maximize, config.batch_size, gray, units)
    _, reached = vmapped.represent_images(network.apply, maxima, config.batch_size)
    most = np.argsort(-reps[:, units], axis=0, kind="stable")[: config.shown].T
    least = np.argsort(reps[:, units], axis=0, kind="stable")[: config.shown].T
    near = [
        np.array([_cosine(*each) for each in zip(reached, reps[ends], units, strict=True)])
        for ends in (most, least)
    ]
    scores = {
        "times the largest seen": reached[np.arange(len(units)), units] / reps[:, units].max(0),
        "cosine with the most": near[0],
        "cosine with the least": near[1],
        "images tied for least": (reps[:, units] == reps[:, units].min(0)).sum(0),
    }
    return units, maxima, np.concatenate([most, least], axis=1), scores


def _cosine(one: np.ndarray, others: np.ndarray, unit: int) -> float:
    """Average the cosines between one representation and others, without `unit`."""
    one, others = np.delete(one, unit), np.delete(others, unit, axis=1)
    norms = np.linalg.norm(one) * np.linalg.norm(others, axis=1)
    return float(np.mean(others @ one / norms))


def _section(config, rows: list[dict], shown: list) -> report.Section:
    scores = [key for key in rows[0] if key not in ("network", "units")]
    return report.Section(
        name="activations",
        title="What excites a unit",
        text=[
            "Each row: the input that maximizes a coordinate of the representation, the test "
            "images for which it is largest, and those for which it is least.",
            f"{config.units} units, {config.n} test images; {config.steps} l2 steps of "
            f"{config.step_size:g} from mid-gray; mean and 95 % bootstrap interval over units. "
            "Cosine: between the maximizing input's representation and those of the images at "
            "either end, the unit left out.",
        ],
        header=["network", *scores],
        rows=[[row["network"], *(report.with_interval(row[s]) for s in scores)] for row in rows],
        figures=shown,
    )
