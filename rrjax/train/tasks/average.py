"""Evaluate and load an average of the parameters that training goes through."""

import jax
import jax.numpy as jnp

from rrjax import BadInput
from rrjax.train.tasks import Task, TrainState


def averaged(task: Task, decay: float) -> Task:
    """Make a task train as `task` does and keep an exponential moving average; 0: `task` itself.

    The state's params and batch_stats are then the averages: what is evaluated, saved for readers
    and loaded. What is trained is in `carried["trained"]`. After every step, number n from 1,
    average = d * average + (1 - d) * trained, with d = min(decay, (1 + n) / (10 + n)), which
    forgets the initial parameters (TensorFlow's ExponentialMovingAverage with num_updates).

    Raises:
      BadInput: unless 0 <= decay < 1.
    """
    if not 0 <= decay < 1:
        raise BadInput(f"ema_decay={decay}: it must be at least 0 and below 1")
    if decay == 0:
        return task

    def init() -> TrainState:
        state = task.init()
        # A copy: the loop donates the state, and no buffer can be donated twice.
        trained = jax.tree.map(jnp.copy, _variables(state))
        return state.replace(carried=state.carried | {"trained": trained})

    def train_step(state, batch):
        carried = dict(state.carried)
        inner = state.replace(**carried.pop("trained"), carried=carried)
        inner, metrics = task.train_step(inner, batch)
        n = inner.step
        d = jnp.minimum(decay, (1 + n) / (10 + n))
        trained = _variables(inner)
        # In this form the average of what does not move does not, whatever the rounding.
        average = jax.tree.map(
            lambda old, new: (old + (1 - d) * (new - old)).astype(old.dtype),
            _variables(state),
            trained,
        )
        return inner.replace(**average, carried=inner.carried | {"trained": trained}), metrics

    return task._replace(init=init, train_step=train_step)


def _variables(state: TrainState) -> dict:
    return {"params": state.params, "batch_stats": state.batch_stats}
