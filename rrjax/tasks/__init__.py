"""What can be trained. A task is pure functions; it knows no folder, no loop, no device count."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import struct


class TrainState(struct.PyTreeNode):
    """Everything a training step changes.

    params, batch_stats: what is evaluated, and what a reader of the run loads.
    carried: what else only more training needs, such as a perturbation; {} if nothing.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    carried: Any = struct.field(default_factory=dict)


class Task(NamedTuple):
    """The functions the loop drives; a batch here is one device's, the axis is called "batch".

    init: () -> TrainState.
    train_step: (state, batch) -> (state, metrics averaged over devices, "loss" among them).
    eval_step: (state, batch) -> sums over devices, "count" among them; masked rows count nothing.
    score: the name of the mean (sum / count) by which the best checkpoint is chosen.
    """

    init: Callable
    train_step: Callable
    eval_step: Callable
    score: str
