"""Which images a network classifies right, whatever the adversary does."""

from collections.abc import Iterable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from rrjax.core import attack, objectives
from rrjax.data.augment import Batch, pixels


@partial(jax.jit, static_argnames=attack.STATIC)
def correct_under_attack(
    apply: objectives.Apply, images: jax.Array, labels: jax.Array, keys: jax.Array, **options
) -> jax.Array:
    """Return which of many images (N, H, W, C) are classified right under `adversary(**options)`.

    Compiled once for all eps, step sizes and steps. `steps=0` and no random start: clean accuracy.
    """

    def one(image, label, key):
        logits, _ = apply(attack.adversary(apply, image, label, key, **options))
        # A network that answers NaN has not survived.
        return (logits.argmax() == label) & jnp.isfinite(logits).all()

    return jax.vmap(one)(images, labels, keys)


def robust_accuracy_mask(
    apply: objectives.Apply, batches: Iterable[Batch], key: jax.Array, attacks: Sequence[dict]
) -> list[np.ndarray]:
    """Return, for each attack (options of `adversary`), which examples of a data set survive it.

    A random start draws from `key` and the example's index: the result does not depend on batching.
    """
    hits: list[list[np.ndarray]] = [[] for _ in attacks]
    for batch in batches:
        images, real = pixels(jnp.asarray(batch["image"])), batch["mask"] == 1
        keys = jax.vmap(partial(jax.random.fold_in, key))(batch["index"])
        for kept, options in zip(hits, attacks, strict=True):
            kept.append(
                np.asarray(correct_under_attack(apply, images, batch["label"], keys, **options))[
                    real
                ]
            )
    return [np.concatenate(kept) for kept in hits]
