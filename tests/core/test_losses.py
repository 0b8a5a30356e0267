"""In float32 losses of logits have float64's gradients, however confident the prediction is."""

import ast

import jax
import numpy as np
import optax
import pytest
import scipy.special

from paths import ROOT
from rrjax.core import losses, objectives

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (100, 10)).astype(np.float32)
LABELS = LOGITS.argmax(-1)
OTHERS = LOGITS + RNG.normal(0, 0.3, LOGITS.shape).astype(np.float32)
# The network of an objective: the image's pixels times these are the logits.
WEIGHTS = RNG.normal(size=(10, 48)).astype(np.float32)


def stock(logits):
    return optax.softmax_cross_entropy_with_integer_labels(logits, LABELS)


def ahead(logits, gap):
    """Put each label's logit `gap` farther ahead."""
    return logits + (gap * np.eye(10, dtype=np.float32))[LABELS]


def cosines(a, b):
    a, b = (np.asarray(each, np.float64) for each in (a, b))
    return (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))


def in_float64(function, *arrays):
    with jax.enable_x64(True):
        arrays = [np.asarray(array, np.float64) for array in arrays]
        return jax.tree.map(np.asarray, jax.jit(function)(*arrays))


@pytest.mark.parametrize("gap", [0, 20, 50])
def test_the_gradient_of_the_cross_entropy_is_float64_s(gap):
    logits = ahead(LOGITS, gap)
    gradient = jax.grad(lambda logits: losses.cross_entropy(logits, LABELS).sum())
    exact = scipy.special.softmax(logits.astype(np.float64), axis=-1)
    np.put_along_axis(exact, LABELS[:, None], 0, axis=-1)
    np.put_along_axis(exact, LABELS[:, None], -exact.sum(-1, keepdims=True), axis=-1)
    np.testing.assert_allclose(jax.jit(gradient)(logits), exact, rtol=2e-5)


def test_the_stock_gradient_is_not():
    """If this fails, JAX has changed, and the module may go."""
    logits = ahead(LOGITS, 20)
    gradient = jax.grad(lambda logits: stock(logits).sum())
    assert np.median(cosines(gradient(logits), in_float64(gradient, logits))) < 0.99


@pytest.mark.parametrize("gap", [-10, 0, 3])
def test_values_are_the_stock_ones(gap):
    logits = ahead(LOGITS, gap)
    np.testing.assert_allclose(
        losses.cross_entropy(logits, LABELS), stock(logits), rtol=1e-6, atol=5e-7
    )
    np.testing.assert_allclose(
        losses.log_probabilities(logits, LABELS), jax.nn.log_softmax(logits), rtol=2e-6, atol=5e-7
    )
    stock_kl = optax.losses.kl_divergence_with_log_targets(
        jax.nn.log_softmax(OTHERS), jax.nn.log_softmax(logits)
    )
    np.testing.assert_allclose(losses.kl_divergence(logits, OTHERS), stock_kl, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("gap", [0, 10, 40])
def test_both_gradients_of_the_divergence_are_float64_s(gap):
    arguments = ahead(LOGITS, gap), ahead(OTHERS, gap)
    gradient = jax.grad(lambda p, q: losses.kl_divergence(p, q).sum(), (0, 1))
    exact = in_float64(gradient, *arguments)
    for actual, expected in zip(jax.jit(gradient)(*arguments), exact, strict=True):
        assert cosines(actual, expected).min() > 0.9999


@pytest.mark.parametrize("logit", [-60.0, -20.0, 20.0, 60.0])
def test_the_sigmoid_losses_of_the_gans_need_none_of_this(logit):
    """The gradient of log sigmoid(x) is sigmoid(-x), to the last digits however small."""
    gradient = jax.jit(jax.grad(jax.nn.log_sigmoid))(np.float32(logit))
    np.testing.assert_allclose(gradient, scipy.special.expit(-logit), rtol=1e-5)


@pytest.mark.parametrize("name", ["cross_entropy", "probability", "margin"])
def test_objectives_of_a_confident_prediction_have_float64_s_gradients(name):
    image = RNG.random(48).astype(np.float32)
    label = int((WEIGHTS @ image).argmax())

    def gradient(image):
        def apply(image):
            logits = WEIGHTS.astype(image.dtype) @ image
            return logits + 25.0 * (np.arange(10) == label).astype(image.dtype), {}

        return jax.grad(getattr(objectives, name)(apply, label))(image)

    assert cosines(gradient(image), in_float64(gradient, image)) > 0.99999


def test_a_single_class_has_no_loss_and_a_label_out_of_range_none_that_is_a_number():
    assert losses.cross_entropy(np.ones(1, np.float32), 0) == 0
    gradient = jax.grad(lambda logits: losses.cross_entropy(logits, 0))
    assert gradient(np.ones(1, np.float32)) == 0
    assert np.isnan(losses.cross_entropy(np.ones(3, np.float32), 3))


def test_no_other_module_takes_a_stock_loss_of_logits():
    """The peers' bench does: it measures them."""
    stock_names = {
        "softmax_cross_entropy_with_integer_labels",
        "softmax_cross_entropy",
        "kl_divergence",
        "kl_divergence_with_log_targets",
        "log_softmax",
    }
    used = []
    for path in sorted((ROOT / "rrjax").rglob("*.py")):
        if path.name not in ("losses.py", "peers.py") or "tasks" in path.parts:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and node.attr in stock_names:
                    used += [(path.name, node.attr)]
    assert set(used) == {("objectives.py", "kl_divergence")}  # our own


@pytest.mark.parametrize("label", [-1, 10])
def test_a_label_out_of_range_gives_no_number(label):
    assert np.isnan(losses.cross_entropy(LOGITS[0], np.int32(label)))
