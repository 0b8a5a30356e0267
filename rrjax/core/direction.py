"""Directions of arrays of any scale, such as gradients of 1e-30, whose squares are 0 in float32."""

import jax
import jax.numpy as jnp


def unit(x: jax.Array) -> jax.Array:
    """Return an array divided by its l2 norm; zeros, which point nowhere, stay zeros."""
    scaled = _scaled(x)
    return scaled / _root(jnp.sum(scaled**2))


def cosine(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return the cosine between two arrays of one shape; 0 where either is all zeros."""
    a, b = _scaled(a), _scaled(b)
    return jnp.sum(a * b) / _root(jnp.sum(a**2) * jnp.sum(b**2))


def correlation(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return Pearson's correlation of two arrays of one shape; 0 where either is constant."""
    return cosine(_centered(a), _centered(b))


def _scaled(x: jax.Array) -> jax.Array:
    """Divide an array by its largest absolute value, if it has one."""
    largest = jnp.max(jnp.abs(x))
    return x / jnp.where(largest > 0, largest, 1)


def _root(square: jax.Array) -> jax.Array:
    """Return the square root of a sum of squares, or 1 where it is 0, which has no gradient."""
    return jnp.sqrt(jnp.where(square > 0, square, 1))


def _centered(x: jax.Array) -> jax.Array:
    # The mean of equal numbers is off by its rounding, which would become a direction.
    return jnp.where(jnp.ptp(x) > 0, x - jnp.mean(x), 0)
