"""Laws of the moving average: its formula; training goes on from what it averages, not from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax import BadInput
from rrjax.train.tasks import Task, TrainState
from rrjax.train.tasks.average import averaged


def init():
    return TrainState(jnp.array(0), {"w": jnp.array(1.0)}, {"m": jnp.array(0.0)}, {})


def train_step(state, batch):
    """Double the parameter, add one to the statistic and to what is carried along."""
    state = state.replace(
        step=state.step + 1,
        params={"w": 2 * state.params["w"]},
        batch_stats={"m": state.batch_stats["m"] + 1},
        carried=state.carried | {"seen": state.step + 1},
    )
    return state, {"loss": state.params["w"]}


TASK = Task(init, train_step, lambda state, batch: state.params, "loss")


def test_the_average_is_what_is_evaluated_and_training_does_not_depend_on_it():
    task = averaged(TASK, 0.3)
    state, w, m = task.init(), 1.0, 0.0
    for n in (1, 2, 3, 4):
        state, metrics = task.train_step(state, None)
        assert metrics["loss"] == 2.0**n  # as without an average
        d = min(0.3, (1 + n) / (10 + n))  # 2/11, 3/12, 0.3, 0.3
        w, m = d * w + (1 - d) * 2.0**n, d * m + (1 - d) * n
        np.testing.assert_allclose(state.params["w"], w, rtol=1e-6)
        np.testing.assert_allclose(state.batch_stats["m"], m, rtol=1e-6)
        assert task.eval_step(state, None) is state.params
        trained = {"params": {"w": 2.0**n}, "batch_stats": {"m": n}}
        assert state.carried == {"trained": trained, "seen": n}
        assert state.step == n


def test_a_state_with_an_average_can_be_donated():
    state = averaged(TASK, 0.5).init()
    state = state.replace(carried=state.carried | {"seen": jnp.array(0)})
    jax.jit(averaged(TASK, 0.5).train_step, donate_argnums=0)(state, None)


def test_no_decay_is_the_task_itself():
    assert averaged(TASK, 0.0) is TASK
    for decay in (-0.1, 1.0, float("nan")):
        with pytest.raises(BadInput, match=f"ema_decay={decay}"):
            averaged(TASK, decay)
