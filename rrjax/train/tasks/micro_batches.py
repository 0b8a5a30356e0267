"""A batch taken in parts, one after another: the same gradient, less memory."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

# (batch_stats, batch, dropout_key) -> (gradient, batch_stats after the batch, metrics)
Gradient = Callable[[Any, Any, jax.Array], tuple[Any, Any, dict[str, jax.Array]]]


def accumulated(gradient: Gradient, n: int) -> Gradient:
    """Take the gradient of a batch as the mean over `n` micro-batches, one after another.

    Losses are means, so without BN it is the whole batch's gradient. With BN each micro-batch is
    normalized by its own statistics and updates the running ones in turn; its attack sees those
    that the one before it left. The leading axis of every array of a batch is divided by `n`.
    """
    if n == 1:
        return gradient

    def whole(batch_stats, batch, dropout_key):
        parts = jax.tree.map(lambda x: x.reshape(n, -1, *x.shape[1:]), batch)
        parts = parts, jax.random.split(dropout_key, n)

        def add_part(carry, part):
            batch_stats, total = carry
            grads, batch_stats, metrics = gradient(batch_stats, *part)
            return (batch_stats, jax.tree.map(jnp.add, total, (grads, metrics))), None

        first = jax.tree.map(lambda x: x[0], parts)
        grads, _, metrics = jax.eval_shape(gradient, batch_stats, *first)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (grads, metrics))
        (batch_stats, total), _ = lax.scan(add_part, (batch_stats, zeros), parts)
        grads, metrics = jax.tree.map(lambda x: x / n, total)
        return grads, batch_stats, metrics

    return whole
