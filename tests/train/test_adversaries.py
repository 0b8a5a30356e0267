"""The attacks of Fast and of TRADES against their papers, written out; the one of evaluation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax import BadInput, models
from rrjax.configs import fast_digits, trades_digits
from rrjax.train.tasks import adversaries

N, EPS = 5, 0.3


def network(c):
    c.model.update(name="tiny", width=64, dtype="float64", param_dtype="float64")
    model = models.create(c.model)
    return models.frozen(model, models.init(model, jax.random.key(0), (8, 8, 1)))


def batch():
    rng = np.random.default_rng(0)
    return rng.random((N, 8, 8, 1)), rng.integers(0, 10, N), jax.random.split(jax.random.key(1), N)


def trained_against(c, apply, images, labels, keys):
    c.attack.eps = EPS
    adversary = jax.jit(adversaries.training_adversary(c.attack, lambda step: EPS))
    return np.asarray(adversary(apply, 0, images, labels, keys))


def log_softmax(apply, image):
    return jax.nn.log_softmax(apply(image)[0])


def test_fast_is_one_step_of_a_random_start(float64):
    """Wong et al. (2020), Algorithm 3, in linf: delta ~ U(-eps, eps), one step of 1.25 eps."""
    c = fast_digits.get_config()
    c.attack.step_size = 1.25 * EPS
    apply, (images, labels, keys) = network(c), batch()
    attacked = trained_against(c, apply, images, labels, keys)
    gradient = jax.jit(jax.grad(lambda x, y: -log_softmax(apply, x)[y]))
    for i in range(N):
        start = EPS * np.asarray(jax.random.uniform(keys[i], (8, 8, 1), float, -1, 1))
        delta = np.clip(images[i] + start, 0, 1) - images[i]
        delta = delta + 1.25 * EPS * np.sign(gradient(images[i] + delta, labels[i]))
        expected = np.clip(images[i] + np.clip(delta, -EPS, EPS), 0, 1)
        np.testing.assert_allclose(attacked[i], expected, atol=1e-9)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_adversary_of_trades_climbs_the_divergence(float64, norm):
    """Zhang et al. (2019), trades.py: a Gaussian start of 0.001, then the last of the iterates."""
    c = trades_digits.get_config()
    c.attack.update(norm=norm, step_size=0.1, steps=4)
    apply, (images, labels, keys) = network(c), batch()
    attacked = trained_against(c, apply, images, labels, keys)

    @jax.jit
    def gradient(x, clean):
        log_p = log_softmax(apply, clean)
        return jax.grad(lambda x: (jnp.exp(log_p) * (log_p - log_softmax(apply, x))).sum())(x)

    for i, clean in enumerate(images):
        noise = np.asarray(jax.random.normal(keys[i], (8, 8, 1), float))
        x = np.clip(clean + 0.001 * noise, 0, 1)
        for _ in range(4):
            g = np.asarray(gradient(x, clean))
            if norm == "linf":
                x = np.clip(x + 0.1 * np.sign(g), clean - EPS, clean + EPS)
            else:
                delta = x + 0.1 * g / np.linalg.norm(g) - clean
                length = np.linalg.norm(delta)
                x = clean + delta * (EPS / (length + 1e-7) if length > EPS else 1)
            x = np.clip(x, 0, 1)
        np.testing.assert_allclose(attacked[i], x, atol=1e-7)
        assert np.abs(x - clean).max() > 0.01


@pytest.mark.slow
def test_a_run_is_evaluated_by_its_own_attack_or_by_the_protocol(float64):
    c = fast_digits.get_config()
    c.attack.eps = EPS
    apply, data = network(c), batch()
    own = adversaries.evaluation_adversary(c.attack, 0)(apply, 0, *data)
    np.testing.assert_allclose(own, trained_against(c, apply, *data), atol=1e-9)
    by_protocol = jax.jit(adversaries.evaluation_adversary(c.attack, 20))
    c.attack.update(random_start="none", steps=20, step_size=2.5 * EPS / 20, return_iterate="best")
    expected = trained_against(c, apply, *data)
    np.testing.assert_allclose(by_protocol(apply, 0, *data), expected, atol=1e-9)


def test_the_divergence_has_no_gradient_at_the_image_itself():
    c = trades_digits.get_config().attack
    c.random_start = "none"
    with pytest.raises(BadInput, match=r"attack.loss='kl' has no gradient"):
        adversaries.check(c)
