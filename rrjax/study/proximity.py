"""Can an image have the representation of an image that looks otherwise?

Engstrom et al. (2019), Figures 2, 4 and 5: from a source, within an l2 radius of it, the
representation nearest to a target's. A standard network gives the target's to an image that people
cannot tell from the source; with a robust one the image has to become like the target. Radii, steps
and pairs are not in the paper. The distance is normalized, as in Figure 4 and in the paper's code;
its equations leave that out.

python -m rrjax.study --config=configs/proximity.py --workdir=runs/quickstart
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from rrjax import BadInput, data, runs
from rrjax.core import vmapped
from rrjax.core.pgd import SearchResult
from rrjax.core.vmapped import in_parts
from rrjax.data import Images
from rrjax.evaluate import metrics
from rrjax.runs import figures, report
from rrjax.study.comparison import (
    Row,
    in_pairs,
    in_saved_parts,
    part_cache,
    publish,
    require,
)

SHOWN = 8  # pairs a grid shows; the numbers are over all of them
FREE = 1000.0  # the paper's eps: never binds

COLUMNS = {
    "network": "network",
    "radius": "radius",
    "distance": "distance",
    "l2_distance": "l2 distance from the source",
    "correlation_with_source": "correlation with the source",
    "correlation_with_target": "correlation with the target",
}


class Search(NamedTuple):
    """The settings of one inversion: radius and step size are l2, in units of pixels in [0,1]."""

    radius: float
    step_size: float
    steps: int


def run(config: ConfigDict, workdir: str) -> None:
    """Search within every radius of config.radii, and without one, with every network."""
    pairs = max(2, len(config.first_images))
    require(config, n=pairs, steps=1, free_steps=1, batch_size=1)
    if not config.radii or min(config.radii) <= 0:
        raise BadInput(f"radii={config.radii}: give at least one, all above 0")
    networks = runs.load_networks(config)
    networks = {name: network.at_stage(config.stage) for name, network in networks.items()}
    sources, targets = _pairs(next(iter(networks.values())).config, config)
    runs.make_folder(workdir)
    searches = _searches(config)
    rows, firsts, pictures = [], {}, []
    for name, network in networks.items():
        cached = part_cache(workdir, config, name, network)
        grid: dict[str, metrics.Array] = {"source": sources[:SHOWN]}
        for search in searches:
            label = f"proximity, {name}, {_label(search.radius)}"
            part = partial(_search, network, search, config)
            pairs = np.arange(config.n), sources, targets
            scores = in_saved_parts(cached, label, part, config.batch_size, *pairs)
            grid[_label(search.radius)] = scores.pop("image")
            first = firsts.setdefault(search.radius, scores)
            row = {"network": name, "radius": search.radius}
            rows.append(row | in_pairs(scores, first, config.seed))
        grid["target"] = targets[:SHOWN]
        pictures.append(_picture(workdir, name, len(pictures), grid))
    slider = report.Slider(
        label="radius about the source, l2, pixels in [0,1]",
        values=[_label(search.radius) for search in searches],
        files={name: file for name, (file, _) in zip(networks, pictures, strict=True)},
        axis="row",
        first=1,  # under the sources
    )
    pictures = [_curves(workdir, rows), slider, *pictures]
    title = "How near can representations be brought?"
    publish(workdir, config, title, _text(config), rows, COLUMNS, pictures)


def _pairs(trained: ConfigDict, config) -> tuple[Images, Images]:
    """Draw sources and targets, n rows each: of different classes, where there are any."""
    rng, given = np.random.default_rng(config.seed), config.first_images
    if not data.class_names(trained):
        images = data.open_images(trained, 2 * config.n, rng, given)
        return images.part(slice(config.n)), images.part(slice(config.n, None))
    half = 2 * config.n
    images = data.open_examples(trained, 2 * half, rng, given)
    labels = images.labels
    pairs = _of_different_classes(labels[:half], labels[half:], config.n, len(given))
    return images.part(pairs[0]), images.part(half + pairs[1])


def _of_different_classes(
    labels: np.ndarray, others: np.ndarray, n: int, given: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first `n` pairs of places where two rows of labels differ.

    A pair is of one place in both, but the first `given` are in some pair whatever lies at theirs;
    and so are all where there would be too few, as of two classes.
    """
    partners = np.arange(len(others))
    for places in (range(given), range(given, len(others))):
        for place in places:
            differ = np.flatnonzero(others[partners[place:]] != labels[place])
            if len(differ):  # exchanged with its own, which may be it
                taken = place + differ[0]
                partners[[place, taken]] = partners[[taken, place]]
        differ = np.flatnonzero(labels != others[partners])[:n]
        if len(differ) == n:
            return differ, partners[differ]
    raise BadInput(f"only {len(differ)} pairs of different classes: set a smaller --config.n")


def _searches(config) -> list[Search]:
    within = [Search(radius, 2.5 * radius / config.steps, config.steps) for radius in config.radii]
    return [*within, Search(FREE, config.free_step_size, config.free_steps)]


def _search(
    network: runs.Frozen, search: Search, config, index, sources, targets
) -> dict[str, metrics.Array]:
    """Search for a part, (k, H, W, C): scores (k,), and the images of the first SHOWN pairs."""
    invert = partial(
        vmapped.invert_images,
        network.apply,
        network.differentiable_apply(config.straight_through),
        eps=search.radius,
        step_size=search.step_size,
        steps=search.steps,
    )
    result = in_parts(invert, config.batch_size, sources, targets)
    return _scores(result, sources, targets) | {"image": result.x[index < SHOWN]}


def _scores(result: SearchResult, sources, targets) -> dict[str, metrics.Array]:
    with_source, with_target = (
        metrics.image_similarity(result.x, images) for images in (sources, targets)
    )
    return {
        "distance": result.value,
        "l2_distance": metrics.l2_distance(result.x, sources),
        "correlation_with_source": with_source["correlation"],
        "correlation_with_target": with_target["correlation"],
    }


def _picture(workdir, name: str, number: int, grid: Mapping) -> tuple[str, str]:
    file = figures.save_grid(workdir, f"proximity_{number}", grid)
    return file, f"{name}: the nearest to the target, by radius about the source"


def _label(radius: float) -> str:
    return "free" if radius == FREE else f"{radius:g}"


def _curves(workdir, rows: Sequence[Row]) -> tuple[str, str]:
    """Draw the distance that is left within each radius, a curve a network."""
    curves = {}
    for row in rows:
        if row["radius"] != FREE:
            radii, distances = curves.setdefault(row["network"], ([], []))
            radii.append(row["radius"])
            distances.append(row["distance"])
    axes = {"xlabel": "l2 radius, pixels in [0,1]", "ylabel": "normalized distance of R(x)"}
    file = figures.save_curves(workdir, "proximity", curves, **axes, ylim=None)
    return file, "The distance that is left, by radius"


def _text(config) -> list[str]:
    return [
        "From a source, within an l2 radius of it, the image whose representation is nearest to a "
        "target's of another class, or where they have no labels, to any other's. Distance is "
        f"|R(x) - R(target)| / |R(target)|, R(x) the network's {config.stage}.",
        f"n = {config.n} pairs; {config.steps} steps of 2.5 * radius / steps; free, within a "
        f"radius of {FREE:g} that never binds: {config.free_steps} of {config.free_step_size:g}; "
        "mean and 95 % interval over pairs.",
    ]
