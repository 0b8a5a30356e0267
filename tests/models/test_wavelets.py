"""The Haar transform is orthonormal, and its bands are the four its letters say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax.models import wavelets

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(2, 2, 1), (6, 4, 3), (8, 10, 5)])
def test_an_even_map_comes_back_and_so_do_bands(shape, float64):
    x = jnp.asarray(RNG.standard_normal(shape))
    bands = wavelets.pool(x)
    assert bands.shape == (4, shape[0] // 2, shape[1] // 2, shape[2])
    np.testing.assert_allclose(wavelets.unpool(bands), x, atol=1e-14)
    np.testing.assert_allclose(wavelets.pool(wavelets.unpool(bands)), bands, atol=1e-14)


def test_angles_and_energy_are_kept(float64):
    x, y = jnp.asarray(RNG.standard_normal((2, 6, 8, 3)))
    a, b = wavelets.pool(x), wavelets.pool(y)
    np.testing.assert_allclose(jnp.vdot(a, b), jnp.vdot(x, y), rtol=1e-12)
    np.testing.assert_allclose(jnp.vdot(a, a), jnp.vdot(x, x), rtol=1e-12)


@pytest.mark.parametrize(
    ("block", "bands"),
    [
        ([[1, 1], [1, 1]], [2, 0, 0, 0]),
        ([[0, 1], [0, 1]], [1, 1, 0, 0]),
        ([[0, 0], [1, 1]], [1, 0, 1, 0]),
        ([[1, 0], [0, 1]], [1, 0, 0, 1]),
    ],
)
def test_bands_of_one_block(block, bands):
    x = jnp.array(block, jnp.float32)[..., None]
    np.testing.assert_allclose(wavelets.pool(x).ravel(), bands, atol=1e-6)


def test_an_odd_last_row_and_column_are_left_out():
    x = jnp.asarray(RNG.standard_normal((5, 7, 2)), jnp.float32)
    np.testing.assert_array_equal(wavelets.pool(x), wavelets.pool(x[:4, :6]))


def test_bfloat16_stays_bfloat16():
    x = jax.ShapeDtypeStruct((4, 4, 2), jnp.bfloat16)
    bands = jax.eval_shape(wavelets.pool, x)
    assert bands.dtype == jax.eval_shape(wavelets.unpool, bands).dtype == jnp.bfloat16
