"""Laws of micro-batches: the whole batch's step; BN statistics one after another."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax.configs import robust_digits
from rrjax.train.tasks import classifier
from rrjax.train.tasks.micro_batches import accumulated


@pytest.mark.slow
def test_micro_batches_take_the_whole_batchs_step(float64):
    c = robust_digits.get_config()
    c.model.update(name="tiny", width=64, dtype="float64", param_dtype="float64")
    c.attack.steps, c.data.image_size = 2, 8
    rng = np.random.default_rng(0)
    batch = {"image": rng.integers(0, 256, (1, 12, 8, 8, 1), np.uint8)}
    batch["label"] = rng.integers(0, 10, (1, 12))
    states = []
    for n in (1, 4):
        c.micro_batches = n
        task = classifier.create(c, 10)
        step = jax.vmap(task.train_step, in_axes=(None, 0), axis_name="batch")
        states.append(jax.jit(step)(task.init(), batch))
    close = partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)
    jax.tree.map(close, *states)


def test_the_statistics_of_micro_batches_follow_each_other():
    def gradient(batch_stats, batch, key):
        images, _ = batch
        grads = {"w": images.mean() + batch_stats}
        return grads, 0.9 * batch_stats + 0.1 * images.mean(), {"loss": images.max()}

    batch = (jnp.array([10.0, 30.0, 50.0, 70.0]), jnp.zeros(4))
    whole = accumulated(gradient, 2)
    grads, stats, metrics = whole(jnp.array(1.0), batch, jax.random.key(0))
    np.testing.assert_allclose(stats, 0.9 * (0.9 + 2.0) + 6.0, rtol=1e-6)
    np.testing.assert_allclose(grads["w"], ((20 + 1) + (60 + 2.9)) / 2, rtol=1e-6)
    assert metrics["loss"] == (30 + 70) / 2
