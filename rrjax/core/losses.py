"""Losses of logits whose gradients are right in float32, however confident the prediction is.

The stock cross-entropy's gradient has the coordinate p - 1 for the label, which is rounding noise
where 1 - p is below 1e-7, and so is all that is computed from it: an input gradient, a saliency
map, an attack's step. Here every logit is counted from one class's, so that this coordinate is
minus the sum of the others, which lose nothing. Values and gradients are the stock ones elsewhere.
The last axis is the classes'; what is before it are batch axes. Of logits more than 87 apart the
gradient is below what float32 holds, and 0.
"""

import jax
import jax.numpy as jnp


def log_probabilities(logits: jax.Array, origin: jax.Array) -> jax.Array:
    """Return log softmax(logits), (..., classes), accurate where the class `origin` has nearly all.

    logits: (..., classes). origin: (...), the class that the logits are counted from. Where it is
    out of range the result is NaN.
    """
    others = jax.nn.one_hot(origin, logits.shape[-1]) == 0
    # Not 0 by subtraction: the origin's own gradient, 1 - 1, would hide the sum of the others.
    relative = jnp.where(others, logits - _of_class(logits, origin), 0)
    if logits.shape[-1] == 1:  # no other class: the probability is 1, and has no gradient
        return relative
    rest = jax.nn.logsumexp(relative, axis=-1, where=others, keepdims=True)
    return relative - jax.nn.softplus(rest)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return -log softmax(logits)[label], in nats: (...) of logits (..., classes), labels (...)."""
    return -_of_class(log_probabilities(logits, labels), labels)[..., 0]


def kl_divergence(logits: jax.Array, other_logits: jax.Array) -> jax.Array:
    """Return KL(p || q), p = softmax(logits) and q = softmax(other_logits), in nats: (...)."""
    origin = jnp.argmax(logits, axis=-1)
    log_p, log_q = (log_probabilities(each, origin) for each in (logits, other_logits))
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)


def _of_class(values: jax.Array, labels: jax.Array) -> jax.Array:
    """Return values (..., classes) at labels (...), (..., 1); NaN out of range."""
    # A negative index would count from the end.
    labels = jnp.where(labels < 0, values.shape[-1], labels)
    return jnp.take_along_axis(values, jnp.expand_dims(labels, -1), axis=-1)
