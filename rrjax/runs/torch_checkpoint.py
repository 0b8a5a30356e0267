"""PyTorch's names and layouts for flax's variables, and its wrappers' prefixes, without PyTorch.

A module path maps mechanically: `params/layer1_0/downsample_1/scale` is
`layer1.0.downsample.1.weight`, `params/features_0_0/kernel` is `features.0.0.weight`. Models
flatten in torch's order, so a layout is a transpose.
"""

import itertools
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from rrjax import BadInput
from rrjax.runs import torch_files

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
# A dense layer's parts in the weights that torchvision hands out: `norm.1` for `norm1`.
_DENSE_PART = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
# Wrappers' names, which no network has: DataParallel, AveragedModel; torch.compile; FSDP.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# What trainers call the network in them.
_OWNERS = {"model", "net", "network", "backbone"}
# What normalizing layers call their two tensors: MadryLab/robustness, RobustBench, and others.
_STATISTICS = {
    "new_mean": "new_std",
    "mu": "sigma",
    "mean": "std",
    "_mean": "_std",
    "means": "stds",
}
# Parts that no image goes through: losses, counts, and a stage that TRADES' WideResNet never calls.
_UNUSED = {"criterion", "loss", "loss_fn", "sub_block1", "num_batches_tracked", "n_averaged"}


class Unwrapped(NamedTuple):
    """A network's state dict by its own names.

    mean, std: of the normalizing layer in front, None without one. name: what the file calls the
    network, "raw" if nothing. aside: the keys that were left aside.
    """

    state: dict[str, np.ndarray]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    name: str
    aside: list[str]


def unwrap(
    state: dict[str, np.ndarray],
    names: Collection[str],
    weights: str = "",
    aside: Collection[str] = (),
) -> Unwrapped:
    """Choose a network's keys in a state dict, without the prefixes that torch's wrappers add.

    Any prefix is recognized by what follows it, if all of `names` do. Copies with the same numbers,
    as `attacker.model.` in MadryLab/robustness, are one network. Keys that belong to nothing
    stay in the state dict, for an error.

    Args:
      state: a file's.
      names: the network's own keys, in torch's names.
      weights: which network, where the state dict has several (`torch_files.choose`).
      aside: parts of it to leave aside, by the beginnings of their keys.

    Raises:
      BadInput: if two keys become one, for several networks, or for two normalizing layers.
    """
    named = bare(state)
    prefixes = _complete(named, names)
    if not prefixes:
        loose = {_without_owners(name): value for name, value in named.items()}
        if len(loose) == len(named) and _complete(loose, names):
            named, prefixes = loose, [""]
    if not prefixes:  # another network: what fits best shall be named
        prefixes = [max(_prefixes(named, names), key=lambda prefix: _count(named, names, prefix))]
    networks = {prefix.rstrip(".") or "raw": prefix for prefix in _distinct(named, names, prefixes)}
    name = torch_files.choose(weights, networks) if len(networks) > 1 else next(iter(networks))
    prefix = networks[name]
    others = {other + own for other in prefixes if other != prefix for own in names}
    rest = [key for key in named if key not in others and key.removeprefix(prefix) not in names]
    mean, std, used = _statistics(named, rest)
    left = [key for key in rest if _is_aside(key, {*aside, *(prefix + part for part in aside)})]
    state = {
        key.removeprefix(prefix): value
        for key, value in named.items()
        if key not in others and key not in used and key not in left
    }
    reported = [key for key in left if not key.endswith(("num_batches_tracked", "n_averaged"))]
    return Unwrapped(state, mean, std, name, reported)


def bare(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a state dict without the names of wrappers that no network has, as `module.`.

    Raises:
      BadInput: if two keys become one.
    """
    return _renamed(state, _without_wrappers)


def _without_wrappers(name: str) -> str:
    name = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
    of_torchvision, of_robustness = _ALEXNET_HEAD
    return _DENSE_PART.sub(r"\1\2.", name.replace(of_robustness, of_torchvision))


def _without_owners(name: str) -> str:
    parts = name.split(".")
    return ".".join(itertools.dropwhile(_OWNERS.__contains__, parts))


def _prefixes(state: Collection[str], names: Collection[str]) -> list[str]:
    """Return what comes before the first and the last of the names, and "", the shortest first."""
    ends = {min(names), max(names)}
    before = {key.removesuffix(end) for key in state for end in ends if key.endswith(f".{end}")}
    return sorted({"", *before}, key=lambda prefix: (len(prefix), prefix))


def _count(state: Collection[str], names: Collection[str], prefix: str) -> int:
    return sum(prefix + name in state for name in names)


def _complete(state: Collection[str], names: Collection[str]) -> list[str]:
    return [p for p in _prefixes(state, names) if _count(state, names, p) == len(names)]


def _distinct(
    state: dict[str, np.ndarray], names: Collection[str], prefixes: list[str]
) -> list[str]:
    """Return the prefixes of networks that differ in a number."""
    distinct: list[str] = []
    for prefix in prefixes:
        if not any(
            all(_same(state.get(prefix + n), state.get(first + n)) for n in names)
            for first in distinct
        ):
            distinct.append(prefix)
    return distinct


def _same(x: np.ndarray | None, y: np.ndarray | None) -> bool:
    if x is None or y is None:
        return x is y
    return x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()


def _statistics(
    state: dict[str, np.ndarray], keys: Collection[str]
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None, set[str]]:
    """Return the mean and std among keys that are not the network's, and the keys of both."""
    pairs = {}
    for key in keys:
        layer, dot, name = key.rpartition(".")
        partner = layer + dot + _STATISTICS.get(name, "")
        if name in _STATISTICS and partner in keys:
            pairs[key, partner] = tuple(
                tuple(state[k].flat[:_MOST_CHANNELS].astype(float).tolist()) for k in (key, partner)
            )
    if len(set(pairs.values())) > 1:
        raise BadInput(f"several normalizations, {', '.join(key for key, _ in pairs)}")
    mean, std = next(iter(pairs.values()), (None, None))
    return mean, std, {key for pair in pairs for key in pair}


def _is_aside(key: str, aside: Collection[str]) -> bool:
    return not _UNUSED.isdisjoint(key.split(".")) or any(
        key == part or key.startswith(f"{part}.") for part in aside
    )


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
    if wrong := difference(state, shapes(variables)):
        raise BadInput(wrong)
    return unflatten_dict(
        {path: _to_flax(state[name], leaves[path]) for name, path in paths.items()}
    )


def difference(state: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]]) -> str:
    """Say in which key, first of all, a state dict differs from what is expected; "" in none."""
    stored = {
        name: np.shape(value)
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }
    wrong = [n for n in {**stored, **expected} if expected.get(n) != stored.get(n)]
    if not wrong:
        return ""
    name = wrong[0]
    return (
        f"state dict key {name}: the model has {expected.get(name, 'no such key')}, the state "
        f"dict {stored.get(name, 'no such key')} ({len(wrong)} such keys in all)"
    )


def check_floating(state: dict[str, np.ndarray]) -> None:
    """Check that the weights of a state dict are floating point, of whatever precision.

    Raises:
      BadInput: naming the first key whose numbers are not.
    """
    for name, value in state.items():
        if not name.endswith("num_batches_tracked") and not jnp.issubdtype(
            value.dtype, jnp.floating
        ):
            raise BadInput(f"key {name} holds {value.dtype} numbers: weights are floating point")


def check_finite(variables: Any) -> None:
    """Check that a network's variables are finite and its variances not negative.

    Raises:
      BadInput: naming the first key that holds another number.
    """
    for name, value in to_state_dict(variables).items():
        if not np.isfinite(value).all():
            raise BadInput(f"key {name} holds numbers that are not finite")
        if name.endswith("running_var") and value.min() < 0:
            raise BadInput(f"key {name} holds negative variances")


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
    return ".".join([*map(_dotted, modules), _LEAVES[leaf]])


def _dotted(name: str) -> str:
    return re.sub(r"(_\d+)+$", lambda numbers: numbers[0].replace("_", "."), name)


def _torch_shape(leaf: Any) -> tuple[int, ...]:
    return tuple(leaf.shape[axis] for axis in _TO_TORCH[len(leaf.shape)])


def _to_flax(value: np.ndarray, leaf: Any) -> jax.Array:
    # jnp.array copies: on a CPU jnp.asarray may share, and later follow, the caller's memory.
    return jnp.array(np.transpose(value, np.argsort(_TO_TORCH[len(leaf.shape)])), leaf.dtype)
