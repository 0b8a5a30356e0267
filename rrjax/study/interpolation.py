"""What lies between two images?

Engstrom et al. (2019), Figures 12, 17 and 18: images whose representations lie on the line between
two images' representations, beside the mixtures of their pixels. With a robust network the path is
said to go through images; a mixture of pixels shows both images, as ghosts. The number for that:
how far the midpoint is from the nearest real test image, as *another* network sees it (the standard
one for the robust one's paths, and the other way round), beside that of the mixture of pixels.

python -m rrjax.study --config=configs/interpolation.py --workdir=runs/quickstart
"""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from ml_collections import ConfigDict

from rrjax import data, runs
from rrjax.core import representation, vmapped
from rrjax.core.pgd import SearchResult
from rrjax.core.vmapped import in_parts
from rrjax.evaluate import metrics
from rrjax.runs import figures, report
from rrjax.study.comparison import in_saved_parts, part_cache, publish, require, summarized

Pairs = tuple[np.ndarray, np.ndarray]  # of images, (k, H, W, C) each
SHOWN = 4  # pairs of which the paths are shown; the numbers are over all of them


COLUMNS = {
    "network": "network",
    "evaluator": "evaluated by",
    "distance_reached": "distance reached at the midpoint",
    "midpoint_to_blend": "midpoint to blend, pixels",
    "midpoint_to_real": "midpoint to a real image",
    "blend_to_real": "blend to a real image",
    "midpoint_nearer": "midpoint nearer by, in pairs",
}


def run(config: ConfigDict, workdir: str) -> None:
    """Walk between config.n pairs of test images with every network."""
    # The first images are of both ends, all left ones before the right ones.
    pairs = max(2, -(-len(config.first_images) // 2))
    require(config, n=pairs, points=3, steps=1, batch_size=1)
    networks = runs.load_networks(config)
    searched = {name: network.at_stage(config.stage) for name, network in networks.items()}
    rng = np.random.default_rng(config.seed)
    trained = next(iter(networks.values())).config
    images = data.open_images(trained, 2 * config.n + config.gallery, rng, config.first_images)
    left, right = (images.part(slice(first, first + config.n)) for first in (0, config.n))
    shown = left[:SHOWN], right[:SHOWN]
    gallery = images[2 * config.n :]
    runs.make_folder(workdir)
    rows, pictures = [], []
    for name, network in searched.items():
        evaluator = runs.other_network(name, networks)
        apply = networks[evaluator].apply
        _, references = vmapped.represent_images(apply, gallery, config.batch_size)
        saved = partial(in_saved_parts, part_cache(workdir, config, name, network, references))
        nearest = partial(
            vmapped.nearest_distance, apply, references=references, batch_size=config.batch_size
        )
        halfway = partial(_halfway, network, nearest, config)
        scores = saved(f"half way, {name}", halfway, config.batch_size, left, right)
        names = {"network": name, "evaluator": evaluator}
        rows.append(names | summarized(scores, config.seed))
        paths = _paths(partial(saved, f"paths, {name}"), network, shown, config)
        pictures.append(_picture(workdir, name, len(pictures), shown, paths, config))
    files = {name: file for name, (file, _) in zip(networks, pictures, strict=True)}
    pictures.append(report.weights_slider(files, config.points))
    publish(workdir, config, "Between two images", _text(config), rows, COLUMNS, pictures)


@jax.jit
def _interpolate(apply, left, right, weights, **options):
    return jax.vmap(partial(representation.interpolate, apply, **options))(left, right, weights)


def _search(network: runs.Frozen, config, left, right, weights) -> SearchResult:
    """Search for images between pairs (k, H, W, C) by weights (k,)."""
    apply = network.differentiable_apply(config.straight_through)
    options = {"step_size": config.step_size, "steps": config.steps}
    interpolate = partial(_interpolate, apply, **options)
    return in_parts(interpolate, config.batch_size, left, right, weights)


def _halfway(network: runs.Frozen, nearest: Callable, config, left, right) -> dict[str, np.ndarray]:
    """Score the images half way between pairs (k, H, W, C): (k,) each.

    Not of a path: one of an even number of points has no middle, and its ends are images whose
    distance is 0. nearest: images -> their distances to a real one.
    """
    blend = (left + right) / 2
    middle = _search(network, config, left, right, np.full(len(left), 0.5, np.float32))
    midpoint_to_real, blend_to_real = nearest(middle.x), nearest(blend)
    return {
        "distance_reached": np.asarray(middle.value),
        "midpoint_to_blend": np.asarray(metrics.l2_distance(middle.x, blend)),
        "midpoint_to_real": midpoint_to_real,
        "blend_to_real": blend_to_real,
        "midpoint_nearer": blend_to_real - midpoint_to_real,
    }


def _paths(saved: Callable, network: runs.Frozen, pairs: Pairs, config) -> np.ndarray:
    """Return the images of every path, (k, points, H, W, C)."""
    n = len(pairs[0])
    weights = np.tile(np.linspace(0, 1, config.points, dtype=np.float32), n)
    starts, ends = (np.repeat(images, config.points, axis=0) for images in pairs)

    def part(*rows):
        return {"image": _search(network, config, *rows).x}

    images = saved(part, config.batch_size, starts, ends, weights)["image"]
    return images.reshape(n, config.points, *images.shape[1:])


def _picture(workdir, name, number, pairs: Pairs, paths, config) -> tuple[str, str]:
    weights = np.linspace(0, 1, config.points)[:, None, None, None]
    grid = {}
    for i, (left, right) in enumerate(zip(*pairs, strict=True)):
        grid[f"pixels {i + 1}"] = (1 - weights) * left + weights * right
        grid[f"R(x) {i + 1}"] = paths[i]
    file = figures.save_grid(workdir, f"interpolation_{number}", grid)
    return file, f"{name}: mixtures of pixels, and images of mixed representations"


def _text(config) -> list[str]:
    return [
        "Each pair of rows: the mixtures of two test images' pixels, and images reached by "
        "gradient steps whose representations are the mixtures of the two representations.",
        f"n = {config.n} pairs, {config.points} points a path; {config.steps} l2 steps of "
        f"{config.step_size:g}; mean and 95 % interval over pairs. Distance reached: of the "
        f"{config.stage}, normalized, at the midpoint. To a real image: the least normalized "
        f"representation distance to {config.gallery} other test images, as another network sees "
        "it: less is more like an image.",
    ]
