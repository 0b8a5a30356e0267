"""Directions do not depend on scale, and zeros have none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax.core import direction, manifold
from rrjax.core.pgd import l2_step, pgd, unit_cube
from rrjax.evaluate import interpretability

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 6, 5, 1)).astype(np.float32)
TINY = np.float32(1e-30)  # its square is 0 in float32


@pytest.mark.parametrize("scale", [TINY, 1, 1e30])
def test_a_unit_vector_has_length_one_whatever_the_scale(scale):
    np.testing.assert_allclose(direction.unit(A * scale), A / np.linalg.norm(A), rtol=1e-5)
    np.testing.assert_allclose(direction.cosine(A * scale, B), direction.cosine(A, B), rtol=1e-4)


def test_zeros_and_constants_have_no_direction():
    zeros, constant = np.zeros_like(A), np.full_like(A, 0.3)
    np.testing.assert_array_equal(direction.unit(zeros), zeros)
    assert direction.cosine(A, zeros) == 0
    assert direction.correlation(A, constant) == 0 == direction.correlation(constant, constant)
    assert interpretability.cosine(zeros, zeros) == 0 == interpretability.alignment(A, zeros)


def test_the_gradient_at_zeros_is_a_number():
    gradient = jax.grad(lambda x: direction.cosine(x, A))(np.zeros_like(A))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("scale", [1e-8, TINY])
def test_an_l2_step_has_its_length_however_small_the_gradient(scale):
    start = jnp.full(A.shape, 0.5)
    moved = pgd(
        lambda x: scale * jnp.sum(A * x), start, project=unit_cube, step=l2_step(0.1), steps=1
    ).last
    np.testing.assert_allclose(jnp.linalg.norm(moved - start), 0.1, rtol=1e-5)


def test_scores_of_a_gradient_do_not_depend_on_its_scale():
    basis = np.linalg.qr(RNG.normal(size=(30, 7)))[0].astype(np.float32)
    energies = [manifold.tangential_energy(A * scale, basis) for scale in (TINY, 1)]
    np.testing.assert_allclose(*energies, rtol=1e-4)
    alignments = [interpretability.alignment(B, A * scale) for scale in (TINY, 1)]
    np.testing.assert_allclose(*alignments, rtol=1e-4)
    sensitivities = [
        interpretability.max_sensitivity(
            lambda x, scale=scale: scale * x**2, jnp.abs(A), jax.random.key(0), n=2, radius=0.1
        )
        for scale in (TINY, 1)
    ]
    np.testing.assert_allclose(*sensitivities, rtol=1e-4)
