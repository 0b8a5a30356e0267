"""Which images a network classifies right, whatever the adversary does."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rrjax.core import attack, devices, objectives
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

    batches: as `over_batches` takes them. attacks: options of `attack.adversary` each. A random
    start draws from `key` and the example's index: the result does not depend on batching.
    """

    def correct(images: jax.Array, labels: jax.Array, index: jax.Array) -> list[jax.Array]:
        keys = jax.vmap(partial(jax.random.fold_in, key))(index)
        return [correct_under_attack(apply, images, labels, keys, **options) for options in attacks]

    return over_batches(batches, correct)


def over_batches(batches: Iterable[Batch], score: Callable[..., Any]) -> Any:
    """Return what `score(images, labels, index)` says of every example of a data set, in order.

    Args:
      batches: this process's of `data.eval_batches`: "image", "label", "index" and "mask", which is
        0 where a batch is filled up; those examples are left out.
      score: of images (N, H, W, C), float in [0,1], labels and index, (N,), split over the devices
        of this process -> a pytree of arrays of N rows.
    """

    def of_bytes(images: jax.Array, labels: jax.Array, index: jax.Array) -> Any:
        return score(pixels(images), labels, index)

    masks = []

    def starts() -> Iterator[Callable]:
        for batch in batches:
            masks.append(batch["mask"])
            stacks = (batch[field] for field in ("image", "label", "index"))
            yield devices.started(of_bytes, *stacks)

    outputs = devices.results(starts())
    mine = jax.tree.map(lambda *parts: np.concatenate(parts), *outputs)
    values, mask = devices.gathered((mine, np.concatenate(masks)))
    # Example by example the processes take turns, as `data.eval_batches` deals them.
    real = mask.T.ravel() == 1
    return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:])[real], values)
