"""PyTorch's names and layouts for flax's variables, and its wrappers' prefixes, without PyTorch.

A module path maps mechanically: `params/layer1_0/downsample_1/scale` is
`layer1.0.downsample.1.weight`. Models flatten in torch's order, so a layout is a transpose.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from rrjax.errors import BadInput

_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# flax's axes in torch's order, by rank: (in, out) to (out, in), HWIO to OIHW.
_TO_TORCH = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
_MOST_CHANNELS = 16
# The last Linear of AlexNet in torchvision, and in robustness.
_ALEXNET_HEAD = ("classifier.6.", "last_layer.")
# Where wrappers keep the data set's statistics: MadryLab/robustness, RobustBench.
_STATISTICS = (("normalizer.new_mean", "normalizer.new_std"), ("mu", "sigma"))


class Unwrapped(NamedTuple):
    """A network's state dict by its own names; mean and std are None if the wrapper has none."""

    state: dict[str, np.ndarray]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


def unwrap(state: dict[str, np.ndarray]) -> Unwrapped:
    """Remove from a state dict the prefixes and keys that torch's wrappers add.

    DataParallel's `module.`; of MadryLab/robustness `model.`, `normalizer.*`, `attacker.*` (the
    same tensors again) and its AlexNet's last name; the second `model.` of robust-models-transfer;
    RobustBench's mu and sigma.

    Raises:
      BadInput: if two keys become one.
    """
    bare = _renamed(state, lambda name: name.removeprefix("module."))
    bare = {name: value for name, value in bare.items() if not name.startswith("attacker.")}
    mean = std = None
    for means, stds in _STATISTICS:
        if means in bare and stds in bare:
            mean, std = (
                tuple(bare.pop(name).flat[:_MOST_CHANNELS].astype(float).tolist())
                for name in (means, stds)
            )
    while bare and all(name.startswith("model.") for name in bare):
        bare = _renamed(bare, lambda name: name.removeprefix("model."))
    of_torchvision, of_robustness = _ALEXNET_HEAD
    bare = _renamed(bare, lambda name: name.replace(of_robustness, of_torchvision))
    return Unwrapped(bare, mean, std)


def _renamed(state: dict[str, np.ndarray], rename: Callable[[str], str]) -> dict[str, np.ndarray]:
    named = {}
    for name in state:
        other = named.setdefault(rename(name), name)
        if other != name:
            raise BadInput(f"state dict keys {other} and {name}: which one is meant?")
    return {new: state[old] for new, old in named.items()}


def wrap(state: dict[str, np.ndarray], model: ConfigDict) -> dict[str, np.ndarray]:
    """Name a network's state dict as a DataParallel of robustness' AttackerModel does.

    The `attacker.*` half is the same arrays.

    Args:
      state: a state dict of torchvision's names.
      model: the config's, with name, mean and std.
    """
    if model.name == "alexnet":
        state = {name.replace(*_ALEXNET_HEAD): value for name, value in state.items()}
    statistics = {
        f"new_{name}": np.asarray(values, np.float32).reshape(-1, 1, 1)
        for name, values in (("mean", model.mean), ("std", model.std))
    }
    return {
        f"module.{level}{name}": value
        for part, levels in (
            (statistics, ("normalizer.", "attacker.normalize.")),
            (state, ("model.", "attacker.model.")),
        )
        for level in levels
        for name, value in part.items()
    }


def from_state_dict(state: dict[str, np.ndarray], variables: Any) -> dict[str, Any]:
    """Return variables of the template's tree, shapes and dtypes with a state dict's values.

    Args:
      state: a dict of torch names to arrays; `num_batches_tracked` may be there or not.
      variables: a model's variables, or their shapes alone (`jax.eval_shape`).

    Raises:
      BadInput: for a key that is missing, unexpected or of another shape.
    """
    leaves = flatten_dict(variables)
    paths = {_name(path): path for path in leaves}
    expected = shapes(variables)
    stored = {
        name: np.shape(value)
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }
    wrong = [n for n in {**stored, **expected} if expected.get(n) != stored.get(n)]
    if wrong:
        name = wrong[0]
        raise BadInput(
            f"state dict key {name}: the model has {expected.get(name, 'no such key')}, the state "
            f"dict {stored.get(name, 'no such key')} ({len(wrong)} such keys in all)"
        )
    return unflatten_dict(
        {path: _to_flax(state[name], leaves[path]) for name, path in paths.items()}
    )


def to_state_dict(variables: Any) -> dict[str, np.ndarray]:
    """Return a dict of torch names to numpy arrays in torch's layout: `from_state_dict`'s inverse.

    `num_batches_tracked` is left out: torch's load_state_dict fills it in by itself.
    """
    return {
        _name(path): np.transpose(np.asarray(leaf), _TO_TORCH[leaf.ndim])
        for path, leaf in flatten_dict(variables).items()
    }


def shapes(variables: Any) -> dict[str, tuple[int, ...]]:
    """Return a dict of torch names to the shapes that torch has there."""
    return {_name(path): _torch_shape(leaf) for path, leaf in flatten_dict(variables).items()}


def _name(path: tuple[str, ...]) -> str:
    _, *modules, leaf = path
    return ".".join([*(re.sub(r"_(\d+)$", r".\1", name) for name in modules), _LEAVES[leaf]])


def _torch_shape(leaf: Any) -> tuple[int, ...]:
    return tuple(leaf.shape[axis] for axis in _TO_TORCH[len(leaf.shape)])


def _to_flax(value: np.ndarray, leaf: Any) -> jax.Array:
    # jnp.array copies: on a CPU jnp.asarray may share, and later follow, the caller's memory.
    return jnp.array(np.transpose(value, np.argsort(_TO_TORCH[len(leaf.shape)])), leaf.dtype)
