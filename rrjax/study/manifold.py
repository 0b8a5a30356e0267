"""Do attacks on a robust network stay near the data's manifold, and do its gradients run along it?

Kim et al. (2019), section 2.1: large adversarial examples of a standard network and of networks
trained against attacks of rising strength, and their l2 distance to what a VAE-GAN makes of them.
Not in the paper: the same images for all networks, in pairs; the share of a gradient's energy that
lies in the manifold's tangent, beside what a random direction has there.

python -m rrjax.study --config=configs/manifold.py --workdir=runs/quickstart
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import colormaps
from ml_collections import ConfigDict
from scipy import stats

from rrjax import BadInput, data, runs
from rrjax.core import attack, manifold, objectives, vmapped
from rrjax.core.devices import on_each
from rrjax.core.manifold import Manifold
from rrjax.core.vmapped import in_parts
from rrjax.evaluate import metrics
from rrjax.runs import figures
from rrjax.study.comparison import (
    Row,
    in_saved_parts,
    part_cache,
    require,
    section,
    summarized,
)

LOSSES = {"cross_entropy": objectives.cross_entropy, "margin": objectives.margin}
POINTS = ("projection", "nearest", "sample")
SHOWN = 8  # images a grid shows; the numbers are over all of them


COLUMNS = {
    "network": "network",
    "loss": "loss",
    "distance": "distance",
    "over_clean": "over the clean image's",
    "less_than_first": "less than the first network's",
    "success": "success",
    "gradient_energy": "energy of the gradient",
    "attack_energy": "energy of the attack",
    "mode": "mode",
}


def run(config: ConfigDict, workdir: str) -> None:
    """Attack every network and measure how far its examples are from config.manifold.

    Raises:
      BadInput: for networks or a manifold that cannot be loaded or are of other images, for values
        that are no attack, and where fewer than two images are left to count.
    """
    _check(config)
    networks = runs.load_networks(config)
    trained = next(iter(networks.values())).config
    learned = _manifold(trained, config)
    rng = np.random.default_rng(config.seed)
    images = data.open_split(trained, "test", config.n, rng)
    runs.make_folder(workdir)
    standard = networks["standard"] if config.where_standard_fails else None
    decisive = learned, standard and standard.variables
    stacks = np.arange(len(images)), images, images.labels
    cached = runs.disk_cache(workdir, config.study, config, decisive)
    clean = partial(_clean, learned, config)
    measured = in_saved_parts(cached, "clean images", clean, config.batch_size, *stacks)
    rows: list[Row] = [{"network": "none", "loss": "", **measured}]
    grid = {"image": images[:SHOWN], "its point": measured["point"]}
    for name, network in networks.items():
        cached = part_cache(workdir, config, name, network, decisive)
        for loss in config.losses:
            attacked = partial(_measured, network, learned, standard, loss, config)
            label = f"attacks on {name}, {loss}"
            measured = in_saved_parts(cached, label, attacked, config.batch_size, *stacks)
            rows.append({"network": name, "loss": loss, **measured})
        first = rows[-len(config.losses)]
        grid[f"{name}: gradient"] = _heat(first["gradient"], config.percentiles)
        grid[f"{name}: attacked"] = first["attacked"]
        grid[f"{name}: its point"] = first["point"]
    counted = [_counted(row, config) for row in rows]
    summaries = [_summary(row, rows, c, config) for row, c in zip(rows, counted, strict=True)]
    pictures = [
        (_curves(workdir, rows, counted, config), "How far from the manifold: densities"),
        (figures.save_grid(workdir, "manifold", grid), "Gradients, large attacks, their points"),
    ]
    # Of all directions, where there are more latents than pixels.
    (image,) = images[:1]
    chance = min(1.0, learned.encode(jnp.asarray(image)).size / image.size)
    text = _text(config, rows[0]["distance"], summaries[0]["distance"]["n"], chance)
    shown = [row | {"mode": f"{row['mode']:.2f}"} for row in summaries]
    part = section(config, "How far from the data's manifold?", text, shown, COLUMNS, pictures)
    runs.publish(workdir, config, part, {"rows": summaries, "chance": chance})


def _check(config) -> None:
    unknown = set(config.losses) - set(LOSSES)
    if config.point not in POINTS or unknown or not config.losses:
        raise BadInput(
            f"point={config.point!r}, losses={config.losses}: choose one of {POINTS}, and from "
            f"{' and '.join(LOSSES)}"
        )
    require(config, steps=1, refine_steps=1, dimension=1, batch_size=1, n=0)  # n of 0: all
    if not (config.eps > 0 and config.step_size > 0):
        raise BadInput(f"eps={config.eps}, step_size={config.step_size}: they must be positive")
    ends = tuple(config.percentiles)
    if len(ends) != 2 or not 0 <= ends[0] < ends[1] <= 100:
        raise BadInput(f"percentiles={config.percentiles}: give two from 0 to 100, rising")
    if config.where_standard_fails and not config.standard:
        raise BadInput("where_standard_fails needs a standard network: set --config.standard")


def _manifold(trained, config) -> Manifold:
    size, channels = trained.data.image_size, len(trained.model.mean)
    if config.manifold != "pca":
        other = runs.read_config(config.manifold)
        if (other.data.image_size, len(other.model.mean)) != (size, channels):
            raise BadInput(
                f"{config.manifold}: of {other.data.image_size} pixels and {len(other.model.mean)} "
                f"channels; the networks' images have {size} and {channels}"
            )
        return runs.load_manifold(config.manifold, config.checkpoint)
    images, _ = data.examples(trained, "train", 0, np.random.default_rng(config.seed))
    return manifold.principal(jnp.asarray(images), config.dimension)


@partial(jax.jit, static_argnames=("point", "steps", "seed"))
def _project(learned, images, index, *, point: str, steps: int, seed: int):
    def one(image, i):
        if point == "nearest":
            return manifold.refine(learned, image, steps=steps)
        if point == "sample":
            key = jax.random.fold_in(jax.random.key(seed), i)
            return manifold.sample(learned, image, key)
        return manifold.project(learned, image)

    return jax.vmap(one)(images, index)


def _points(learned: Manifold, images, index, config) -> np.ndarray:
    options = {"point": config.point, "steps": config.refine_steps, "seed": config.seed}
    project = partial(_project, learned, **options)
    return in_parts(project, config.batch_size, images, index)


def _attacked(network: runs.Frozen, images, labels, loss: str, config) -> np.ndarray:
    options = {"eps": config.eps, "step_size": config.step_size, "steps": config.steps}
    options |= {"norm": "l2", "loss": loss, "return_iterate": "last"}
    attacks = partial(attack.adversaries, network.apply, **options)
    return in_parts(attacks, config.batch_size, images, labels)


@partial(jax.jit, static_argnames="loss")
def _gradient(apply, images, labels, *, loss: str):
    def of_image(image, label):
        return jax.grad(LOSSES[loss](apply, label))(image)

    return jax.vmap(of_image)(images, labels)


def _gradients(network: runs.Frozen, images, labels, loss: str, config) -> np.ndarray:
    gradient = partial(_gradient, network.apply, loss=loss)
    return in_parts(gradient, config.batch_size, images, labels)


@jax.jit
def _energies(learned, images, *directions):
    def of_device(learned, *rows):
        def one(row):
            image, *directions = row
            basis = manifold.tangent(learned, image)
            return tuple(manifold.tangential_energy(d, basis) for d in directions)

        # One after the other: CPU devices that factorize many matrices at once wait for each
        # other's threads forever.
        return jax.lax.map(one, rows)

    return on_each(of_device, learned, images, *directions)


def _predictions(network: runs.Frozen, images, config) -> np.ndarray:
    logits, _ = vmapped.represent_images(network.apply, images, config.batch_size)
    return logits.argmax(-1)


def _clean(learned: Manifold, config, index, images, _labels) -> dict[str, np.ndarray]:
    """Return the distances of a part's images, (k,), and the points of the first SHOWN of all."""
    points = _points(learned, images, index, config)
    distance = np.asarray(metrics.l2_distance(points, images))
    return {"distance": distance, "point": points[index < SHOWN]}


def _measured(
    network: runs.Frozen,
    learned: Manifold,
    standard: runs.Frozen | None,
    loss: str,
    config,
    *part: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return what one attack on one network does to a part: index, images and labels, k rows each.

    standard: the network whose predictions the attack has to move, which is then told. Numbers are
    (k,); gradients, images and points those of the first SHOWN of all.
    """
    index, images, labels = part
    attacked = _attacked(network, images, labels, loss, config)
    gradients = _gradients(network, images, labels, loss, config)
    energies = in_parts(
        partial(_energies, learned), config.batch_size, images, gradients, attacked - images
    )
    points = _points(learned, attacked, index, config)
    measured = {
        "distance": np.asarray(metrics.l2_distance(points, attacked)),
        "success": _predictions(network, attacked, config) != labels,
        "gradient_energy": energies[0],
        "attack_energy": energies[1],
    }
    if standard:
        before, after = (_predictions(standard, stack, config) for stack in (images, attacked))
        measured["standard_moved"] = before != after
    shown = {"gradient": gradients, "attacked": attacked, "point": points}
    return measured | {name: stack[index < SHOWN] for name, stack in shown.items()}


def _counted(row: dict, config) -> np.ndarray:
    """Say of each image whether it counts in a row: (n,)."""
    if not config.where_standard_fails or not row["loss"]:
        return np.full(len(row["distance"]), True)
    counted = row["standard_moved"]
    if counted.sum() < 2:
        raise BadInput(
            f"the attack on {row['network']} moves the standard network's prediction of "
            f"{counted.sum()} images of {len(counted)}: set --config.where_standard_fails=False"
        )
    return counted


def _summary(row: dict, rows: list[dict], counted: np.ndarray, config) -> dict:
    """Summarize a row over images, beside the clean ones and the first network's, in pairs."""
    clean = rows[0]["distance"]
    first = next(r for r in rows[1:] if r["loss"] == row["loss"]) if row["loss"] else row
    scores = {
        "distance": row["distance"],
        "over_clean": row["distance"] / clean,
        "less_than_first": first["distance"] - row["distance"],
    }
    names = ("success", "gradient_energy", "attack_energy")
    scores |= {name: row[name] for name in names if name in row}
    if row is not first:
        scores["over_clean_less"] = scores["less_than_first"] / clean
        scores["gradient_energy_more"] = row["gradient_energy"] - first["gradient_energy"]
    # A gradient of zeros points nowhere.
    scores = {name: values[counted & np.isfinite(values)] for name, values in scores.items()}
    summaries = summarized(scores, config.seed)
    mode = _mode(_scaled(row["distance"][counted], clean))
    return {"network": row["network"], "loss": row["loss"], **summaries, "mode": mode}


def _scaled(distance, clean) -> np.ndarray:
    """Scale distances as the paper's axis is: the clean images' lie from 0 to 1."""
    return (distance - clean.min()) / (clean.max() - clean.min())


AXIS = np.linspace(-0.2, 2.0, 221)


def _density(values: np.ndarray, axis: np.ndarray) -> list[figures.Summary]:
    """Estimate the density of n values at each point of an axis, with a 95 % interval.

    A Gaussian at each value, of a quarter of their standard deviation, as the paper's. The density
    at a point is a mean over the values, and has the interval of a mean.
    """
    heights = stats.norm.pdf(axis[:, None], values, 0.25 * values.std(ddof=1))
    mean, reach = heights.mean(1), 1.96 * heights.std(1, ddof=1) / np.sqrt(len(values))
    return [
        {"mean": m, "low": max(m - r, 0.0), "high": m + r, "interval": "normal"}
        for m, r in zip(mean, reach, strict=True)
    ]


def _mode(scaled) -> float:
    return float(AXIS[np.argmax([point["mean"] for point in _density(scaled, AXIS)])])


def _curves(workdir: str, rows: list[dict], counted, config) -> str:
    clean = rows[0]["distance"]
    axis = clean.min() + AXIS * (clean.max() - clean.min())
    curves = {}
    for row, of_row in zip(rows, counted, strict=True):
        if row["loss"] in ("", config.losses[0]):
            label = row["network"] if row["loss"] else "clean images"
            curves[label] = (axis, _density(row["distance"][of_row], axis))
    return figures.save_curves(
        workdir,
        "manifold_distance",
        curves,
        xlabel="l2 distance from the manifold, pixels in [0,1]",
        ylabel="density of images, per unit of l2",
        ylim=None,
    )


def _heat(gradients, percentiles) -> np.ndarray:
    """Color gradients (N, H, W, C), as the paper's figures: (N, H, W, 3), float in [0,1].

    Red where a brighter pixel lessens the loss, blue where it adds to it. Channels are added with
    their signs, and what is beyond the percentiles of an image is cut off; where the lower one is
    above 0, what is below it becomes 0.
    """
    signed = -np.asarray(gradients).sum(-1)
    low, high = (np.percentile(signed, q, axis=(1, 2), keepdims=True) for q in percentiles)
    cut = np.where((low > 0) & (signed < low), 0, np.clip(signed, low, high))
    most = np.abs(cut).max(axis=(1, 2), keepdims=True)
    return colormaps["bwr"](0.5 + cut / np.where(most > 0, 2 * most, 1))[..., :3]


def _text(config, clean: np.ndarray, n: int, chance: float) -> list[str]:
    points = {"projection": "its encoding decoded", "nearest": "the nearest that a search reached"}
    point = points.get(config.point, "a sample of those it may stand for")
    return [
        "Large attacks on each network, and their l2 distance from their point on the manifold "
        f"({point}); paired with the clean image and with the same attack on the first network. "
        "Energy: the share of the squared norm that lies in the manifold's tangent at the clean "
        f"image; by chance {chance:.3f}.",
        f"{n} test images; l2 attacks of {config.steps} steps of {config.step_size:g} in a ball of "
        f"{config.eps:g}; mean and 95 % interval over images. Mode: of the density, on "
        f"the axis of the paper's figures, on which the clean images' distances, {clean.min():.2f} "
        f"to {clean.max():.2f}, lie from 0 to 1.",
    ]
