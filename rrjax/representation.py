"""Gradient steps on an input towards a representation: pgd + objective, one image each."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from rrjax import objectives
from rrjax.batches import in_parts
from rrjax.errors import BadInput
from rrjax.pgd import Found, better, l2_ball, l2_step, pgd


def invert(
    apply: objectives.Apply,
    start: jax.Array,
    target: jax.Array,
    *,
    eps: float = 1000.0,
    step_size: float = 1.0,
    steps: int = 10_000,
    keep: str = "best",
    begin: jax.Array | None = None,
) -> Found:
    """Find an image near `start` whose representation is `target`.

    Engstrom et al. (2019), section 3.1 and appendix A.6 (the defaults): normalised l2 gradient
    steps on the normalised representation distance.

    Args:
      apply: image -> (logits, reps). With the straight-through last ReLU, the paper's
        (`Frozen.straight_through`), a coordinate that is zero has a gradient too.
      start: (H, W, C), float in [0,1]; the centre of the ball.
      target: the representation to reach, as `reps["representation"]`.
      eps: l2 radius in units of [0,1] pixels; 1000 never binds at 224 pixels.
      keep: "best", or "last" as in the paper's notebook.
      begin: the image to begin with, if it is not `start`.

    Returns:
      `Found`: the image x (H, W, C); as value its normalised representation distance.

    >>> import rrjax
    >>> from rrjax.data import outside
    >>> network = rrjax.load("cifar10_robust_l2_eps05")
    >>> start, goal = outside.photographs(2, 32, 3, seed=0)
    >>> target = network(goal[None])[1]["representation"][0]
    >>> found = rrjax.invert(network.apply, start, target, step_size=0.1, steps=100)
    >>> found.x.shape, bool(found.value < 0.4)  # 0.87 at the start
    ((32, 32, 3), True)
    """
    return pgd(
        objectives.match(apply, target),
        start if begin is None else begin,
        project=l2_ball(start, eps),
        step=l2_step(step_size),
        steps=steps,
        keep=keep,
    )


@partial(jax.jit, static_argnames="keep")
def invert_images(
    apply: objectives.Apply,
    descend: objectives.Apply,
    starts: jax.Array,
    targets: jax.Array,
    begins: jax.Array | None = None,
    **options,
) -> Found:
    """Invert the representations that images `targets` have under `apply`, all at once.

    `starts` and `targets` are (N, H, W, C), float in [0,1]. `descend` is the network whose
    gradients are followed: `apply` again, or its straight-through twin, a `Frozen` network has
    both. `begins` and the options are `invert`'s. Returns `Found` with x (N, H, W, C) and value
    (N,).
    """

    def one(start, target, begin):
        _, reps = apply(target)
        return invert(descend, start, reps["representation"], begin=begin, **options)

    return jax.vmap(one)(starts, targets, starts if begins is None else begins)


def invert_in_chunks(
    apply: objectives.Apply,
    descend: objectives.Apply,
    starts: jax.Array,
    targets: jax.Array,
    *,
    steps: int,
    chunk: int,
    each: Callable = iter,
    keep: str = "best",
    **options,
) -> Found:
    """Do as `invert_images`, `chunk` steps at a time.

    `each` wraps the chunks, as a progress bar does.
    """
    search = partial(invert_images, apply, descend, starts, targets, keep=keep, **options)
    found = search(starts, steps=0)
    for done in each(range(0, steps, chunk)):
        further = search(found.last, steps=min(chunk, steps - done))
        x, value = further[:2] if keep == "last" else _better(found[:2], further[:2])
        found = Found(x, value, found.steps + further.steps, further.last)
    return found


_better = jax.jit(jax.vmap(better))


def interpolate(
    apply: objectives.Apply,
    left: jax.Array,
    right: jax.Array,
    weight: jax.Array,
    *,
    eps: float = 1000.0,
    step_size: float = 1.0,
    steps: int = 10_000,
) -> Found:
    """Find an image whose representation lies between those of two images.

    Engstrom et al. (2019), section 3.2 and appendix A.6 (the defaults): the inversion of
    (1 - weight) R(left) + weight R(right), from the same mixture of the pixels.

    Args:
      apply: image -> (logits, reps).
      left, right: (H, W, C), float in [0,1].
      weight: 0 is left, 1 is right.

    Returns:
      `Found`: the image x (H, W, C); as value its normalised representation distance.

    >>> import jax, jax.numpy as jnp, rrjax
    >>> from rrjax.data import outside
    >>> network = rrjax.load("cifar10_robust_l2_eps05")
    >>> left, right = outside.photographs(2, 32, 3, seed=0)
    >>> between = lambda weight: rrjax.interpolate(
    ...     network.apply, left, right, weight, step_size=0.1, steps=10
    ... )
    >>> jax.vmap(between)(jnp.linspace(0, 1, 5)).x.shape
    (5, 32, 32, 3)
    """
    (_, first), (_, second) = apply(left), apply(right)
    target = _mixed(first["representation"], second["representation"], weight)
    start = _mixed(left, right, weight)
    return invert(apply, start, target, eps=eps, step_size=step_size, steps=steps)


def _mixed(left: jax.Array, right: jax.Array, weight: jax.Array) -> jax.Array:
    return (1 - weight) * left + weight * right


def visualize(
    apply: objectives.Apply,
    start: jax.Array,
    unit: jax.Array,
    *,
    eps: float = 1000.0,
    step_size: float = 1.0,
    steps: int = 200,
    keep: str = "last",
) -> Found:
    """Grow one coordinate of the representation, from an image or from noise.

    Engstrom et al. (2019), section 4.1 and appendix A.6 (the defaults).

    Args:
      apply: image -> (logits, reps); with the straight-through last ReLU a unit that is zero
        grows too.
      start: (H, W, C), float in [0,1]; the centre of the ball.
      unit: which coordinate.

    Returns:
      `Found`: the image x (H, W, C); as value -R(x)[unit].

    >>> import rrjax
    >>> from rrjax.data import outside
    >>> network = rrjax.load("cifar10_robust_l2_eps05")
    >>> (image,) = outside.photographs(1, 32, 3, seed=0)
    >>> found = rrjax.visualize(network.apply, image, 7, step_size=0.1, steps=30)
    >>> before = network(image[None])[1]["representation"][0, 7]
    >>> bool(-found.value > 2 * before)
    True
    """
    return pgd(
        objectives.activate(apply, unit),
        start,
        project=l2_ball(start, eps),
        step=l2_step(step_size),
        steps=steps,
        keep=keep,
    )


STOPS = ("largest", "threshold")


def manipulate(
    apply: objectives.Apply,
    image: jax.Array,
    unit: jax.Array,
    *,
    stop: str = "largest",
    threshold: float = 1.0,
    eps: float = 1000.0,
    step_size: float = 0.1,
    steps: int = 800,
) -> Found:
    """Add a feature to an image: grow one coordinate of its representation until it is enough.

    Engstrom et al. (2019), section 4.2.

    Args:
      apply: image -> (logits, reps).
      image: (H, W, C), float in [0,1]; the centre of the ball.
      unit: which coordinate.
      stop: "largest", the paper's: it exceeds all others; "threshold", its code's: it reaches
        `threshold`.

    Returns:
      `Found`: the image x (H, W, C); as value -R(x)[unit]; steps, fewer than were allowed where it
      stopped.

    Raises:
      BadInput: for another `stop`.

    >>> import rrjax
    >>> from rrjax.data import outside
    >>> network = rrjax.load("cifar10_robust_l2_eps05")
    >>> (image,) = outside.photographs(1, 32, 3, seed=0)
    >>> found = rrjax.manipulate(network.apply, image, 7)
    >>> int(network(found.x[None])[1]["representation"].argmax())  # it exceeds all others
    7
    >>> bool(found.steps < 800)
    True
    """
    if stop not in STOPS:
        raise BadInput(f"stop={stop!r}: choose one of {STOPS}")

    def enough(x):
        _, reps = apply(x)
        grown = reps["representation"]
        if stop == "threshold":
            return grown[unit] >= threshold
        others = jnp.where(jnp.arange(len(grown)) == unit, -jnp.inf, grown)
        return grown[unit] > others.max()

    return pgd(
        objectives.activate(apply, unit),
        image,
        project=l2_ball(image, eps),
        step=l2_step(step_size),
        steps=steps,
        keep="last",
        stop=enough,
    )


def of_features(encode: Callable[[jax.Array], Any]) -> objectives.Apply:
    """Make features, a pytree of arrays, the representation that the searches here are after.

    encode: image -> features, a pytree, as an autoencoder's. Returns apply with no logits.
    """
    return jax.tree_util.Partial(_features, encode)


def _features(encode, image):
    return None, {"representation": ravel_pytree(encode(image))[0]}


@jax.jit
def represent(apply: objectives.Apply, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the logits (N, classes) and the representations (N, D) of images (N, H, W, C)."""

    def one(image):
        logits, reps = apply(image)
        return logits, reps["representation"]

    return jax.vmap(one)(images)


def represent_images(
    apply: objectives.Apply, images: np.ndarray, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Do as `represent`, `batch_size` images at a time."""
    return in_parts(partial(represent, apply), batch_size, images)


def to_nearest(
    apply: objectives.Apply, images: np.ndarray, gallery: np.ndarray, batch_size: int
) -> np.ndarray:
    """Return the least normalised representation distance of each image to a gallery's: (N,)."""
    _, ours = represent_images(apply, images, batch_size)
    _, theirs = represent_images(apply, gallery, batch_size)
    distances = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    return (distances / np.linalg.norm(theirs, axis=-1)[None]).min(1)


@partial(jax.jit, static_argnames="keep")
def visualize_images(
    apply: objectives.Apply, starts: jax.Array, units: jax.Array, **options
) -> jax.Array:
    """Grow a unit (N,) in each of many starts (N, H, W, C); options are those of `visualize`."""
    return jax.vmap(partial(visualize, apply, **options))(starts, units).x


def alive_units(representations: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Choose `n` different coordinates that are not the same for all of the images, (N, D).

    Raises:
      BadInput: if there are fewer.
    """
    alive = np.flatnonzero(np.ptp(np.asarray(representations), axis=0) > 0)
    if n > len(alive):
        raise BadInput(f"{n} units are asked for, of {len(alive)} that tell images apart: fewer")
    return rng.choice(alive, n, replace=False)


def noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draw the paper's starts: a standard normal / 20 about mid-grey, float32 clipped to [0,1]."""
    return np.clip(0.5 + rng.standard_normal(shape) / 20, 0, 1).astype(np.float32)
