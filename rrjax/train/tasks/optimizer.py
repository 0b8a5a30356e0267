"""The optimizer of a training config, torch's SGD or Adam, and how its rate moves over epochs."""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from rrjax import BadInput
from rrjax.train.tasks import TrainState

OPTIMIZERS = {"sgd": optax.sgd, "adam": optax.adam}
SCHEDULES = ("step", "cosine", "linear", "cyclic")


def create(config: ConfigDict, epochs: int, steps_per_epoch: int) -> optax.GradientTransformation:
    """Make torch's SGD or Adam, of gradient + weight_decay * parameter, every trained parameter.

    Adam's b1 is the config's `momentum`; b2 is 0.999 and eps 1e-8, as in Kingma and Ba (2015).

    Args:
      config: `optimizer` of `rrjax/runs/defaults.py`.
      epochs: of the run.
      steps_per_epoch: updates an epoch; the rate is a function of their number.

    Raises:
      BadInput: naming the field that is not possible.
    """
    if not config.learning_rate > 0:
        raise BadInput(f"optimizer.learning_rate={config.learning_rate}: it must be above 0")
    if not (0 <= config.momentum < 1 and config.weight_decay >= 0):
        raise BadInput(
            f"optimizer.momentum={config.momentum}, weight_decay={config.weight_decay}: give a "
            "momentum of 0 to below 1, and a decay of at least 0"
        )
    if config.name not in OPTIMIZERS:
        raise BadInput(f"optimizer.name={config.name!r}: choose one of {tuple(OPTIMIZERS)}")
    _check_pattern(config.train_only)
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay),
        optax.stateless(lambda updates, _: trained(config.train_only, updates)),
        OPTIMIZERS[config.name](rate(config, epochs, steps_per_epoch), config.momentum),
    )


def apply_gradients(
    state: TrainState, tx: optax.GradientTransformation, grads: Any, batch_stats: Any
) -> TrainState:
    """Take one optimizer step on gradients that are averaged; the state's `step` stays.

    BN statistics of layers that are not trained move on too, as in the reference's partial
    training.
    """
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return state.replace(params=params, batch_stats=batch_stats, opt_state=opt_state)


def trained(pattern: str, tree: Any) -> Any:
    """Zero what no training reaches: the leaves in whose path ("fc/kernel") the pattern is not.

    The pattern is a regular expression; "" is in every path. XLA computes no gradient that ends
    here.

    Raises:
      BadInput: if it is in no path.
    """
    paths = flatten_dict(tree, sep="/")
    chosen = {path for path in paths if re.search(pattern, path)}
    if not chosen:
        raise BadInput(
            f"optimizer.train_only={pattern!r} names no parameter: they are {', '.join(paths)}"
        )
    kept = {path: x if path in chosen else jnp.zeros_like(x) for path, x in paths.items()}
    return unflatten_dict(kept, sep="/")


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


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise BadInput(
            f"optimizer.train_only={pattern!r} is no regular expression ({error})"
        ) from error


def rate(config: ConfigDict, epochs: int, steps_per_epoch: int) -> Callable:
    """Return step -> learning rate, of the schedule that `optimizer` of a config names.

    Raises:
      BadInput: naming the field that is not possible.
    """
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
