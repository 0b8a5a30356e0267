"""The gradient of a batch, with the BN statistics after it and its metrics; one device's part."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from rrjax import models
from rrjax.train.tasks import TrainState


def adversarial(model, loss, penalty, adversary, state: TrainState, batch, dropout_key: jax.Array):
    """Attack the batch, (images, labels, keys), and return (gradient, batch_stats, metrics).

    The attack sees the network in eval mode; no gradient flows through it. Its loss is its own,
    on the plain label. The penalty (`tasks.penalties`, or None) is on the clean images.
    """
    images, labels, keys = batch
    attacked = images
    if adversary:
        attacked = adversary(frozen(model, state), state.step, images, labels, keys)

    def loss_fn(params):
        forward = partial(_forward, model, params, dropout_key)
        value, (logits, stats) = loss(forward, state.batch_stats, images, attacked, labels)
        if not penalty:
            return value, (logits, stats, {})
        apply = frozen(model, state.replace(params=params))
        extra, penalized = penalty(apply, images, labels)
        return value + extra, (logits, stats, penalized)

    (value, aux), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
    logits, stats, penalized = aux
    metrics = {"loss": value, "accuracy": jnp.mean(logits.argmax(-1) == labels)}
    return grads, stats, metrics | penalized


def joint(model, loss, state: TrainState, images, labels, dropout_key: jax.Array):
    """Return ((gradient, images' gradient), batch_stats, metrics) of one backward pass."""

    def loss_fn(params, images):
        forward = partial(_forward, model, params, dropout_key)
        return loss(forward, state.batch_stats, images, images, labels)

    both = jax.value_and_grad(loss_fn, argnums=(0, 1), has_aux=True)
    (value, (logits, stats)), grads = both(state.params, images)
    return grads, stats, {"loss": value, "accuracy": jnp.mean(logits.argmax(-1) == labels)}


def accumulated(gradient: Callable, n: int) -> Callable:
    """Take `gradient`, such as `adversarial`, over n micro-batches one after another: less memory.

    Losses are means, so without BN it is the whole batch's gradient. With BN each micro-batch is
    normalized by its own statistics and updates the running ones in turn; its attack sees those
    that the one before it left.
    """
    if n == 1:
        return gradient

    def whole(state, batch, dropout_key):
        parts = jax.tree.map(lambda x: x.reshape(n, -1, *x.shape[1:]), batch)

        def one(carry, part):
            stats, total = carry
            grads, stats, metrics = gradient(state.replace(batch_stats=stats), *part)
            return (stats, jax.tree.map(jnp.add, total, (grads, metrics))), None

        parts = parts, jax.random.split(dropout_key, n)
        first = jax.tree.map(lambda x: x[0], parts)
        grads, _, metrics = jax.eval_shape(gradient, state, *first)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (grads, metrics))
        (stats, total), _ = lax.scan(one, (state.batch_stats, zeros), parts)
        grads, metrics = jax.tree.map(lambda x: x / n, total)
        return grads, stats, metrics

    return whole


def frozen(model, state: TrainState):
    """Make the network of a state, in eval mode: one image -> (logits, reps)."""
    return models.frozen(model, {"params": state.params, "batch_stats": state.batch_stats})


def _forward(model, params, dropout_key: jax.Array, batch_stats, images):
    """Return the logits in train mode, and the running statistics after them."""
    (logits, _), updates = model.apply(
        {"params": params, "batch_stats": batch_stats},
        images,
        train=True,
        mutable=["batch_stats"],
        rngs={"dropout": dropout_key},
    )
    return logits, updates.get("batch_stats", {})
