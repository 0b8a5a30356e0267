"""The adversaries of a training config: the one trained against, and the one of evaluation."""

from collections.abc import Callable
from functools import partial

import jax
from ml_collections import ConfigDict

from rrjax.core import attack, checks
from rrjax.train.tasks import optimizer

OPTIONS = ("norm", "step_size", "steps", "loss", "random_start", "restarts", "return_iterate")
Adversary = Callable[..., jax.Array]  # (apply, step, images, labels, keys) -> images
Radius = Callable[[jax.Array], jax.Array]  # step -> eps


def radius(config: ConfigDict, steps_per_epoch: int) -> Radius:
    """Return step -> eps of an `attack` config, by the multipliers of its `eps_schedule`.

    They move eps alone, not the step size, and in training only, as in the reference
    (MadryLab/robustness, `custom_eps_multiplier`).

    Raises:
      BadInput: naming the points, if they are none.
    """
    if not config.eps_schedule:
        return lambda step: config.eps  # noqa: ARG005  the same at every step
    points = optimizer.interpolated("attack.eps_schedule", config.eps_schedule, steps_per_epoch)
    return lambda step: config.eps * points(step)


def training_adversary(config: ConfigDict, eps: Radius) -> Adversary:
    """Make the adversary of an `attack` config, of radius `eps(step)`.

    Images are (N, H, W, C), float in [0,1], labels (N,), keys (N,); eps is in units of [0,1].
    """
    options = {name: config[name] for name in OPTIONS}

    def adversary(apply, step, images, labels, keys):
        attacked = partial(attack.adversary, apply, eps=eps(step), **options)
        return jax.vmap(attacked)(images, labels, keys)

    return adversary


def evaluation_adversary(config: ConfigDict, steps: int) -> Adversary:
    """Make the adversary of evaluation: the `attack` config's own, or for steps > 0 the protocol's.

    The protocol (`attack.protocol`) goes up the cross-entropy from the image itself and keeps the
    best iterate: the measure to take for networks that were trained by different attacks.
    """
    options = {"eps": config.eps} | {name: config[name] for name in OPTIONS}
    if steps:
        options = {"norm": config.norm} | attack.protocol(config.eps, steps)

    def adversary(apply, step, images, labels, keys):  # noqa: ARG001  the same at every step
        return jax.vmap(partial(attack.adversary, apply, **options))(images, labels, keys)

    return adversary


def check(config: ConfigDict) -> None:
    """Raise BadInput, naming the field, unless an `attack` config is possible."""
    # A random start without a step is no adversary either, to be trained or evaluated with.
    checks.check_steps(config.norm, "none", config.eps, config.step_size, config.steps)
    attack.check(**{name: config[name] for name in OPTIONS if name not in ("step_size", "steps")})
