"""Start from another run's network: everything but a head of another class count is taken."""

from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from rrjax import models, runs
from rrjax.errors import BadInput
from rrjax.runs import checkpoints

MAY_DIFFER = ("classes", "dtype", "param_dtype")  # the other fields of `model` are the network's


def source(config, workdir: str) -> Any | None:
    """Load the variables that a run starts from; None if from none, or once it has a checkpoint.

    So a run that goes on needs its source no more.

    Raises:
      BadInput: if `config.start_from` is no run folder, or one of another network.
    """
    if not config.start_from or checkpoints.has_checkpoint(workdir):
        return None
    network = runs.load(config.start_from)
    ours, theirs = config.model, network.config.model
    for field in sorted(set(ours) - set(MAY_DIFFER)):
        if _plain(ours[field]) != _plain(theirs[field]):
            raise BadInput(
                f"start_from={config.start_from}: its model.{field} is {_plain(theirs[field])!r}, "
                f"here {_plain(ours[field])!r}: set --config.model.{field} to it"
            )
    return network.variables


def graft(model, image_shape: tuple[int, ...], fresh: Any, found: Any) -> Any:
    """Return `fresh` variables with every array of `found`; a head of another shape stays fresh.

    The head is what changes its shape with the number of classes: the layer of the logits.

    Raises:
      BadInput: naming the first other array whose shape differs.
    """
    head = _head(model, image_shape)
    fresh, found = flatten_dict(fresh, sep="/"), flatten_dict(found, sep="/")
    taken = {}
    for path, array in fresh.items():
        shape = found[path].shape if path in found else "missing"
        if shape == array.shape:
            # A copy: the loop donates the state, and `found` is another's.
            taken[path] = jnp.array(found[path], array.dtype, copy=True)
        elif path in head:
            taken[path] = array
        else:
            raise BadInput(
                f"start_from: {path} is {shape} there and {array.shape} here: give the same "
                "--config.model and --config.data.image_size"
            )
    return unflatten_dict(taken, sep="/")


def _head(model, image_shape) -> set[str]:
    """Return the paths of the arrays whose shape depends on the number of classes."""
    ours, more = (
        flatten_dict(
            jax.eval_shape(lambda m=m: models.init(m, jax.random.key(0), image_shape)), sep="/"
        )
        for m in (model, model.clone(classes=model.classes + 1))
    )
    return {path for path, array in ours.items() if array.shape != more[path].shape}


def _plain(value):
    return list(value) if isinstance(value, tuple | list) else value
