"""A Gaussian of latents, with exactly their mean and covariance, and draws from it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Gaussian(NamedTuple):
    """A normal distribution: mean (d,), and root (k, d) with root.T @ root the covariance."""

    mean: jax.Array
    root: jax.Array


def fit(latents: jax.Array) -> Gaussian:
    """Take the mean and the covariance, by n - 1, of latents (n, d), n of 2 or more.

    With fewer latents than dimensions it lies in their span.
    """
    mean = latents.mean(0)
    root = jnp.linalg.qr(latents - mean[None], mode="r")
    return Gaussian(mean, root / jnp.sqrt(len(latents) - 1.0))


def draw(gaussian: Gaussian, key: jax.Array) -> jax.Array:
    """Draw one latent (d,)."""
    normal = jax.random.normal(key, gaussian.root.shape[:1], gaussian.root.dtype)
    return gaussian.mean + jnp.matmul(normal, gaussian.root, precision=lax.Precision.HIGHEST)
