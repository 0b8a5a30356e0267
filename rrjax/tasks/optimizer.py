"""The optimiser of a training config: torch's SGD, and how its rate moves over the epochs."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import jax.numpy as jnp
import optax

from rrjax.errors import BadInput

SCHEDULES = ("step", "cosine", "linear", "cyclic")


def create(config, epochs: int, steps_per_epoch: int) -> optax.GradientTransformation:
    """Make torch's SGD: momentum on gradient + weight_decay * parameter, every parameter.

    config: `optimizer` of `configs/defaults.py`. Its rate is a function of the number of updates.

    Raises:
      BadInput: naming the field that is not possible.
    """
    if not config.learning_rate > 0:
        raise BadInput(f"optimizer.learning_rate={config.learning_rate}: it must be above 0")
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay),
        optax.sgd(_rate(config, epochs, steps_per_epoch), config.momentum),
    )


def interpolated(field: str, points: Sequence, steps_per_epoch: int) -> Callable:
    """Return step -> multiplier: straight lines through points (epoch, multiplier), level outside.

    The reference (MadryLab/robustness, train.py) reads the same lines once an epoch; here they are
    read at every step.

    Raises:
      BadInput: naming the field, unless the epochs rise and no multiplier is negative.
    """
    try:
        epochs, multipliers = zip(*((float(e), float(m)) for e, m in points), strict=True)
        rises = all(a < b for a, b in pairwise(epochs))
        possible = rises and all(m >= 0 for m in multipliers)
    except (TypeError, ValueError):
        possible = False
    if not possible:
        raise BadInput(
            f"{field}={points!r}: give points ((epoch, multiplier), ...) with rising epochs and no "
            "negative multiplier"
        )
    xs, ys = jnp.array(epochs), jnp.array(multipliers)
    return lambda step: jnp.interp(step / steps_per_epoch, xs, ys)


def _rate(config, epochs: int, steps_per_epoch: int) -> Callable:
    if config.schedule == "step":
        drops = {epoch * steps_per_epoch: config.gamma for epoch in config.drops}
        return optax.piecewise_constant_schedule(config.learning_rate, drops)
    if config.schedule == "cosine":
        return optax.cosine_decay_schedule(config.learning_rate, epochs * steps_per_epoch)
    if config.schedule not in SCHEDULES:
        raise BadInput(f"optimizer.schedule={config.schedule!r}: choose one of {SCHEDULES}")
    points = config.points if config.schedule == "linear" else _cycle(epochs)
    multiplier = interpolated("optimizer.points", points, steps_per_epoch)
    return lambda step: config.learning_rate * multiplier(step)


def _cycle(epochs: int) -> list[tuple[int, int]]:
    """Return the reference's cycle, from 0 up to 1 and down to 0; of 3 epochs or fewer, the end."""
    peak = 4 * epochs // 15
    return [(0, 0), (peak, 1), (epochs, 0)][peak == 0 :]
