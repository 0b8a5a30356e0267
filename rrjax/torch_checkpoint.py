"""PyTorch's names and layouts for our variables, without PyTorch.

A module path maps mechanically: `params/layer1_0/downsample_1/scale` is
`layer1.0.downsample.1.weight`. Models flatten in torch's order, so a layout is a transpose.
"""

import re

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from rrjax.errors import BadInput

_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# Our axes in torch's order, by rank: (in, out) to (out, in), HWIO to OIHW.
_TO_TORCH = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}


def from_state_dict(state, variables):
    """Return variables of the template's tree, shapes and dtypes with a state dict's values.

    state: a dict of torch names to arrays; `num_batches_tracked` may be there or not.
    variables: a model's variables, or their shapes alone (`jax.eval_shape`).
    Raises BadInput for a key that is missing, unexpected or of another shape.
    """
    paths = {_name(path): path for path in flatten_dict(variables)}
    leaves = flatten_dict(variables)
    ours = {name: _torch_shape(leaves[path]) for name, path in paths.items()}
    theirs = {
        name: np.shape(value)
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }
    wrong = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    if wrong:
        name = wrong[0]
        raise BadInput(
            f"state dict key {name}: the model has {ours.get(name, 'no such key')}, the state dict "
            f"{theirs.get(name, 'no such key')} ({len(wrong)} such keys in all)"
        )
    return unflatten_dict({path: _ours(state[name], leaves[path]) for name, path in paths.items()})


def to_state_dict(variables):
    """Return a dict of torch names to numpy arrays in torch's layout: `from_state_dict`'s inverse.

    `num_batches_tracked` is left out: torch's load_state_dict fills it in by itself.
    """
    return {
        _name(path): np.transpose(leaf, _TO_TORCH[leaf.ndim])
        for path, leaf in flatten_dict(variables).items()
    }


def _name(path):
    _, *modules, leaf = path
    return ".".join([*(re.sub(r"_(\d+)$", r".\1", name) for name in modules), _LEAVES[leaf]])


def _torch_shape(leaf):
    return tuple(leaf.shape[axis] for axis in _TO_TORCH[len(leaf.shape)])


def _ours(value, leaf):
    # jnp.array copies: on a CPU jnp.asarray may share, and later follow, the caller's memory.
    return jnp.array(np.transpose(value, np.argsort(_TO_TORCH[len(leaf.shape)])), leaf.dtype)
