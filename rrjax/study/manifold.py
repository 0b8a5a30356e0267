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
from scipy import stats

from rrjax import data, runs
from rrjax.core import attack, manifold, objectives, vmapped
from rrjax.core.manifold import Manifold
from rrjax.core.vmapped import in_parts
from rrjax.errors import BadInput
from rrjax.evaluate import metrics
from rrjax.runs import figures, report

POINTS = ("projection", "nearest", "sample")
SHOWN = 8  # images a grid shows; the numbers are over all of them


def run(config, workdir: str) -> None:
    """Attack every network and measure how far its examples are from config.manifold."""
    _check(config)
    networks = runs.load_networks(config)
    trained = next(iter(networks.values())).config
    learned = _manifold(trained, config)
    rng = np.random.default_rng(config.seed)
    images, labels = data.examples(trained, "test", config.n, rng)
    runs.make_folder(workdir)
    clean = _distances(learned, images, config)
    rows = [{"network": "none", "loss": "", "distance": clean}]
    grid = {"image": images, "its point": _points(learned, images, config)}
    for name, network in networks.items():
        for loss in config.losses:
            attacked = _attacked(network, images, labels, loss, config)
            row = _measured(network, learned, images, labels, attacked, loss, config)
            rows.append({"network": name, "loss": loss, **row})
        grid[f"{name}: gradient"] = _shown(_gradients(network, images, labels, loss, config))
        grid[f"{name}: attacked"] = attacked
        grid[f"{name}: its point"] = _points(learned, attacked, config)
    kept = [_kept(networks, row, images, config) for row in rows]
    summaries = [_summary(row, rows, k, config) for row, k in zip(rows, kept, strict=True)]
    grid = {label: stack[:SHOWN] for label, stack in grid.items()}
    pictures = [
        (_curves(workdir, rows, kept, config), "How far from the manifold: densities"),
        (figures.save_grid(workdir, "manifold", grid), "Gradients, large attacks, their points"),
    ]
    # Of all directions, where there are more latents than pixels.
    chance = min(1.0, learned.encode(jnp.asarray(images[0])).size / images[0].size)
    section = _section(config, summaries, pictures, chance)
    runs.publish(workdir, config, section, {"rows": summaries, "chance": chance})


def _check(config) -> None:
    unknown = set(config.losses) - {"cross_entropy", "margin"}
    if config.point not in POINTS or unknown or not config.losses:
        raise BadInput(
            f"point={config.point!r}, losses={config.losses}: choose one of {POINTS}, and from "
            "cross_entropy and margin"
        )
    counts = (config.steps, config.refine_steps, config.dimension, config.batch_size)
    if min(counts) < 1 or min(config.eps, config.step_size) <= 0 or config.n < 0:
        raise BadInput(
            f"steps={config.steps}, refine_steps={config.refine_steps}, "
            f"dimension={config.dimension}, batch_size={config.batch_size}, eps={config.eps}, "
            f"step_size={config.step_size}: they must be positive; n={config.n} may be 0 for all"
        )
    if config.where_standard_fails and not config.standard:
        raise BadInput("where_standard_fails needs a standard network: set --config.standard")


def _manifold(trained, config) -> Manifold:
    size, channels = trained.data.image_size, len(trained.model.mean)
    if config.manifold != "pca":
        own = runs.read_config(config.manifold)
        if (own.data.image_size, len(own.model.mean)) != (size, channels):
            raise BadInput(
                f"{config.manifold}: of {own.data.image_size} pixels and {len(own.model.mean)} "
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


def _points(learned: Manifold, images, config) -> np.ndarray:
    options = {"point": config.point, "steps": config.refine_steps, "seed": config.seed}
    project = partial(_project, learned, **options)
    return in_parts(project, config.batch_size, images, np.arange(len(images)))


def _distances(learned: Manifold, images, config) -> np.ndarray:
    return metrics.l2_distance(_points(learned, images, config), images)


def _attacked(network: runs.Frozen, images, labels, loss: str, config) -> np.ndarray:
    options = {"eps": config.eps, "step_size": config.step_size, "steps": config.steps}
    options |= {"norm": "l2", "loss": loss, "return_iterate": "last"}
    attacked = partial(attack.adversaries, network.apply, **options)
    return in_parts(attacked, config.batch_size, images, labels)


@partial(jax.jit, static_argnames="loss")
def _gradient(apply, images, labels, *, loss: str):
    objective = {"cross_entropy": objectives.cross_entropy, "margin": objectives.margin}[loss]
    return jax.vmap(lambda image, label: jax.grad(objective(apply, label))(image))(images, labels)


def _gradients(network: runs.Frozen, images, labels, loss: str, config) -> np.ndarray:
    gradient = partial(_gradient, network.apply, loss=loss)
    return in_parts(gradient, config.batch_size, images, labels)


@jax.jit
def _energies(learned, images, *directions):
    def one(image, *directions):
        basis = manifold.tangent(learned, image)
        return tuple(manifold.tangential_energy(d, basis) for d in directions)

    return jax.vmap(one)(images, *directions)


def _predictions(network: runs.Frozen, images, config) -> np.ndarray:
    logits, _ = vmapped.represent_images(network.apply, images, config.batch_size)
    return logits.argmax(-1)


def _measured(network, learned, images, labels, attacked, loss: str, config) -> dict:
    """Return what one attack on one network does, an array (n,) each."""
    gradients = _gradients(network, images, labels, loss, config)
    energy = partial(_energies, learned)
    along = in_parts(energy, config.batch_size, images, gradients, attacked - images)
    return {
        "distance": _distances(learned, attacked, config),
        "success": _predictions(network, attacked, config) != labels,
        "energy of the gradient": along[0],
        "energy of the attack": along[1],
        "attacked": attacked,
    }


def _kept(networks: dict, row: dict, images, config) -> np.ndarray:
    """Say of each image whether it counts in a row: (n,)."""
    if not config.where_standard_fails or not row["loss"]:
        return np.full(len(images), True)
    before, after = (
        _predictions(networks["standard"], stack, config) for stack in (images, row["attacked"])
    )
    kept = before != after
    if kept.sum() < 2:
        raise BadInput(
            f"the attack on {row['network']} moves the standard network's prediction of "
            f"{kept.sum()} images of {len(images)}: set --config.where_standard_fails=False"
        )
    return kept


def _summary(row: dict, rows: list[dict], kept: np.ndarray, config) -> dict:
    """Summarize a row over images, beside the clean ones and the first network's, in pairs."""
    clean = rows[0]["distance"]
    first = next(r for r in rows[1:] if r["loss"] == row["loss"]) if row["loss"] else row
    numbers = {
        "distance": row["distance"],
        "over the clean image's": row["distance"] / clean,
        "less than the first network's": first["distance"] - row["distance"],
    }
    for name in ("success", "energy of the gradient", "energy of the attack"):
        if name in row:
            numbers[name] = row[name]
    found = {"network": row["network"], "loss": row["loss"]}
    for name, values in numbers.items():
        # A gradient of zeros points nowhere.
        values = values[kept & np.isfinite(values)]
        found[name] = metrics.summarize(values, config.seed)
    return found | {"mode": _mode(_scaled(row["distance"][kept], clean))}


def _scaled(distance, clean) -> np.ndarray:
    """Scale distances as the paper's axis is: the clean images' lie from 0 to 1."""
    return (distance - clean.min()) / (clean.max() - clean.min())


AXIS = np.linspace(-0.2, 2.0, 221)


def _density(scaled) -> np.ndarray:
    return stats.gaussian_kde(scaled, 0.25)(AXIS)


def _mode(scaled) -> float:
    return float(AXIS[_density(scaled).argmax()])


def _curves(workdir: str, rows: list[dict], kept, config) -> str:
    clean = rows[0]["distance"]
    curves = {}
    for row, counts in zip(rows, kept, strict=True):
        if row["loss"] in ("", config.losses[0]):
            density = _density(_scaled(row["distance"][counts], clean))
            label = row["network"] if row["loss"] else "clean images"
            curves[label] = (AXIS, [{"mean": d, "low": d, "high": d} for d in density])
    return figures.save_curves(
        workdir,
        "manifold_distance",
        curves,
        xlabel="distance from the manifold; clean images from 0 to 1",
        ylabel="density",
        ylim=None,
    )


def _shown(gradients) -> np.ndarray:
    """Scale each gradient about mid-gray, to its largest entry."""
    size = np.abs(gradients).max(axis=(1, 2, 3), keepdims=True)
    return 0.5 + gradients / np.where(size > 0, 2 * size, 1)


def _section(config, rows: list[dict], pictures, chance: float) -> report.Section:
    scores = list(rows[1])[2:-1]
    point = {"projection": "its encoding decoded", "nearest": "the nearest found"}
    return report.Section(
        name="manifold",
        title="How far from the data's manifold?",
        text=[
            "Large attacks on each network, and their l2 distance from their point on the "
            f"manifold ({point.get(config.point, 'a sample of those it may stand for')}); paired "
            "with the clean image and with the same attack on the first network. Energy: the share "
            "of the squared norm that lies in the manifold's tangent at the clean image; by "
            f"chance {chance:.3f}.",
            f"{rows[0]['distance']['n']} test images; l2 attacks of {config.steps} steps of "
            f"{config.step_size:g} in a ball of {config.eps:g}; mean and 95 % bootstrap interval "
            "over images. Mode: of the density, on the axis on which clean images lie from 0 to 1, "
            "as in the paper's figures.",
        ],
        header=["network", "loss", *scores, "mode"],
        rows=[
            [row["network"], row["loss"]]
            + [report.with_interval(row[s]) if s in row else "" for s in scores]
            + [f"{row['mode']:.2f}"]
            for row in rows
        ],
        figures=pictures,
    )
