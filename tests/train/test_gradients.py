"""Laws of micro-batches: the whole batch's gradient; BN statistics one after another."""

import jax
import jax.numpy as jnp
import numpy as np

from rrjax import models
from rrjax.configs import robust_digits
from rrjax.train.tasks import TrainState, adversaries, gradients, losses


def test_micro_batches_have_the_whole_batchs_gradient(float64):
    c = robust_digits.get_config()
    c.model.update(name="tiny", width=64, dtype="float64", param_dtype="float64")
    c.attack.steps = 2
    model = models.create(c.model)
    params = models.init(model, jax.random.key(0), (8, 8, 1))["params"]
    state = TrainState(jnp.array(0), params, {}, {})
    rng = np.random.default_rng(0)
    images, labels = rng.random((12, 8, 8, 1)), rng.integers(0, 10, 12)
    batch = (images, labels, jax.random.split(jax.random.key(1), 12))
    adversary = adversaries.trainer(c.attack, lambda step: 2.0)

    def gradient(*arguments):
        return gradients.adversarial(model, losses.create(c.loss), None, adversary, *arguments)

    found = [
        jax.jit(gradients.accumulated(gradient, n))(state, batch, jax.random.key(2)) for n in (1, 4)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), *found)


def test_the_statistics_of_micro_batches_follow_each_other():
    def gradient(state, batch, key):
        images, _ = batch
        stats = 0.9 * state.batch_stats + 0.1 * images.mean()
        return {"w": images.mean() + state.batch_stats}, stats, {"loss": images.max()}

    state = TrainState(jnp.array(0), {"w": jnp.zeros(())}, jnp.array(1.0), {})
    batch = (jnp.array([10.0, 30.0, 50.0, 70.0]), jnp.zeros(4))
    whole = gradients.accumulated(gradient, 2)
    grads, stats, metrics = whole(state, batch, jax.random.key(0))
    np.testing.assert_allclose(stats, 0.9 * (0.9 + 2.0) + 6.0, rtol=1e-6)
    np.testing.assert_allclose(grads["w"], ((20 + 1) + (60 + 2.9)) / 2, rtol=1e-6)
    assert metrics["loss"] == (30 + 70) / 2
