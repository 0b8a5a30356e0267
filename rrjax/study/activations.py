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
from ml_collections import ConfigDict

from rrjax import BadInput, data, runs
from rrjax.core import vmapped
from rrjax.core.vmapped import in_parts
from rrjax.runs import figures
from rrjax.study.comparison import choose_units, publish, require, summarized, times_largest

COLUMNS = {
    "network": "network",
    "times_largest": "times the largest seen",
    "cosine_with_most": "cosine with the most",
    "cosine_with_least": "cosine with the least",
    "ties_for_least": "images tied for least",
}


def run(config: ConfigDict, workdir: str) -> None:
    """Show config.units units of every network."""
    # The images of either end are different ones; n of 0: all there are.
    least = 2 * config.shown if config.n else 0
    require(config, units=max(2, len(config.first_units)), shown=1, n=least, batch_size=1)
    networks = runs.load_networks(config)
    rng = np.random.default_rng(config.seed)
    trained = next(iter(networks.values())).config
    images = data.open_images(trained, config.n, rng)
    if len(images) < 2 * config.shown:
        raise BadInput(f"shown={config.shown}: of {len(images)} images two ends have fewer")
    size, channels = trained.data.image_size, len(trained.model.mean)
    runs.make_folder(workdir)
    rows, pictures = [], []
    for name, network in networks.items():
        units, observed = choose_units(network, images, config.units, config)
        maxima = _maximize(network, units, (size, size, channels), config)
        most, least = _extremes(observed[:, units], config.shown)
        _, reached = vmapped.represent_images(network.apply, maxima, config.batch_size)
        scores = {
            "times_largest": times_largest(reached, units, observed),
            "cosine_with_most": _cosines(reached, observed[most], units),
            "cosine_with_least": _cosines(reached, observed[least], units),
            "ties_for_least": _ties_for_least(observed[:, units]),
        }
        names = {"network": name, "units": units.tolist()}
        rows.append(names | summarized(scores, config.seed))
        chosen = np.concatenate([most, least], axis=1)
        ends = images[chosen.ravel()].reshape(*chosen.shape, *maxima.shape[1:])
        pictures.append(_picture(workdir, name, len(pictures), units, maxima, ends))
    text = _text(len(images), config)
    publish(workdir, config, "What excites a unit", text, rows, COLUMNS, pictures)


def _maximize(network: runs.Frozen, units, shape: tuple[int, ...], config) -> np.ndarray:
    """Return the maximizing input of every unit: (units, H, W, C)."""
    apply = network.differentiable_apply(config.straight_through)
    options = {"eps": config.eps, "step_size": config.step_size, "steps": config.steps}
    gray = np.full((len(units), *shape), 0.5, np.float32)
    maximize = partial(vmapped.visualize_images, apply, return_iterate="best", **options)
    return in_parts(maximize, config.batch_size, gray, units).x


def _extremes(activations: np.ndarray, shown: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which images have the most and the least of each unit, equal ones in their order.

    activations: (N, units). Returns two arrays of indices, (units, shown).
    """
    most = np.argsort(-activations, axis=0, kind="stable")[:shown].T
    least = np.argsort(activations, axis=0, kind="stable")[:shown].T
    return most, least


def _cosines(reached: np.ndarray, others: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Average for each unit the cosines between one representation and others, without the unit.

    reached: (units, D). others: (units, shown, D). Returns (units,).
    """
    return np.array([_cosine(*each) for each in zip(reached, others, units, strict=True)])


def _cosine(one: np.ndarray, others: np.ndarray, unit: int) -> float:
    one, others = np.delete(one, unit), np.delete(others, unit, axis=1)
    norms = np.linalg.norm(one) * np.linalg.norm(others, axis=1)
    # A representation of zeros, as a network without its straight-through ReLU may have, is like
    # no other: 0.
    return float(np.mean(others @ one / np.where(norms > 0, norms, np.inf)))


def _ties_for_least(activations: np.ndarray) -> np.ndarray:
    """Count the images that share each unit's least value: (N, units) to (units,)."""
    return (activations == activations.min(0)).sum(0)


def _picture(workdir, name: str, number: int, units, maxima, ends) -> tuple[str, str]:
    grid = {
        f"unit {unit}": np.concatenate([maxima[i : i + 1], ends[i]]) for i, unit in enumerate(units)
    }
    file = figures.save_grid(workdir, f"activations_{number}", grid)
    shown = ends.shape[1] // 2
    images = f"the {shown} test images of most and of least activation"
    return file, f"{name}: a unit's maximizing input, then {images}"


def _text(n: int, config) -> list[str]:
    return [
        "Each row: the input that maximizes a coordinate of the representation, the test images "
        "for which it is largest, and those for which it is least.",
        f"{config.units} units, {n} test images; {config.steps} l2 steps of "
        f"{config.step_size:g} from mid-gray; mean and 95 % interval over units. "
        "Cosine: between the maximizing input's representation and those of the images at either "
        "end, the unit left out.",
    ]
