"""Retraining in one program: of images whose label is one pixel, accuracy is known."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from rrjax.bench import retraining as bench
from rrjax.core import attribution
from rrjax.evaluate import roar
from rrjax.models.smallcnn import SmallCNN

MODEL = SmallCNN(((4,),), 3, 8, 2, (0.5,), (0.5,))
SIZE = 4


def examples(n, seed):
    """Noise, in which the pixel (1, 2) alone says the label."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0.4, 0.6, (n, SIZE, SIZE, 1)).astype(np.float32)
    labels = rng.integers(0, 2, n).astype(np.int32)
    images[:, 1, 2, 0] = labels
    importance = np.zeros((SIZE, SIZE), np.float32)
    importance[1, 2] = 1
    ranks = np.tile(np.asarray(attribution.ranks(jnp.asarray(importance))), (n, 1, 1))
    return roar.Ranked(jnp.asarray(images), jnp.asarray(labels), jnp.asarray(ranks))


TRAIN, TEST = examples(200, 0), examples(100, 1)
retrain = partial(
    roar.retrain,
    MODEL,
    TRAIN,
    TEST,
    fill=jnp.array([0.5]),
)
TRAINING = roar.Training(learning_rate=0.01, epochs=8, batch_size=20)


@pytest.mark.slow
def test_without_the_one_pixel_nothing_is_learnt_and_with_it_alone_everything():
    seeds, counts = jnp.array([0, 1]), jnp.array([0, 1, 16])
    removed = retrain(seeds, counts, invert_mask=False, training=TRAINING)
    assert removed.shape == (2, 3)
    assert removed[:, 0].min() > 0.95 and np.abs(removed[:, 1:] - 0.5).max() < 0.2
    kept = retrain(seeds, counts, invert_mask=True, training=TRAINING)
    assert kept[:, 1:].min() > 0.95 and np.abs(kept[:, 0] - 0.5).max() < 0.2


@pytest.mark.slow
def test_side_by_side_is_one_after_another_is_a_plain_loop():
    seeds, counts = jnp.array([3, 4]), jnp.array([0, 2, 8])
    grid = partial(retrain, seeds, counts, invert_mask=True)
    whole = grid(training=TRAINING)
    side_by_side = grid(training=TRAINING.replace(at_once=4))
    np.testing.assert_allclose(side_by_side, whole, atol=0.021)
    loop = bench.retrain_in_a_loop(*grid.args, **grid.keywords, training=TRAINING)
    np.testing.assert_allclose(whole, loop, atol=1e-6)


def test_the_area_between_two_curves():
    fractions = np.array([0.0, 0.5, 1.0])
    accuracy, reference = np.array([1.0, 0.6, 0.0]), np.array([1.0, 0.2, 0.0])
    assert roar.area(fractions, accuracy, reference) == pytest.approx(0.2)
    assert roar.area(fractions, reference, accuracy) == pytest.approx(-0.2)
    both = np.stack([accuracy, reference])
    np.testing.assert_allclose(roar.area(fractions, both, reference[None]), [0.2, 0])
