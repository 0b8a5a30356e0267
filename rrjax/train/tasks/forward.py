"""A classifier's network inside a training step: in eval mode, and in train mode."""

from typing import Any

import flax.linen as nn
import jax

from rrjax import models


def eval_apply(model: nn.Module, params: Any, batch_stats: Any) -> jax.tree_util.Partial:
    """Make the network in eval mode: one image (H, W, C) -> (logits, reps)."""
    return models.frozen(model, {"params": params, "batch_stats": batch_stats})


def train_apply(
    model: nn.Module, params: Any, dropout_key: jax.Array, batch_stats: Any, images: jax.Array
) -> tuple[jax.Array, Any]:
    """Return the logits (N, classes) of images in train mode, and the BN statistics after them."""
    (logits, _), updates = model.apply(
        {"params": params, "batch_stats": batch_stats},
        images,
        train=True,
        mutable=["batch_stats"],
        rngs={"dropout": dropout_key},
    )
    return logits, updates.get("batch_stats", {})
