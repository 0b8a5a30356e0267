"""The loss of a batch, from its clean and its adversarial images.

A loss takes (forward, batch_stats, clean, adversarial, labels) and returns
(scalar, (logits, batch_stats)): `forward(batch_stats, images)` is the network in train mode, which
gives logits and the running statistics after them; the logits returned are the adversarial ones. A
loss of two forwards normalizes each by its own batch's statistics and updates the running ones
twice, by the clean images and then by the adversarial; both forwards have the same dropout.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from ml_collections import ConfigDict

from rrjax import BadInput
from rrjax.core.losses import cross_entropy, kl_divergence, log_probabilities

LOSSES = ("cross_entropy", "trades")
Aux = tuple[jax.Array, Any]  # logits, batch_stats
Forward = Callable[[Any, jax.Array], Aux]
Loss = Callable[[Forward, Any, jax.Array, jax.Array, jax.Array], tuple[jax.Array, Aux]]


def create(config: ConfigDict) -> Loss:
    """Make the loss of a training config's `loss`.

    Raises:
      BadInput: naming the field that is not possible.
    """
    if config.name not in LOSSES:
        raise BadInput(f"loss.name={config.name!r}: choose one of {LOSSES}")
    for field in ("label_smoothing", "clean_weight"):
        if not 0 <= config[field] < 1:
            raise BadInput(f"loss.{field}={config[field]}: it must be at least 0 and below 1")
    if not config.beta >= 0:
        raise BadInput(f"loss.beta={config.beta}: it may not be negative")
    if config.name == "trades":
        if config.clean_weight:
            raise BadInput(
                f"loss.clean_weight={config.clean_weight}: trades has beta instead, set 0"
            )
        return partial(trades, config.beta, config.label_smoothing)
    return partial(mixed, config.clean_weight, config.label_smoothing)


def mixed(
    clean_weight: float,
    smoothing: float,
    forward: Forward,
    batch_stats: Any,
    clean: jax.Array,
    adversarial: jax.Array,
    labels: jax.Array,
) -> tuple[jax.Array, Aux]:
    """Return clean_weight * CE(clean) + (1 - clean_weight) * CE(adversarial).

    Goodfellow et al. (2015), section 6, has weight 1/2; Madry et al. (2018) 0, which costs no clean
    forward.
    """
    if not clean_weight:
        logits, batch_stats = forward(batch_stats, adversarial)
        return _smoothed(logits, labels, smoothing), (logits, batch_stats)
    clean_logits, batch_stats = forward(batch_stats, clean)
    logits, batch_stats = forward(batch_stats, adversarial)
    on_clean = _smoothed(clean_logits, labels, smoothing)
    on_adversarial = _smoothed(logits, labels, smoothing)
    loss = clean_weight * on_clean + (1 - clean_weight) * on_adversarial
    return loss, (logits, batch_stats)


def trades(
    beta: float,
    smoothing: float,
    forward: Forward,
    batch_stats: Any,
    clean: jax.Array,
    adversarial: jax.Array,
    labels: jax.Array,
) -> tuple[jax.Array, Aux]:
    """Return CE(clean) + beta * KL(clean || adversarial), gradients through both terms of the KL.

    Zhang et al. (2019), eq. 5, as their trades.py has it (beta = 1/lambda); there a second clean
    forward updates the running statistics once more.
    """
    clean_logits, batch_stats = forward(batch_stats, clean)
    logits, batch_stats = forward(batch_stats, adversarial)
    divergence = kl_divergence(clean_logits, logits)
    loss = _smoothed(clean_logits, labels, smoothing) + beta * divergence.mean()
    return loss, (logits, batch_stats)


def _smoothed(logits: jax.Array, labels: jax.Array, smoothing: float) -> jax.Array:
    """Average the cross-entropy with (1 - smoothing) * one_hot(label) + smoothing / classes."""
    losses = cross_entropy(logits, labels)
    if smoothing:
        uniform = -log_probabilities(logits, labels).mean(-1)
        losses = (1 - smoothing) * losses + smoothing * uniform
    return losses.mean()
