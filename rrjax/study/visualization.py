"""What does one coordinate of the representation stand for?

Engstrom et al. (2019), Figures 7 and 19-22: a single coordinate is made as large as can be, from
noise, from mid-gray and from test images. With a robust network the same thing is said to appear
wherever one starts. The number for that: the correlation of what two starts' images have gained
(the result less the start), for one unit, beside that of two different units from one start. Above
each picture: the class that the network takes it for. A unit may also be a channel of an earlier
stage, by its mean over the map, or a logit.

python -m rrjax.study --config=configs/visualization.py --workdir=runs/quickstart
"""

from functools import partial

import numpy as np
from ml_collections import ConfigDict

from rrjax import data, runs
from rrjax.core import representation, vmapped
from rrjax.core.vmapped import in_parts
from rrjax.evaluate import metrics
from rrjax.runs import figures, report
from rrjax.study.comparison import (
    choose_units,
    in_saved_parts,
    part_cache,
    publish,
    require,
    summarized,
    times_largest,
)

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
    least = {"units": len(config.first_units), "n": len(config.first_images)}
    least = {name: max(2, count) for name, count in least.items()}
    require(config, observed=2, steps=1, record=0, batch_size=1, **least)
    networks = runs.load_networks(config)
    networks = {name: each.at_stage(config.stage, channels=True) for name, each in networks.items()}
    trained = next(iter(networks.values())).config
    images, starts = _images(trained, config)
    before = np.concatenate(list(starts.values()))
    labels = [f"{kind} {i + 1}" for kind, stack in starts.items() for i in range(len(stack))]
    runs.make_folder(workdir)
    rows, pictures, strips = [], [], {}
    for number, (name, network) in enumerate(networks.items()):
        units, observed = choose_units(network, images, config.units, config)
        cached = part_cache(workdir, config, name, network)
        grown, ways = _grow(cached, name, network, before, units, config)
        logits, reached = _seen(network, grown, config)
        scores = _scores(before, units, grown, observed, logits, reached)
        names = {"network": name, "units": units.tolist()}
        alike = metrics.summarize_pairs(_between_units(before, grown), config.seed)
        rows.append(names | summarized(scores, config.seed) | {"agreement_of_units": alike})
        classes = figures.class_labels(logits.argmax(-1), data.class_names(trained))
        grid = dict(zip(labels, grown[:, :SHOWN], strict=True))
        titles = dict(zip(labels, classes, strict=True))
        file = figures.save_grid(workdir, f"visualization_{number}", grid, titles=titles)
        listed = ", ".join(map(str, units[:SHOWN]))
        pictures.append((file, f"{name}: a start a row; {config.stage}, units {listed}"))
        if config.record:
            grid = {f"unit {unit}": way for unit, way in zip(units[:SHOWN], ways, strict=True)}
            strips[name] = figures.save_grid(workdir, f"visualization_way_{number}", grid)
            pictures.append((strips[name], f"{name}: from {labels[0]}, on the way"))
    if config.record:
        slider = report.steps_slider(f"from {labels[0]}", strips, config.steps, config.record)
        pictures.append(slider)
    publish(workdir, config, "What single units stand for", _text(config), rows, COLUMNS, pictures)


def _images(trained: ConfigDict, config) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw the test images to choose units by, and the starts: noise, mid-gray, test images."""
    rng = np.random.default_rng(config.seed)
    images = data.eval_images(trained, config.n + config.observed, rng, config.first_images)
    shape = images.shape[1:]
    starts = {
        "noise": representation.noise((config.n, *shape), rng),
        "gray": np.full((1, *shape), 0.5, np.float32),
        "image": images[: config.n],
    }
    return images[config.n :], starts


def _grow(cached, name: str, network: runs.Frozen, starts, units, config) -> tuple:
    """Grow every unit from every start: (starts, units, H, W, C).

    Returns also the way from the first start to the first SHOWN units, where it is recorded: the
    start and the snapshots, (units, 1 + record, H, W, C).
    """
    pairs = np.repeat(starts, len(units), axis=0), np.tile(units, len(starts))
    index, label = np.arange(len(pairs[0])), f"visualization, {name}"
    grow = partial(_grow_part, network, min(len(units), SHOWN), config)
    parts = in_saved_parts(cached, label, grow, config.batch_size, index, *pairs)
    grown = parts["image"].reshape(len(starts), len(units), *starts.shape[1:])
    if not config.record:
        return grown, None
    begun = np.broadcast_to(starts[:1, None], (len(parts["way"]), 1, *starts.shape[1:]))
    return grown, np.concatenate([begun, parts["way"]], axis=1)


def _grow_part(network: runs.Frozen, shown: int, config, index, starts, units) -> dict:
    """Grow a unit (k,) in each start (k, H, W, C), and record the way of the first `shown`."""
    apply = network.differentiable_apply(config.straight_through)
    options = {"step_size": config.step_size, "steps": config.steps, "record": config.record}
    grow = partial(vmapped.visualize_images, apply, **options)
    result = in_parts(grow, config.batch_size, starts, units)
    way = {"way": result.snapshots[index < shown]} if config.record else {}
    return {"image": result.x} | way


def _seen(network: runs.Frozen, grown, config) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits and the representations of images: (starts, units, classes or D)."""
    flat = grown.reshape(-1, *grown.shape[2:])
    outputs = vmapped.represent_images(network.apply, flat, config.batch_size)
    logits, reached = (x.reshape(*grown.shape[:2], -1) for x in outputs)
    return logits, reached


def _scores(starts, units, grown, observed, logits, reached) -> dict[str, np.ndarray]:
    """Score every unit: what its images have in common, how much it grew, how they classify."""
    return {
        "agreement_of_starts": _between_starts(_gained(starts, grown)),
        "times_largest": times_largest(reached, units, observed).mean(0),
        "starts_of_one_class": _share_of_one_class(logits.argmax(-1)),
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
        f"Each column: one coordinate of the network's {config.stage} made as large as gradient "
        "steps can, from each start; of a map, a channel's mean. Above it: the class that the "
        "network takes it for.",
        f"{config.units} units, those that were drawn tell {config.observed} test images apart; "
        f"{2 * config.n + 1} starts; {config.steps} l2 steps of {config.step_size:g}; mean and "
        "95 % interval over units. Agreement: the correlation of what two starts have gained, for "
        "one unit; beside it that of two units from one start. Times the largest seen: the unit, "
        f"over its largest among {config.observed} test images. Starts of one class: the share "
        "that the network takes for the most frequent class.",
    ]
