"""Scores by hand, and a search that is the paper's loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax.core import anomaly

RNG = np.random.default_rng(0)


def double(code):
    return 2 * code


def test_scores_by_hand():
    image = jnp.array([[[0.5], [0.25]]])
    score = anomaly.scores(double, jnp.square, image, pixel_weight=10.0, feature_weight=100.0)
    code = jnp.array([[[0.5], [0.0]]])
    expected = {"pixel": 0.75, "feature": 0.75**2 + 0.0625**2}
    expected["sum"] = 10 * expected["pixel"] + 100 * expected["feature"]
    assert score(code) == pytest.approx(expected)
    assert score(image / 2) == pytest.approx({"pixel": 0, "feature": 0, "sum": 0})


def test_the_search_is_gradient_descent_with_momentum_and_a_falling_step(float64):
    image, code = RNG.random((2, 2, 3, 1))
    score = anomaly.scores(
        double, double, jnp.asarray(image), pixel_weight=0.3, feature_weight=0.05
    )
    result = anomaly.search(score, jnp.asarray(code), steps=7)
    momentum = 0
    for j in range(6):
        error = 2 * code - image
        momentum = 0.9 * momentum + 0.3 * 2 * np.sign(error) + 0.05 * 16 * error
        code = code - 0.1 * (1 - 0.95 * j / 7) * momentum
    np.testing.assert_allclose(result.x, code, rtol=1e-6)  # optax counts in float32
    np.testing.assert_allclose(result.value, score(result.x)["sum"], rtol=1e-12)


def test_what_the_decoder_can_make_scores_lower_than_what_it_cannot():
    """It makes images of equal columns only."""

    def decode(code):
        return jnp.broadcast_to(jax.nn.sigmoid(code), (2, 2, 1))

    def result(image):
        score = anomaly.scores(decode, lambda x: x, image, feature_weight=1.0)
        return score(anomaly.search(score, jnp.zeros((2, 1, 1)), step_size=1.0).x)

    stripes = jnp.array([[0.2, 0.2], [0.7, 0.7]])
    for normal, anomalous in jax.vmap(result)(jnp.stack([stripes, stripes.T])[..., None]).values():
        assert normal < 0.1 * anomalous
