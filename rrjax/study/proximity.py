"""Can an image have the representation of an image that looks otherwise?

Engstrom et al. (2019), Figures 2, 4 and 5: from a source, within an l2 radius of it, the
representation nearest to a target's. A standard network gives the target's to an image that people
cannot tell from the source; with a robust one the image has to become like the target. Radii, steps
and pairs are not in the paper; its distance is not normalized, its code's is, and so is ours.

python -m rrjax.study --config=configs/proximity.py --workdir=runs/quickstart
"""

from functools import partial

import numpy as np
from tqdm import tqdm

from rrjax import data, runs
from rrjax.core import vmapped
from rrjax.core.vmapped import in_parts
from rrjax.errors import BadInput
from rrjax.evaluate import metrics
from rrjax.runs import figures, report

SHOWN = 8  # pairs a grid shows; the numbers are over all of them
FREE = 1000.0  # the paper's eps: never binds


def run(config, workdir: str) -> None:
    """Search within every radius of config.radii, and without one, with every network."""
    if config.n < 2 or min(config.steps, config.free_steps, config.batch_size) < 1:
        raise BadInput(
            f"n={config.n}, steps={config.steps}, free_steps={config.free_steps}, "
            f"batch_size={config.batch_size}: give n of at least 2, the others of at least 1"
        )
    if not config.radii or min(config.radii) <= 0:
        raise BadInput(f"radii={config.radii}: give at least one, all above 0")
    networks = runs.load_networks(config)
    sources, targets = _pairs(next(iter(networks.values())), config)
    runs.make_folder(workdir)
    searches = [(radius, 2.5 * radius / config.steps, config.steps) for radius in config.radii]
    searches.append((FREE, config.free_step_size, config.free_steps))
    rows, shown = [], []
    bar = tqdm(total=len(networks) * len(searches), disable=None, desc="proximity", unit="radius")
    with bar:
        for name, network in networks.items():
            grid = {"source": sources}
            for search in searches:
                found, scores = _search(network, sources, targets, search, config)
                summary = {k: metrics.summarize(v, config.seed) for k, v in scores.items()}
                rows.append({"network": name, "radius": search[0], **summary})
                grid[_radius(search[0])] = found.x
                bar.update()
            grid["target"] = targets
            file = figures.save_grid(
                workdir,
                f"proximity_{len(shown)}",
                {label: images[:SHOWN] for label, images in grid.items()},
            )
            shown.append((file, f"{name}: the nearest to the target, by radius about the source"))
    runs.publish(workdir, config, _section(config, rows, shown, workdir), {"rows": rows})


def _pairs(network: runs.Frozen, config) -> tuple[np.ndarray, np.ndarray]:
    """Draw sources and targets of different classes, (n, H, W, C) each."""
    rng = np.random.default_rng(config.seed)
    half = 2 * config.n
    images, labels = data.eval_examples(network.config, 2 * half, rng)
    differ = np.flatnonzero(labels[:half] != labels[half:])[: config.n]
    if len(differ) < config.n:
        raise BadInput(f"only {len(differ)} pairs of different classes: set a smaller --config.n")
    return images[differ], images[half + differ]


def _search(network: runs.Frozen, sources, targets, search: tuple, config):
    radius, step_size, steps = search
    descend = network.differentiable_apply(config.straight_through)
    invert = partial(
        vmapped.invert_images,
        network.apply,
        descend,
        eps=radius,
        step_size=step_size,
        steps=steps,
    )
    found = in_parts(invert, config.batch_size, sources, targets)
    moved = metrics.l2_distance(found.x, sources)
    image_similarity = {
        f"correlation with the {name}": metrics.image_similarity(found.x, images)["correlation"]
        for name, images in (("source", sources), ("target", targets))
    }
    return found, {"distance": found.value, "moved": moved, **image_similarity}


def _radius(radius: float) -> str:
    return "free" if radius == FREE else f"{radius:g}"


def _section(config, rows: list[dict], shown: list, workdir: str) -> report.Section:
    curves = {}
    for row in rows:
        if row["radius"] != FREE:
            radii, line = curves.setdefault(row["network"], ([], []))
            radii.append(row["radius"])
            line.append(row["distance"])
    figure = figures.save_curves(
        workdir,
        "proximity",
        curves,
        xlabel="l2 radius",
        ylabel="normalized distance of R",
        ylim=None,
    )
    scores = [key for key in rows[0] if key not in ("network", "radius")]
    return report.Section(
        name="proximity",
        title="How near can representations be brought?",
        text=[
            "From a source, within an l2 radius of it, the image whose representation is nearest "
            "to a target's of another class. Distance is |R(x) - R(target)| / |R(target)|.",
            f"n = {config.n} pairs; {config.steps} steps of 2.5 * radius / steps, free: "
            f"{config.free_steps} of {config.free_step_size:g}; mean and 95 % bootstrap interval "
            "over pairs; moved: the l2 norm of the change.",
        ],
        header=["network", "radius", *scores],
        rows=[
            [row["network"], _radius(row["radius"])]
            + [report.with_interval(row[score]) for score in scores]
            for row in rows
        ],
        figures=[(figure, "The distance that is left, by radius"), *shown],
    )
