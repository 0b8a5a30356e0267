"""Adversarially robust representations in JAX/Flax: train, invert, measure.

The small public API, for notebooks; every command's room can be imported as well.
"""

from rrjax.errors import BadInput
from rrjax.pgd import l2_ball, linf_ball, pgd
from rrjax.pretrained import models_available
from rrjax.representation import interpolate, invert, manipulate, visualize

__all__ = [
    "BadInput",
    "interpolate",
    "invert",
    "l2_ball",
    "linf_ball",
    "load",
    "manipulate",
    "models_available",
    "pgd",
    "visualize",
]


def __getattr__(name: str):
    # Orbax takes seconds to import, and only `load` needs it.
    if name != "load":
        raise AttributeError(f"module 'rrjax' has no attribute {name!r}")
    from rrjax.runs import load

    return load
