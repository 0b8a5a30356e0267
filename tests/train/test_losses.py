"""Laws of the losses: literal values, and which images update the BN statistics, in what order."""

import jax.numpy as jnp
import numpy as np
import pytest

from rrjax import BadInput
from rrjax.runs import defaults
from rrjax.train.tasks import losses

# "Images" are logits here, and the statistics are the list of the batches seen.
CLEAN = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]], np.float32))
ADVERSARIAL = np.log(np.array([[0.25, 0.5, 0.25], [0.2, 0.2, 0.6]], np.float32))
LABELS = np.array([0, 2])
ON_CLEAN = -np.mean(np.log([0.5, 0.7]))
ON_ADVERSARIAL = -np.mean(np.log([0.25, 0.6]))


def config(**changes):
    c = defaults.get_config().loss
    c.update(changes)
    return c


def measure(**changes):
    def forward(seen, images):
        return jnp.asarray(images), [*seen, "clean" if images is CLEAN else "adversarial"]

    loss = losses.create(config(**changes))
    value, (logits, seen) = loss(forward, [], CLEAN, ADVERSARIAL, LABELS)
    np.testing.assert_array_equal(logits, ADVERSARIAL)
    return float(value), seen


def test_the_adversarial_cross_entropy_needs_no_clean_forward():
    value, seen = measure()
    np.testing.assert_allclose(value, ON_ADVERSARIAL, rtol=1e-6)
    assert seen == ["adversarial"]


def test_the_mixed_loss():
    value, seen = measure(clean_weight=0.25)
    np.testing.assert_allclose(value, 0.25 * ON_CLEAN + 0.75 * ON_ADVERSARIAL, rtol=1e-6)
    assert seen == ["clean", "adversarial"]


def test_label_smoothing_shares_the_target_among_all_classes():
    value, _ = measure(label_smoothing=0.3)
    targets = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(value, -(targets * ADVERSARIAL).sum(-1).mean(), rtol=1e-6)


def test_trades():
    value, seen = measure(name="trades", beta=6.0)
    first = 0.5 * np.log(2) + 0.25 * np.log(0.5)
    second = 0.1 * np.log(0.5) + 0.7 * np.log(0.7 / 0.6)
    np.testing.assert_allclose(value, ON_CLEAN + 6 * (first + second) / 2, rtol=1e-5)
    assert seen == ["clean", "adversarial"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "hinge"}, "loss.name='hinge': choose"),
        ({"clean_weight": 1.5}, "loss.clean_weight=1.5"),
        ({"label_smoothing": -0.1}, "loss.label_smoothing=-0.1"),
        ({"beta": -1.0}, "loss.beta=-1.0"),
        ({"name": "trades", "clean_weight": 0.5}, "loss.clean_weight=0.5: trades"),
    ],
)
def test_impossible_losses_are_named(change, message):
    with pytest.raises(BadInput, match=message):
        losses.create(config(**change))
