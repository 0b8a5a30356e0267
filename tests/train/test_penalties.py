"""Laws of the penalties: closed forms of a linear network, and what BN's statistics they see."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rrjax import BadInput
from rrjax.configs import robust_digits
from rrjax.models import layers
from rrjax.models.smallcnn import SmallCNN
from rrjax.train.tasks import TrainState, classifier, penalties

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.random((6, 4, 4, 1)), RNG.integers(0, 3, 6)
BATCH = {"image": IMAGES[None], "label": LABELS[None]}  # of one device
KEY = jax.random.key(0)


def config(**weights):
    c = robust_digits.get_config()
    c.loss.update(weights)
    return c


@pytest.fixture
def float_images(monkeypatch, float64):
    """Let batches hold float64 images, for comparisons to be tight."""
    monkeypatch.setattr(classifier, "augmented", lambda batch: batch["image"])


def step_of(model, c, params, batch_stats, adversary=None):
    """Take one step of training down the gradient itself: (gradient, batch_stats, metrics)."""
    sgd = optax.sgd(1.0)
    step = classifier.make_train_step(model, sgd, adversary, c, KEY)
    step = jax.jit(jax.vmap(step, in_axes=(None, 0), out_axes=0, axis_name="batch"))
    state = TrainState(jnp.array(0), params, batch_stats, sgd.init(params))
    after, metrics = jax.tree.map(lambda x: x[0], step(state, BATCH))
    return jax.tree.map(jnp.subtract, params, after.params), after.batch_stats, metrics


def linear_network():
    """A Dense layer alone: logits = W^T x + b."""
    model = SmallCNN((), 3, 0, 3, (0.0,), (1.0,), jnp.float64, jnp.float64)
    dense = {"kernel": RNG.standard_normal((16, 3)), "bias": RNG.standard_normal(3)}
    return model, {"fc2": dense}


def by_hand(gradient_penalty, alignment_penalty, params):
    """The loss of the linear network: W (p - e) and W e are the gradients."""
    weights, bias = params["fc2"]["kernel"], params["fc2"]["bias"]
    flat = IMAGES.reshape(6, 16)
    logits = flat @ weights + bias[None]
    wanted = jax.nn.one_hot(LABELS, 3)
    nats = -jnp.sum(wanted * jax.nn.log_softmax(logits), -1)
    squares = jnp.sum(((jax.nn.softmax(logits) - wanted) @ weights.T) ** 2, -1)
    columns = weights.T[LABELS]
    lengths = jnp.linalg.norm(flat, axis=1) * jnp.linalg.norm(columns, axis=1)
    cosines = jnp.sum(flat * columns, -1) / lengths
    return jnp.mean(nats + gradient_penalty * squares + alignment_penalty * (1 - cosines))


@pytest.mark.parametrize("weights", [(0.3, 0.0), (0.0, 2.0), (0.3, 2.0)])
def test_of_a_linear_network_loss_and_gradient_are_those_by_hand(weights, float_images):
    model, params = linear_network()
    c = config(gradient_penalty=weights[0], alignment_penalty=weights[1])
    grads, _, metrics = step_of(model, c, params, {})
    value, expected = jax.jit(jax.value_and_grad(partial(by_hand, *weights)))(params)
    np.testing.assert_allclose(metrics["loss"], value, rtol=1e-12)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-14), grads, expected)
    terms = {"squared_gradient": weights[0], "misalignment": weights[1]}
    expected = {name for name, weight in terms.items() if weight}
    assert expected == set(metrics) - {"loss", "accuracy", "grad_norm"}


def test_without_a_weight_there_is_no_penalty():
    assert penalties.create(config().loss) is None


class Normed(nn.Module):
    """A convolution, BN, a bend, and a Dense layer."""

    norm: Callable = layers.batch_norm
    dtype: Any = jnp.float64

    @nn.compact
    def __call__(self, x, train):
        fields = {"dtype": self.dtype, "param_dtype": self.dtype}
        x = layers.conv(2, 3, name="conv1", use_bias=False, **fields)(x)
        x = nn.softplus(self.norm(train, name="bn1", **fields)(x))
        return nn.Dense(3, name="fc", **fields)(layers.flatten(x)), {}


def test_a_penalty_sees_the_running_statistics_and_leaves_them_alone(float_images):
    """What it adds is its own gradient, of the clean images and the network in eval mode."""
    model = Normed()
    variables = model.init(KEY, IMAGES, train=False)
    drawn = lambda x: RNG.uniform(0.5, 2, x.shape)  # noqa: E731
    params, stats = variables["params"], jax.tree.map(drawn, variables["batch_stats"])
    attacked = RNG.random(IMAGES.shape)

    def alone(params):
        def apply(image):
            variables = {"params": params, "batch_stats": stats}
            return jax.tree.map(lambda x: x[0], model.apply(variables, image[None], train=False))

        def penalty(image, label):
            logit = jax.grad(lambda x: apply(x)[0][label])(image)
            nats = jax.grad(lambda x: -jax.nn.log_softmax(apply(x)[0])[label])(image)
            cosine = jnp.sum(logit * image) / jnp.sqrt(jnp.sum(logit**2) * jnp.sum(image**2))
            return 0.5 * jnp.sum(nats**2) + 0.25 * (1 - cosine)

        return jax.vmap(penalty)(IMAGES, LABELS).mean()

    plain, penalized = (
        step_of(model, c, params, stats, adversary=lambda *_: attacked)
        for c in (config(), config(gradient_penalty=0.5, alignment_penalty=0.25))
    )
    added = jax.tree.map(jnp.subtract, penalized[0], plain[0])
    close = partial(np.testing.assert_allclose, rtol=1e-7, atol=1e-10)
    jax.tree.map(close, added, jax.jit(jax.grad(alone))(params))
    jax.tree.map(np.testing.assert_array_equal, penalized[1], plain[1])


@pytest.mark.parametrize("term", [penalties.squared_gradient, penalties.misalignment])
def test_where_no_pixel_matters_nothing_is_nan(term):
    """A dead network: its gradient is zero, and the penalty's too."""

    def value(weight, image):
        return term(lambda x: (weight * jax.nn.relu(jnp.sum(x) - 100) * jnp.ones(3), {}), image, 0)

    for image in (jnp.full((2, 2, 1), 0.5), jnp.zeros((2, 2, 1))):
        penalty, slope = jax.jit(jax.value_and_grad(value))(2.0, image)
        assert penalty == (term is penalties.misalignment) and slope == 0


@pytest.mark.parametrize("change", [{"gradient_penalty": -0.1}, {"alignment_penalty": np.nan}])
def test_a_negative_weight_is_named(change):
    with pytest.raises(BadInput, match=f"{next(iter(change)).split('_')[0]}_penalty="):
        penalties.create(config(**change).loss)
