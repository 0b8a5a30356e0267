"""The adversary of training and evaluation: pgd on a loss of one image, started and restarted."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from rrjax.core import objectives
from rrjax.core.pgd import (
    Projection,
    SearchResult,
    l2_ball,
    l2_step,
    linf_ball,
    linf_step,
    pgd,
    raw_step,
    unit_cube,
    within_l2,
    within_linf,
)
from rrjax.errors import BadInput

NORMS = ("l2", "linf", "unconstrained")
BALLS = {"l2": (within_l2, l2_step), "linf": (within_linf, linf_step)}
LOSSES = {
    "cross_entropy": lambda apply, image, label: objectives.cross_entropy(apply, label),
    "margin": lambda apply, image, label: objectives.margin(apply, label),
    "kl": lambda apply, image, label: objectives.divergence(apply, apply(image)[0]),
}


def adversary(
    apply: objectives.Apply,
    image: jax.Array,
    label: jax.Array,
    key: jax.Array | None = None,
    *,
    norm: str = "l2",
    eps: float,
    step_size: float,
    steps: int,
    loss: str = "cross_entropy",
    random_start: str = "none",
    restarts: int = 1,
    targeted: bool = False,
    return_iterate: str = "best",
) -> jax.Array:
    """Return the adversarial example of one image that PGD finds.

    Args:
      apply: image -> (logits, reps), in eval mode.
      image: (H, W, C), float in [0,1]; the center of the ball.
      label: the true class, or with `targeted` the class to move to.
      key: needed by a random start only.
      norm: "l2", "linf" or "unconstrained" (raw gradient steps in the cube [0,1]; no eps).
      eps, step_size: in units of [0,1] pixels; they may be traced.
      loss: "cross_entropy"; "margin"; "kl", KL(prediction at `image` || at x), as in TRADES: it
        takes no label, and needs a random start, since its gradient at `image` is 0.
      random_start: "none"; "sphere" (l2, at distance eps in a random direction, as in the
        reference code); "uniform" (in the l2 or linf ball); "gaussian" (a standard deviation of
        0.001 a pixel, as in TRADES).
      restarts: keep the worst of that many random starts: one that fools the network before one
        that does not, then the one of greater loss.
      return_iterate: "best" or "last" iterate of each start.

    Returns:
      (H, W, C), in the ball and in [0,1].

    Raises:
      BadInput: if the options contradict each other (see `check`).
    """
    check(
        norm=norm,
        loss=loss,
        random_start=random_start,
        restarts=restarts,
        return_iterate=return_iterate,
    )
    loss_of = LOSSES[loss](apply, image, label)
    sign = 1.0 if targeted else -1.0
    project, step = _geometry(norm, image, eps, step_size)

    def from_start(key) -> SearchResult:
        start = image if random_start == "none" else _start(random_start, norm, key, image, eps)
        objective = lambda x: sign * loss_of(x)  # noqa: E731
        return pgd(
            objective, start, project=project, step=step, steps=steps, return_iterate=return_iterate
        )

    if restarts == 1:
        return from_start(key).x

    found = jax.vmap(from_start)(jax.random.split(key, restarts))
    prediction = jax.vmap(lambda x: jnp.argmax(apply(x)[0]))(found.x)
    fooled = (prediction == label) if targeted else (prediction != label)
    worst = jnp.lexsort((found.value, ~fooled))[0]
    return found.x[worst]


def projected_ascent_step(
    delta: jax.Array, gradient: jax.Array, *, norm: str, eps: float, step_size: float
) -> jax.Array:
    """Step a perturbation of one image up the gradient, and back into the ball "l2" or "linf"."""
    within, step = BALLS[norm]
    downhill = step(step_size)
    moved, _ = downhill.update(-gradient, downhill.init(delta))
    return within(delta + moved, eps)


STATIC = ("norm", "loss", "random_start", "restarts", "targeted", "return_iterate")


@partial(jax.jit, static_argnames=STATIC)
def adversaries(
    apply: objectives.Apply, images: jax.Array, labels: jax.Array, **options
) -> jax.Array:
    """Return the adversarial examples of many images (N, H, W, C): `adversary(**options)` of each.

    Without a key: no random start.
    """
    return jax.vmap(partial(adversary, apply, **options))(images, labels)


def protocol(eps: float, steps: int) -> dict[str, float]:
    """Return the options of the paper's evaluation: `steps` of 2.5 * eps / steps; eps 0 is clean.

    Engstrom et al. (2019), Table 5, and the README of MadryLab/robustness.
    """
    return {"eps": eps, "step_size": 2.5 * eps / steps, "steps": steps if eps else 0}


def check(*, norm: str, loss: str, random_start: str, restarts: int, return_iterate: str) -> None:
    """Raise BadInput, naming the option, if an attack's options are unknown or contradictory."""
    starts = {
        "l2": ("none", "sphere", "uniform", "gaussian"),
        "linf": ("none", "uniform", "gaussian"),
    }
    for name, value, choices in (
        ("norm", norm, NORMS),
        ("loss", loss, tuple(LOSSES)),
        ("random_start", random_start, starts.get(norm, ("none",))),
        ("return_iterate", return_iterate, ("best", "last")),
    ):
        if value not in choices:
            raise BadInput(f"attack.{name}={value!r} (norm {norm!r}): choose one of {choices}")
    if loss == "kl" and random_start == "none":
        raise BadInput(
            "attack.loss='kl' has no gradient at the image itself: set attack.random_start"
        )
    if restarts < 1 or (restarts > 1 and random_start == "none"):
        raise BadInput(
            f"attack.restarts={restarts}: restarts must be >= 1, and more than one needs "
            "attack.random_start, else they are all the same"
        )


def _geometry(norm: str, center: jax.Array, eps, step_size) -> tuple[Projection, Callable]:
    if norm == "l2":
        return l2_ball(center, eps), l2_step(step_size)
    if norm == "linf":
        return linf_ball(center, eps), linf_step(step_size)
    return unit_cube, raw_step(step_size)


def _start(random_start: str, norm: str, key: jax.Array, image: jax.Array, eps) -> jax.Array:
    if random_start == "gaussian":
        return image + 0.001 * jax.random.normal(key, image.shape, image.dtype)
    if norm == "linf":
        return image + eps * jax.random.uniform(key, image.shape, image.dtype, -1.0, 1.0)
    direction_key, radius_key = jax.random.split(key)
    direction = jax.random.normal(direction_key, image.shape, image.dtype)
    direction = direction / (jnp.linalg.norm(direction) + 1e-10)
    if random_start == "sphere":
        return image + eps * direction
    radius = jax.random.uniform(radius_key, (), image.dtype) ** (1.0 / image.size)
    return image + eps * radius * direction
