"""A Gaussian of latents has exactly their mean and covariance; what is drawn has nearly."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax.core import gaussian


@pytest.mark.parametrize(("n", "d"), [(50, 3), (4, 10)])
def test_mean_and_covariance_are_those_of_the_latents(float64, n, d):
    rng = np.random.default_rng(0)
    latents = 2 + rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    fitted = gaussian.fit(jnp.asarray(latents))
    np.testing.assert_allclose(fitted.mean, latents.mean(0), rtol=1e-12)
    covariance = fitted.root.T @ fitted.root
    np.testing.assert_allclose(covariance, np.cov(latents.T), rtol=1e-10, atol=1e-10)


def test_draws_have_them_too():
    reference = gaussian.Gaussian(jnp.array([1.0, -2.0, 0.0]), jnp.array([[2.0, 1.0, 0.0]]))
    keys = jax.random.split(jax.random.key(0), 20_000)
    drawn = np.asarray(jax.vmap(partial(gaussian.draw, reference))(keys))
    np.testing.assert_allclose(drawn.mean(0), reference.mean, atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), [[4, 2, 0], [2, 1, 0], [0, 0, 0]], atol=0.1)
