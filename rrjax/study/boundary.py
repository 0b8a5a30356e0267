"""Does adversarial training turn gradients along the data?

Kim et al. (2019), section 2.2: two narrow classes in the plane. A standard network's boundary is
tilted towards the data, its gradients point away from them; adversarial training turns both. The
paper shows three pictures. Not in the paper: numbers for them, the share of the loss gradient's
energy along the data, and where an attack carries the points.

python -m rrjax.study --config=configs/boundary.py --workdir=runs/boundary
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from rrjax import BadInput, runs
from rrjax.core import attack, direction, losses, manifold, objectives
from rrjax.runs import figures, report
from rrjax.study.comparison import publish, require

_dense = partial(nn.Dense, kernel_init=nn.initializers.glorot_uniform())
NETWORK = nn.Sequential([_dense(128), nn.relu, _dense(2)])
MEAN, COVARIANCE = (1.2, 0.1), ((0.1, -0.01), (-0.01, 0.002))  # of one class; the other's mean: -
UNIT = 2.0  # the paper's points lie in [-1,1], these as pixels in [0,1]

COLUMNS = {
    "train_eps": "trained with eps",
    "accuracy": "accuracy",
    "angle_to_data": "angle to the data",
    "angle_to_means": "angle to the means",
    "distance_from_data": "distance from the data",
    "energy_along_data": "energy along the data",
}


def run(config: ConfigDict, workdir: str) -> None:
    """Train a network for every radius and seed, attack it, and draw the first seed's.

    Raises:
      BadInput: for counts below 1, without seeds or radii, and for a radius below 0.
    """
    require(config, n=1, epochs=1, batch_size=1, steps=1)
    if not config.seeds or not config.train_eps or min(config.train_eps) < 0:
        raise BadInput(
            f"seeds={config.seeds}, train_eps={config.train_eps}: give at least one seed and at "
            "least one radius, none below 0"
        )
    runs.make_folder(workdir)
    points, labels = _points(config)
    keys = jnp.stack([jax.random.key(seed) for seed in config.seeds])
    rows, panels = [], {}
    for eps in config.train_eps:
        params = jax.jit(jax.vmap(partial(_train, config, points, labels, eps)))(keys)
        numbers, attacked = jax.jit(jax.vmap(partial(_measure, config, points, labels)))(params)
        values = {name: np.asarray(each) for name, each in numbers.items()}
        spreads = {name: report.spread(each) for name, each in values.items()}
        rows.append({"train_eps": eps, **spreads, "values": values})
        first = jax.tree.map(lambda x: x[0], params)
        panels["standard" if eps == 0 else f"eps {eps:g}"] = (first, np.asarray(attacked[0]))
    picture = _picture(workdir, points, labels, panels)
    title = "Where gradients point"
    publish(workdir, config, title, _text(config), rows, COLUMNS, [picture], digits=3)


def _points(config) -> tuple[np.ndarray, np.ndarray]:
    """Draw both classes, scaled together to [0,1], in one random order."""
    rng = np.random.default_rng(config.seed)
    means = (np.array(MEAN), -np.array(MEAN))
    points = np.concatenate([rng.multivariate_normal(m, COVARIANCE, config.n) for m in means])
    points = (points - points.min()) / (points.max() - points.min())
    order = rng.permutation(len(points))
    return points[order].astype(np.float32), (order >= config.n).astype(np.int32)


def _network(params):
    """Make `apply` of one point in [0,1]; the network takes the paper's [-1,1]."""
    return lambda point: (NETWORK.apply({"params": params}, UNIT * point - 1), {})


def _attacked(config, apply, points, labels, eps):
    options = {"eps": eps / UNIT, "step_size": config.step_size / UNIT, "steps": config.steps}
    adversary = partial(attack.adversary, apply, norm="l2", return_iterate="last", **options)
    return jax.vmap(adversary)(points, labels)


def _train(config, points, labels, eps, key):
    """Train on adversarial points alone, always in the same order, as the paper does."""
    adam = optax.adam(config.learning_rate)
    params = NETWORK.init(key, points[0])["params"]
    batches = [
        stack[: len(stack) // config.batch_size * config.batch_size].reshape(
            -1, config.batch_size, *stack.shape[1:]
        )
        for stack in (points, labels)
    ]

    def advance(carry, batch):
        params, state = carry
        attacked = _attacked(config, _network(params), *batch, eps)

        def loss(params):
            logits, _ = jax.vmap(_network(params))(attacked)
            return losses.cross_entropy(logits, batch[1]).mean()

        updates, state = adam.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    def epoch(carry, _):
        return jax.lax.scan(advance, carry, tuple(map(jnp.asarray, batches)))[0], None

    (params, _), _ = jax.lax.scan(epoch, (params, adam.init(params)), length=config.epochs)
    return params


def _directions(points, labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the classes' centers (2, 2) and the unit vectors along and across the data.

    Along: the principal axis of the covariance within the classes.
    """
    centers = np.stack([points[labels == k].mean(0) for k in (0, 1)])
    _, axes = np.linalg.eigh(np.cov((points - centers[labels]).T))
    return centers, axes[:, 1], axes[:, 0]


def _measure(config, points, labels, params):
    """Return the numbers of one network, and where the attack carries the points."""
    centers, along, across = _directions(points, labels)
    apply = _network(params)
    logits, _ = jax.vmap(apply)(points)

    def gradient(point, label):
        return jax.grad(objectives.cross_entropy(apply, label))(point)

    gradients = jax.vmap(gradient)(points, labels)
    energy = partial(manifold.tangential_energy, basis=jnp.asarray(along)[:, None])
    share = jax.vmap(energy)(gradients)
    attacked = _attacked(config, apply, points, labels, config.attack_eps)
    step = (attacked - points)[labels == 1].mean(0)
    off = jnp.abs((attacked[:, None] - centers[None]) @ across).min(1)
    numbers = {
        "accuracy": (logits.argmax(-1) == labels).mean(),
        "energy_along_data": jnp.nanmean(share),
        "angle_to_data": _angle(step, along),
        "angle_to_means": _angle(step, centers[1] - centers[0]),
        "distance_from_data": UNIT * off.mean(),
    }
    return numbers, attacked


def _angle(one, other):
    """Return the angle between two lines, in degrees."""
    cosine = jnp.abs(direction.cosine(one, other))
    return jnp.degrees(jnp.arccos(jnp.minimum(cosine, 1)))


def _picture(workdir: str, points, labels, panels: dict) -> tuple[str, str]:
    drawn = {}
    for name, (params, attacked) in panels.items():
        apply = _network(params)
        margin = jax.jit(jax.vmap(lambda point, f=apply: jnp.diff(f((point + 1) / UNIT)[0])[0]))
        drawn[name] = (margin, UNIT * attacked[labels == 1] - 1)
    file = figures.save_planes(workdir, "boundary", UNIT * points - 1, labels, drawn)
    return file, "The boundary, both classes, and where the attack carries class 1: by the arrow"


def _text(config) -> list[str]:
    return [
        "Two narrow classes in the plane. A standard network separates them by a tilted boundary, "
        "and its gradients point away from the data; adversarial training turns both.",
        f"{config.n} points a class; an attack of l2 radius {config.attack_eps:g}, points in "
        f"[-1,1]; median [least, greatest] of {len(config.seeds)} networks. Energy along the data: "
        "the share of the loss gradient's square that lies along the classes' principal axis, the "
        "mean over points. Angles, in degrees: between the mean step of the second class and that "
        "axis, or the line through the classes' means. Distance: of attacked points from the "
        "nearer class's axis.",
    ]
