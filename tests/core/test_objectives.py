"""Objectives by literal arrays, and their gradients where naive ones break."""

import jax
import jax.numpy as jnp
import numpy as np

from rrjax.core import objectives


def apply(image):
    """A network whose logits and representation are its three pixels."""
    return image, {"representation": image}


def test_cross_entropy_of_uniform_logits_is_log_of_the_class_count():
    value = objectives.cross_entropy(apply, 1)(jnp.zeros(3))
    np.testing.assert_allclose(value, np.log(3), rtol=1e-6)


def test_logit_and_probability_are_of_the_label():
    logits = jnp.log(jnp.array([1.0, 6.0, 3.0]))
    assert objectives.predicted(apply, logits) == 1
    assert objectives.logit(apply, 2)(logits) == logits[2]
    np.testing.assert_allclose(objectives.probability(apply, 2)(logits), 0.3, rtol=1e-6)


def test_margin_is_the_best_other_minus_the_label():
    logits = jnp.array([-5.0, -2.0, -3.0])  # all negative: a product mask would answer 0
    assert objectives.margin(apply, 1)(logits) == -1.0
    assert objectives.margin(apply, 0)(logits) == 3.0


def test_match_is_the_normalized_distance():
    target = jnp.array([3.0, 4.0, 0.0])
    assert objectives.match(apply, target)(jnp.array([3.0, 4.0, 5.0])) == 1.0


def test_match_has_zero_gradient_on_its_target():
    target = jnp.array([3.0, 4.0, 0.0])
    np.testing.assert_array_equal(jax.grad(objectives.match(apply, target))(target), np.zeros(3))


def test_activate_falls_as_the_unit_grows():
    objective = objectives.activate(apply, 2)
    np.testing.assert_array_equal(jax.grad(objective)(jnp.ones(3)), [0.0, 0.0, -1.0])
