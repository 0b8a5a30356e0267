"""Which images a network classifies right, whatever the adversary does."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rrjax.core import attack, objectives
from rrjax.data.augment import Batch, pixels


@partial(jax.jit, static_argnames=attack.STATIC)
def correct_under_attack(
    apply: objectives.Apply,
    images: jax.Array,
    labels: jax.Array,
    keys: jax.Array,
    **options: Any,
) -> jax.Array:
    """Return which images are classified right under `attack.adversary(**options)`: (N,), bool.

    images: (N, H, W, C), float in [0,1]; labels and keys: (N,). Compiled once for all eps, step
    sizes and steps. `steps=0` and no random start: clean accuracy.
    """

    def one(image, label, key):
        logits, _ = apply(attack.adversary(apply, image, label, key, **options))
        # A network that answers NaN has not survived.
        return (logits.argmax() == label) & jnp.isfinite(logits).all()

    return jax.vmap(one)(images, labels, keys)


def robust_accuracy_mask(
    apply: objectives.Apply, batches: Iterable[Batch], key: jax.Array, attacks: Sequence[dict]
) -> list[np.ndarray]:
    """Return, for each attack, which examples of a data set are classified right under it.

    batches: of "image", "label", "index" and "mask", which is 0 where a batch is filled up; those
    examples are left out. attacks: options of `attack.adversary` each. A random start draws from
    `key` and the example's index: the result does not depend on batching.
    """
    masks: list[list[np.ndarray]] = [[] for _ in attacks]
    for batch in batches:
        images, real = pixels(jnp.asarray(batch["image"])), batch["mask"] == 1
        keys = jax.vmap(partial(jax.random.fold_in, key))(batch["index"])
        for mask, options in zip(masks, attacks, strict=True):
            correct = correct_under_attack(apply, images, batch["label"], keys, **options)
            mask.append(np.asarray(correct)[real])
    return [np.concatenate(mask) for mask in masks]
