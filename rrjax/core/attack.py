"""The adversary of training and evaluation: pgd on a loss of one image, started and restarted."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypedDict, Unpack

import jax
import jax.numpy as jnp
import optax

from rrjax import BadInput
from rrjax.core import checks, direction, objectives
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

NORMS = ("l2", "linf", "unconstrained")
BALLS = {"l2": (within_l2, l2_step), "linf": (within_linf, linf_step)}
LOSSES = {
    "cross_entropy": lambda apply, _image, label: objectives.cross_entropy(apply, label),
    "margin": lambda apply, _image, label: objectives.margin(apply, label),
    "kl": lambda apply, image, _label: objectives.divergence(apply, apply(image)[0]),
}


class StaticOptions(TypedDict, total=False):
    """The options of `adversary` that have a default; under jit they have to be static.

    norm: "l2", the default, "linf" or "unconstrained" (raw gradient steps in the cube [0,1], which
      do not use eps).
    loss: "cross_entropy", the default; "margin"; "kl", KL(prediction at `image` || at x), as in
      TRADES: it takes no label, and needs a random start, since its gradient at `image` is 0; or
      a function of your own, (logits (classes,), label) -> scalar, which the adversary makes large.
    random_start: "none", the default; "sphere" (l2, at distance eps in a random direction, as in
      the reference code); "uniform" (in the l2 or linf ball); "gaussian" (a standard deviation of
      0.001 a pixel, as in TRADES).
    restarts: how many random starts, 1 by default; the worst is returned: one that fools the
      network before one that does not, then the one of greater loss.
    targeted: whether `label` is the class to move to, which it is not by default.
    return_iterate: of each start the "best", the default, or the "last" iterate.
    """

    norm: str
    loss: str | Callable[[jax.Array, jax.Array], jax.Array]
    random_start: str
    restarts: int
    targeted: bool
    return_iterate: str


class Options(StaticOptions):
    """The options of `adversary`; these three must be given, and may be traced.

    eps: the radius of the ball, in units of [0,1] pixels.
    step_size: the length of a step in the same units.
    steps: the number of gradient steps.
    """

    eps: float | jax.Array
    step_size: float | jax.Array
    steps: int | jax.Array


DEFAULTS: StaticOptions = {
    "norm": "l2",
    "loss": "cross_entropy",
    "random_start": "none",
    "restarts": 1,
    "targeted": False,
    "return_iterate": "best",
}
STATIC = tuple(DEFAULTS)


def adversary(
    apply: objectives.Apply,
    image: jax.Array,
    label: jax.Array,
    key: jax.Array | None = None,
    **options: Unpack[Options],
) -> jax.Array:
    """Return the adversarial example of one image that PGD finds.

    Args:
      apply: image -> (logits, reps), in eval mode.
      image: (H, W, C), float in [0,1]; the center of the ball.
      label: the true class, or with `targeted` the class to move to.
      key: needed by a random start only.
      **options: those of `Options`; the ones without a default in `DEFAULTS` must be given.

    Returns:
      (H, W, C), in the ball and in [0,1].

    Raises:
      BadInput: for options that contradict each other, pixels outside [0,1], no such class.
      TypeError: for an option that there is not, and without eps, step_size, steps, or a key that
        a random start needs.
    """
    options = _checked(options)
    checks.check_pixels("the image", image)
    norm, eps, random_start = options["norm"], options["eps"], options["random_start"]
    loss_of, sign = _loss(options["loss"], apply, image, label), 1 if options["targeted"] else -1
    project, step = _geometry(norm, image, eps, options["step_size"])
    search = partial(
        pgd,
        lambda x: sign * loss_of(x),
        project=project,
        step=step,
        steps=options["steps"],
        return_iterate=options["return_iterate"],
    )
    if random_start == "none":
        return search(image).x
    checks.check_key(key)
    if key is None:
        raise TypeError(f"adversary: random_start={random_start!r} needs a key")

    def from_start(key: jax.Array) -> SearchResult:
        return search(_start(random_start, norm, key, image, eps))

    if options["restarts"] == 1:
        return from_start(key).x
    results = jax.vmap(from_start)(jax.random.split(key, options["restarts"]))
    return _worst(apply, results, label, options["targeted"])


def _loss(
    loss: str | Callable, apply: objectives.Apply, image: jax.Array, label: jax.Array
) -> objectives.Objective:
    if callable(loss):
        return lambda x: loss(apply(x)[0], label)
    return LOSSES[loss](apply, image, label)


def _worst(
    apply: objectives.Apply, results: SearchResult, label: jax.Array, targeted: bool
) -> jax.Array:
    """Return of the images of several searches the one that a network does worst on."""
    prediction = jax.vmap(lambda x: jnp.argmax(apply(x)[0]))(results.x)
    fooled = (prediction == label) if targeted else (prediction != label)
    worst = jnp.lexsort((results.value, ~fooled))[0]
    return results.x[worst]


def _checked(options: Options) -> Options:
    """Add the defaults to the options of an attack, and check them."""
    unknown = options.keys() - Options.__annotations__.keys()
    missing = Options.__required_keys__ - options.keys()
    if unknown or missing:
        raise TypeError(
            f"adversary: no such options: {sorted(unknown)}, missing: {sorted(missing)}"
        )
    options = {**DEFAULTS, **options}
    check(
        norm=options["norm"],
        loss=options["loss"],
        random_start=options["random_start"],
        restarts=options["restarts"],
        return_iterate=options["return_iterate"],
    )
    sizes = {name: options[name] for name in ("eps", "step_size", "steps")}
    checks.check_steps(options["norm"], options["random_start"], **sizes)
    return options


def projected_ascent_step(
    delta: jax.Array,
    gradient: jax.Array,
    *,
    norm: str,
    eps: float | jax.Array,
    step_size: float | jax.Array,
) -> jax.Array:
    """Step a perturbation of one image up the gradient, and back into the ball "l2" or "linf"."""
    within, step = BALLS[norm]
    downhill = step(step_size)
    update, _ = downhill.update(-gradient, downhill.init(delta))
    return within(delta + update, eps)


def adversaries(
    apply: objectives.Apply,
    images: jax.Array,
    labels: jax.Array,
    key: jax.Array | None = None,
    **options: Unpack[Options],
) -> jax.Array:
    """Return the adversarial examples of many images: `adversary(**options)` of each.

    Args:
      apply: one image -> (logits, reps), in eval mode.
      images: (N, H, W, C), float in [0,1].
      labels: (N,), whole numbers.
      key: needed by a random start only; each image draws its own. Or a key for each, (N,).
      **options: those of `Options`.

    Raises:
      BadInput: as `adversary`.
    """
    apply, options = checks.as_pytree(apply), _checked(options)
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    checks.check_batch(images, labels)
    checks.check_pixels("images", images)
    checks.check_key(key)
    logits, _ = jax.eval_shape(apply, jax.ShapeDtypeStruct(images.shape[1:], images.dtype))
    checks.check_vector("logits", logits)
    checks.check_index("label", labels, len(logits), "classes")
    keys = jax.random.split(key, len(images)) if key is not None and not key.ndim else key
    return _adversaries(apply, images, labels, keys, **options)


@partial(jax.jit, static_argnames=STATIC)
def _adversaries(apply, images, labels, keys, **options):
    def one(image, label, key):
        return adversary(apply, image, label, key, **options)

    return jax.vmap(one)(images, labels, keys)


def protocol(eps: float, steps: int) -> dict[str, Any]:
    """Return the options of the paper's evaluation: `steps` of 2.5 * eps / steps; eps 0 is clean.

    `eps` is in units of [0,1] pixels.

    Engstrom et al. (2019), Table 5, and the README of MadryLab/robustness.
    """
    return {"eps": eps, "step_size": 2.5 * eps / steps, "steps": steps if eps else 0}


def check(
    *,
    norm: str,
    loss: str | Callable,
    random_start: str,
    restarts: int,
    return_iterate: str,
) -> None:
    """Check an attack's options, which `StaticOptions` explains.

    Raises:
      BadInput: naming the option that is unknown or contradicts another one.
    """
    starts = {
        "l2": ("none", "sphere", "uniform", "gaussian"),
        "linf": ("none", "uniform", "gaussian"),
    }
    for name, value, choices in (
        ("norm", norm, NORMS),
        ("loss", "a function" if callable(loss) else loss, (*LOSSES, "a function")),
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


def _geometry(
    norm: str, center: jax.Array, eps: float | jax.Array, step_size: float | jax.Array
) -> tuple[Projection, optax.GradientTransformation]:
    if norm == "l2":
        return l2_ball(center, eps), l2_step(step_size)
    if norm == "linf":
        return linf_ball(center, eps), linf_step(step_size)
    return unit_cube, raw_step(step_size)


def _start(
    random_start: str, norm: str, key: jax.Array, image: jax.Array, eps: float | jax.Array
) -> jax.Array:
    if random_start == "gaussian":
        return image + 0.001 * jax.random.normal(key, image.shape, image.dtype)
    if norm == "linf":
        return image + eps * jax.random.uniform(key, image.shape, image.dtype, -1.0, 1.0)
    direction_key, radius_key = jax.random.split(key)
    towards = direction.unit(jax.random.normal(direction_key, image.shape, image.dtype))
    if random_start == "sphere":
        return image + eps * towards
    radius = jax.random.uniform(radius_key, (), image.dtype) ** (1.0 / image.size)
    return image + eps * radius * towards
