"""Which images are classified right under attack: of a network whose boundary is known."""

import jax
import jax.numpy as jnp
import numpy as np

from rrjax.core import attack
from rrjax.evaluate import robustness


@jax.tree_util.Partial
def threshold(image):
    """Class 1 of one pixel above 1/2."""
    return jnp.array([0.5, 0]) + image.sum() * jnp.array([0, 1]), {}


@jax.tree_util.Partial
def broken(image):
    """Right of every image of class 0, as NaN's argmax is 0."""
    return jnp.full(2, jnp.nan) * image.sum(), {}


def batches():
    """Pixels of 0.1, 0.4 and 0.9, the last batch filled up with one that does not count."""
    for values, labels, mask in (([26, 102], [0, 0], [1, 1]), ([230, 0], [1, 1], [1, 0])):
        yield {
            "image": np.array(values, np.uint8).reshape(2, 1, 1, 1),
            "label": np.array(labels, np.int32),
            "index": np.arange(2, dtype=np.int32),
            "mask": np.array(mask),
        }


def test_images_are_lost_whose_distance_to_the_boundary_is_less_than_the_radius():
    attacks = [{"norm": "l2"} | attack.protocol(eps, 5) for eps in (0.0, 0.2, 0.5)]
    masks = robustness.robust_accuracy_mask(threshold, batches(), jax.random.key(0), attacks)
    assert [mask.tolist() for mask in masks] == [
        [True, True, True],
        [True, False, True],
        [False, False, False],
    ]


def test_a_network_that_answers_nan_has_not_survived():
    images, labels = jnp.full((2, 1, 1, 1), 0.5), jnp.zeros(2, int)
    keys = jax.random.split(jax.random.key(0), 2)
    correct = robustness.correct_under_attack(
        broken, images, labels, keys, **attack.protocol(0.0, 1)
    )
    assert not correct.any()


def test_what_fills_a_batch_up_does_not_count():
    values = robustness.over_batches(
        batches(), lambda images, labels, index: (images.sum((1, 2, 3)), labels + index)
    )
    np.testing.assert_allclose(values[0], np.array([26, 102, 230]) / 255, rtol=1e-6)
    np.testing.assert_array_equal(values[1], [0, 1, 1])
