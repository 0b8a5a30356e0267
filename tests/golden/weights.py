"""Weights for the golden models, drawn from names and shapes alone, so both sides agree."""

import numpy as np


def draw(shapes, seed=0):
    """Draw a state dict (name to float32 array) in name order from one generator.

    Scaled so that activations stay O(1) through fifty layers; running_var and BatchNorm's scale
    are positive. float64 holds the values exactly.
    """
    rng = np.random.default_rng(seed)
    return {name: _draw(rng, name, shapes[name]) for name in sorted(shapes)}


def _draw(rng, name, shape):
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    normal = rng.standard_normal(shape, np.float32)
    if name.endswith("running_var"):
        return np.float32(0.5) + np.abs(normal)
    if name.endswith("weight") and len(shape) == 1:
        return np.float32(0.5) * (1 + np.abs(normal))
    if len(shape) == 1:
        return np.float32(0.1) * normal
    return np.float32(np.sqrt(2 / np.prod(shape[1:]))) * normal
