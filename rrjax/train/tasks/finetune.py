"""Start from another run's network: everything but a head of another class count is taken."""

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from rrjax import BadInput, models, runs
from rrjax.runs import checkpoints

# What changes no array but the head; the other fields of `model` are the network's.
MAY_DIFFER = ("classes", "dtype", "param_dtype", "sync_batch_norm")


def source(config: ConfigDict, workdir: str | Path) -> Any | None:
    """Load the variables that a run starts from; None if from none, or once it has a checkpoint.

    So a run that is resumed needs its source no more.

    Raises:
      BadInput: if `config.start_from` is no run folder, or one of another network.
    """
    if not config.start_from or checkpoints.has_checkpoint(workdir):
        return None
    network = runs.load(config.start_from)
    for field in sorted(set(config.model) - set(MAY_DIFFER)):
        here, there = (_plain(model[field]) for model in (config.model, network.config.model))
        if here != there:
            raise BadInput(
                f"start_from={config.start_from}: its model.{field} is {there!r}, "
                f"here {here!r}: set --config.model.{field} to it"
            )
    return network.variables


def graft(model: nn.Module, image_shape: tuple[int, ...], fresh: Any, source: Any) -> Any:
    """Return `fresh` variables with every array of `source`; a head of another shape stays fresh.

    The head is what changes its shape with the number of classes: the layer of the logits.

    Raises:
      BadInput: naming the first other array whose shape differs.
    """
    fresh, source = flatten_dict(fresh, sep="/"), flatten_dict(source, sep="/")
    same = all(path in source and source[path].shape == x.shape for path, x in fresh.items())
    head = set() if same else _head(model, image_shape)
    variables = {}
    for path, array in fresh.items():
        shape = source[path].shape if path in source else "missing"
        if shape == array.shape:
            # A copy: the loop donates the state, and `source` is another's.
            variables[path] = jnp.array(source[path], array.dtype, copy=True)
        elif path in head:
            variables[path] = array
        else:
            raise BadInput(
                f"start_from: {path} is {shape} there and {array.shape} here: give the same "
                "--config.model and --config.data.image_size"
            )
    return unflatten_dict(variables, sep="/")


def _head(model: nn.Module, image_shape: tuple[int, ...]) -> set[str]:
    """Return the paths of the arrays whose shape depends on the number of classes."""

    def shapes(model):
        arrays = jax.eval_shape(lambda: models.init(model, jax.random.key(0), image_shape))
        return {path: array.shape for path, array in flatten_dict(arrays, sep="/").items()}

    own, one_more = shapes(model), shapes(model.clone(classes=model.classes + 1))
    return {path for path, shape in own.items() if shape != one_more[path]}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value
