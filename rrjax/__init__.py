"""Adversarially robust representations in JAX/Flax: train, invert, measure.

The small public API, for notebooks; every command's room can be imported as well.
"""

from rrjax.core.pgd import l2_ball, linf_ball, pgd
from rrjax.core.representation import interpolate, invert, manipulate, visualize
from rrjax.errors import BadInput

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
    # Orbax takes seconds to import, and only these need it.
    if name not in ("load", "models_available"):
        raise AttributeError(f"module 'rrjax' has no attribute {name!r}")
    from rrjax import runs
    from rrjax.runs import pretrained

    return {"load": runs.load, "models_available": pretrained.models_available}[name]
