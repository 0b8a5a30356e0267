"""Strict by default: two CPU devices, no silent rank promotion, warnings are errors."""

import os

# Before jax starts its backend: two fake devices, so every data-parallel test is a real one.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def float64():
    """Run one test in float64, where two implementations can be compared tightly."""
    with jax.enable_x64(True):
        yield
