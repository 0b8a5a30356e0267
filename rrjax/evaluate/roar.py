"""Train fresh networks on images without some of their pixels: are those the ones that matter?

ROAR removes the pixels an attribution ranks first (Hooker et al. 2019), KAR keeps them alone; both
as in Kim et al. (2019), section 3. One program trains all networks of a grid of seeds and counts,
and every device its share of them.
"""

from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from rrjax.core import attribution, losses
from rrjax.core.devices import on_each
from rrjax.core.vmapped import in_parts

# The scores of an attribution that studies make of accuracies, and their keys in results.json:
# ROAR, KAR, and DiffROAR (Shah et al. 2021), which compares the two.
SCORES = {"ROAR": "roar", "KAR": "kar", "DiffROAR": "diff_roar"}


class Ranked(NamedTuple):
    """Images (N, H, W, C), float in [0,1]; labels (N,); every pixel's rank (N, H, W), 0 first."""

    images: np.ndarray | jax.Array
    labels: np.ndarray | jax.Array
    ranks: np.ndarray | jax.Array


@struct.dataclass
class Training:
    """How each network is trained: by Adam, on whole batches, which are at most all images.

    at_once: how many networks are trained side by side. 1 is the fastest on a CPU, where
      convolutions with a kernel each are slow.
    """

    learning_rate: jax.Array | float
    epochs: int = struct.field(pytree_node=False)
    batch_size: int = struct.field(pytree_node=False)
    at_once: int = struct.field(pytree_node=False, default=1)


def retrain(
    model: nn.Module,
    train: Ranked,
    test: Ranked,
    seeds: np.ndarray | jax.Array,
    counts: np.ndarray | jax.Array,
    *,
    invert_mask: jax.Array | bool,
    fill: jax.Array,
    training: Training,
) -> np.ndarray:
    """Train a network for every seed and count, and return its accuracy on the test images.

    Args:
      model: a linen classifier without BN or dropout.
      train: images that the networks are trained on.
      test: images that their accuracy is of.
      seeds: (S,), of the initialization and of the order of images.
      counts: (F,), how many pixels are removed, or kept, of every image, training and test.
      invert_mask: remove the first-ranked pixels (False) or all others (True).
      fill: what takes their place, such as (C,), in units of pixels in [0,1].
      training: the same for every network.

    Returns:
      (S, F). A network does not depend on the others of its grid.
    """
    grid = np.meshgrid(seeds, counts, indexing="ij")
    cells = [x.ravel() for x in grid]
    retrained = partial(_retrained, model, (train, test, fill, invert_mask, training))
    return in_parts(retrained, len(cells[0]), *cells).reshape(grid[0].shape)


@partial(jax.jit, static_argnames="model")
def _retrained(model, whole, seeds, counts):
    """Train the networks of some cells, on each device its share of them."""

    def one_after_the_other(whole, *cells):
        *_, training = whole
        return jax.lax.map(
            lambda cell: _fit(model, *whole, *cell), cells, batch_size=training.at_once
        )

    return on_each(one_after_the_other, whole, seeds, counts)


def _fit(model, train, test, fill, invert_mask, training: Training, seed, count):
    batch_size = min(training.batch_size, len(train.images))
    init_key, order_key = jax.random.split(jax.random.key(seed))
    params = model.init(init_key, train.images[:1], train=False)["params"]
    adam = optax.adam(training.learning_rate)

    def logits_of(params, images, ranks):
        occlude = partial(attribution.occlude, count=count, fill=fill, invert_mask=invert_mask)
        occluded = jax.vmap(lambda image, ranks: occlude(image, ranks))(images, ranks)
        return model.apply({"params": params}, occluded, train=False)[0]

    def step(carry, rows):
        params, state = carry

        def loss(params):
            logits = logits_of(params, train.images[rows], train.ranks[rows])
            return losses.cross_entropy(logits, train.labels[rows]).mean()

        updates, state = adam.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    def epoch(carry, key):
        rows = jax.random.permutation(key, len(train.labels))
        rows = rows[: len(rows) // batch_size * batch_size].reshape(-1, batch_size)
        return jax.lax.scan(step, carry, rows)[0], None

    keys = jax.random.split(order_key, training.epochs)
    (params, _), _ = jax.lax.scan(epoch, (params, adam.init(params)), keys)

    def correct(example):
        image, label, ranks = example
        return logits_of(params, image[None], ranks[None])[0].argmax() == label

    return jnp.mean(jax.lax.map(correct, test, batch_size=batch_size))


def area(fractions: np.ndarray, accuracy: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the areas (S,) by which curves lie above reference curves, by trapezoids.

    fractions: (F,), what is removed, rising from 0 to 1. accuracy, reference: (S, F), there.
    """
    return np.trapezoid(accuracy - reference, fractions, axis=-1)
