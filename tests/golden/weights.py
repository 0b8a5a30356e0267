"""Weights for the golden models, drawn from names and shapes alone, so both sides agree."""

import numpy as np

# The small networks, by the names of torchvision's arguments, which are the modules' fields.
# MNASNet's depths are those of its alpha of 0.25.
WIDTH = 16  # channels of ResNeXt's and the wide ResNets' first stage, in place of 64
SMALL = {
    "densenet161": {"growth_rate": 8, "block_config": (2, 3, 2, 1), "num_init_features": 12},
    "mobilenet_v2": {
        "inverted_residual_setting": ((1, 8, 1, 1), (6, 16, 2, 2), (6, 24, 2, 2), (3, 32, 2, 1)),
    },
    "shufflenet_v2_x1_0": {
        "stages_repeats": (2, 1, 2),
        "stages_out_channels": (8, 16, 24, 32, 48),
    },
    "mnasnet1_0": {"depths": (8, 8, 8, 16, 24, 24, 48, 80)},
}


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
