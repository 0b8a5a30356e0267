"""A linen module of a user's own, among the classifiers: config.model.module names it."""

import importlib
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rrjax import BadInput
from rrjax.models import layers


class Own(nn.Module):
    """Map float (N, H, W, C) images in [0, 1] to the (logits, reps) of a module of the user's.

    make: its class, whose call is (images, train) -> (logits, reps). Of the fields here it gets
    those that it has. Unless it has `mean` and `std` its images are standardized.
    """

    make: type[nn.Module]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    last_act: Callable = layers.relu
    norm: Callable = layers.batch_norm

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return logits (N, classes) and reps."""
        has = self.make.__dataclass_fields__
        fields = {
            name: getattr(self, name)
            for name in ("classes", "mean", "std", "dtype", "param_dtype", "last_act", "norm")
            if name in has
        }
        if not {"mean", "std"} <= has.keys():
            images = layers.normalize(images, self.mean, self.std, self.dtype)
        logits, reps = _checked(self.make(**fields, name="net")(images, train), self.classes)
        return layers.at_least_float32(logits), reps


def _checked(outputs: Any, classes: int) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the outputs of a module of the user's.

    Raises:
      BadInput: unless they are (logits, reps).
    """
    pair = isinstance(outputs, tuple) and len(outputs) == 2 and isinstance(outputs[1], dict)
    logits, reps = outputs if pair else (None, {})
    representation = reps.get("representation")
    if logits is None or representation is None or representation.ndim != 2:
        raise BadInput(
            "its outputs are not (logits, reps): return logits (N, classes) and a dict of stages, "
            'in which "representation" is R(x), (N, D)'
        )
    if logits.ndim != 2 or logits.shape[1] != classes:
        raise BadInput(
            f"its logits have the shape {logits.shape}, and there are {classes} classes: give it a "
            "field `classes`, or set --config.model.classes"
        )
    return logits, reps


def find(address: str) -> type[nn.Module]:
    """Return the linen module, a class, that config.model.module names.

    Raises:
      BadInput: if it cannot be imported, or is no such class.
    """
    module = imported(address, "Net")
    if not (isinstance(module, type) and issubclass(module, nn.Module)):
        raise BadInput(
            f"model.module={address}: a {type(module).__name__}: give the name of a class that is "
            "a flax.linen.Module"
        )
    return module


def check(model: Own, address: str, image_shape: tuple[int, int, int]) -> None:
    """Try a module on the shape of an image (H, W, C), in training and without.

    Raises:
      BadInput: unless it takes (images, train) and returns (logits, reps).
    """
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    for train in (False, True):
        try:
            jax.eval_shape(lambda x, train=train: model.init(keys, x, train), image)
        except Exception as error:  # whatever a program of the user's raises
            line = " ".join(str(error).split())[:300]
            kind = "" if isinstance(error, BadInput) else f"{type(error).__name__}: "
            raise BadInput(
                f"model.module={address}, called with images {image.shape} and train={train}: "
                f"{kind}{line}"
            ) from error


def imported(address: str, example: str) -> Any:
    """Return the object that "package.file:NAME" names.

    example: a NAME, for the message.

    Raises:
      BadInput: if there is none, or its file cannot be imported.
    """
    file, _, name = address.partition(":")
    if not file or not name:
        raise BadInput(f"{address!r}: give package.file:NAME, as mynets:{example}")
    try:
        module = importlib.import_module(file)
    except Exception as error:  # whatever a program of the user's raises
        line = " ".join(str(error).split())[:300]
        raise BadInput(
            f"{address}: {file} cannot be imported ({type(error).__name__}: {line}): start in the "
            "folder that it lies in, or put that folder into PYTHONPATH"
        ) from error
    if not hasattr(module, name):
        names = [each for each in vars(module) if not each.startswith("_")]
        raise BadInput(f"{address}: {file} has no {name}: it has {', '.join(names[:20])}")
    return getattr(module, name)
