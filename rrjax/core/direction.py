"""Directions of arrays of any scale, such as gradients of 1e-30, whose squares are 0 in float32."""

import jax
import jax.numpy as jnp


def unit(x: jax.Array) -> jax.Array:
    """Return an array divided by its l2 norm; zeros, which point nowhere, stay zeros."""
    largest = jnp.max(jnp.abs(x))
    scaled = x / jnp.where(largest > 0, largest, 1)
    square = jnp.sum(scaled**2)
    return scaled / jnp.sqrt(jnp.where(square > 0, square, 1))


def cosine(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return the cosine between two arrays of one shape; 0 where either is all zeros."""
    return jnp.sum(unit(a) * unit(b))


def correlation(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return Pearson's correlation of two arrays of one shape; 0 where either is constant."""
    return cosine(_centered(a), _centered(b))


def _centered(x: jax.Array) -> jax.Array:
    # The mean of equal numbers is off by its rounding, which would become a direction.
    return jnp.where(jnp.ptp(x) > 0, x - jnp.mean(x), 0)
