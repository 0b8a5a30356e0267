"""What can be trained. A task is pure functions; it knows no folder, no loop, no device count."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from flax import struct
from jax import lax

from rrjax.data.augment import Batch


class TrainState(struct.PyTreeNode):
    """Everything a training step changes.

    params, batch_stats: what is evaluated, and what a reader of the run loads.
    carried: what else only more training needs, such as a perturbation; {} if nothing.
    fixed: what every step reads and none changes (`Task.fixed`); it is not saved.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    carried: Any = struct.field(default_factory=dict)
    fixed: Any = None


Metrics = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
EvalStep = Callable[[TrainState, Batch], Metrics]


class Task(NamedTuple):
    """The functions the loop drives; a batch here is one device's, the axis is called "batch".

    init: () -> TrainState.
    train_step: (state, batch) -> (state, metrics averaged over devices, "loss" among them).
    eval_step: (state, batch) -> sums over devices, "count" among them; masked rows count nothing.
    score: the name of the mean (sum / count) by which the best checkpoint is chosen.
    fixed: arrays for the steps, such as a frozen network's.
    networks: other runs' networks that it needs, (name, network): the run's folder keeps a copy.
    """

    init: Callable[[], TrainState]
    train_step: TrainStep
    eval_step: EvalStep
    score: str
    fixed: Any = None
    networks: Sequence[tuple[str, Any]] = ()


def device_key(key: jax.Array, step: jax.Array) -> jax.Array:
    """Return the key of one step on this device; only under the axis "batch"."""
    return jax.random.fold_in(jax.random.fold_in(key, step), lax.axis_index("batch"))
