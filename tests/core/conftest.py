"""The mathematics mixes no dtypes. (Libraries do: optax counts, flax's BN in bfloat16, dm_pix.)"""

import jax
import pytest


@pytest.fixture(autouse=True)
def strict_promotion():
    """Raise where two dtypes meet and neither was asked for."""
    with jax.numpy_dtype_promotion("strict"):
        yield
