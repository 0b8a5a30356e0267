"""Strict by default: two CPU devices, no silent rank promotion, warnings are errors."""

import os
from pathlib import Path

# Before jax starts its backend: two fake devices, so every data-parallel test is a real one; and
# programs optimized a little only, since most of a test is their compilation.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = " ".join(
    (
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=2",
        "--xla_backend_optimization_level=1",
    )
)
# One cache of compiled programs for both workers, and for the processes that tests start.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache/programs")
os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**30)

import jax
import pytest

from rrjax import cli

cli.enable_compilation_cache()
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def float64():
    """Run one test in float64, where two implementations can be compared tightly."""
    with jax.enable_x64(True):
        yield
