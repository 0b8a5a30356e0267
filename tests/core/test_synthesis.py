"""Starts, and what is kept of an image, where the answer is known in closed form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax.core import synthesis

# Two classes: bright or dark, over the whole image.
MASK = np.zeros((4, 4, 1), np.float32)
MASK[1:3, 1:3] = 1


def apply(image):
    light = image.mean()
    return jnp.stack([light, -light]), {"representation": jnp.stack([light, image[0, 0, 0]])}


def test_inpainting_fills_the_mask_and_keeps_the_rest():
    image = jnp.full((4, 4, 1), 0.5)
    inpaint = jax.jit(partial(synthesis.inpaint, apply, step_size=0.02, steps=300))
    free, held = (inpaint(image, MASK, 0, weight=weight).x for weight in (0.0, 5.0))
    np.testing.assert_allclose(free, 1, atol=1e-3)
    np.testing.assert_allclose(held[MASK == 1], 1, atol=0.02)
    assert 0 < (held[MASK == 0] - 0.5).mean() < 0.1


def test_painting_grows_the_unit_in_the_mask_alone():
    image = jnp.full((4, 4, 1), 0.25)
    paint = jax.jit(partial(synthesis.paint, apply, weight=1.0, step_size=0.02, steps=300))
    painted = paint(image, MASK, 0).x
    np.testing.assert_allclose(painted[MASK == 1], 1, atol=0.02)
    # There growth / 16 pixels = weight * 2 * change / 16: a change of .05.
    np.testing.assert_allclose(painted[MASK == 0], 0.3, atol=0.02)
    # A unit that sees only what is outside has nothing to grow in it.
    np.testing.assert_allclose(paint(image, MASK, 1).x[MASK == 1], 0.25, atol=1e-6)


def test_coarse_is_the_mean_of_blocks_and_enlarged_its_way_back():
    images = np.arange(16.0).reshape(1, 4, 4, 1)
    small = synthesis.coarse(images, 2)
    np.testing.assert_array_equal(small[0, ..., 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(synthesis.coarse(synthesis.enlarged(small, 2), 2), small)


@pytest.mark.parametrize("grain", [1, 2])
def test_seeds_have_the_mean_and_the_covariance_of_the_class(grain):
    rng = np.random.default_rng(0)
    images = 0.5 + 0.05 * rng.standard_normal((50, 4, 4, 1))
    images[:, :2] += 0.1 * rng.standard_normal((50, 1, 1, 1))
    drawn = synthesis.coarse(synthesis.seeds(images, 20_000, grain, rng), grain)
    small = synthesis.coarse(images, grain).reshape(50, -1)
    expected = np.cov(small.T, bias=True) + 1e-4 * np.eye(small.shape[1])
    np.testing.assert_allclose(drawn.reshape(len(drawn), -1).mean(0), small.mean(0), atol=5e-3)
    np.testing.assert_allclose(np.cov(drawn.reshape(len(drawn), -1).T), expected, atol=1e-3)
    assert drawn.dtype == np.float32 and drawn.min() >= 0 and drawn.max() <= 1


def test_a_sketch_is_dark_where_the_image_changes():
    image = np.zeros((1, 8, 8, 3), np.float32)
    image[:, :, 4:] = 1
    sketch = synthesis.sketches(image)
    np.testing.assert_array_equal(sketch[0, :, 3], 0)
    assert sketch.sum() == sketch.size - 8 * 3
    assert sketch.dtype == np.float32
