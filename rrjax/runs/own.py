"""Networks of one's own: a function, a linen module or an nnx module becomes a frozen network.

>>> import flax.linen as nn, jax, jax.numpy as jnp, rrjax
>>> class Net(nn.Module):
...     @nn.compact
...     def __call__(self, x):
...         x = nn.relu(nn.Conv(8, (3, 3), strides=2, name="conv")(x)).mean((1, 2))
...         return nn.Dense(3, name="head")(nn.relu(nn.Dense(16, name="features")(x)))
>>> variables = Net().init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
>>> network = rrjax.wrap(
...     Net(), variables, image_size=32, classes=("cat", "dog", "eel"),
...     stages={"representation": "features", "conv": "conv"},
... )
>>> network
<Frozen Net, 3 classes, images 32x32x3; trained against: unknown>
>>> network.invert(jnp.full((32, 32, 3), 0.3), steps=2).x.shape
(32, 32, 3)
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from flax.errors import FlaxError
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from rrjax import BadInput
from rrjax.core import devices
from rrjax.models.layers import at_least_float32
from rrjax.models.own import imported as imported_object
from rrjax.runs import defaults, hub
from rrjax.runs.frozen import Frozen

Stages = Mapping[str, str]
# What a model of someone else's raises for images that it does not take.
_UNFIT = (FlaxError, TypeError, ValueError, ZeroDivisionError)


def wrap(
    model: Any,
    variables: Any = None,
    *,
    image_size: int,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    classes: Sequence[str] = (),
    stages: Stages | None = None,
) -> Frozen:
    """Make a frozen network of a model of your own, for every function and study.

    A model maps images (N, H, W, C), which it gets as (pixels - mean) / std, to logits
    (N, classes), or to (logits, reps), reps a dict of its stages by name, (N, ...) each. The stage
    "representation" is R(x), flat; where there are logits alone, they are R(x). Its numbers are
    arguments of what is compiled, never constants in it.

    Args:
      model: a linen module; an nnx module, which is copied and put into eval mode; or a function of
        images, or of (variables, images). A linen module that takes `train` gets False.
      variables: of a linen module, as {"params": ..., "batch_stats": ...}; of a function whatever
        it takes first; of an nnx module none.
      image_size: how many pixels a side its images have.
      mean: one number a channel, of pixels in [0,1]. As it is, the model gets pixels.
      std: likewise.
      classes: their names, by label; empty: numbers.
      stages: of a module that returns logits alone: the names of stages, and of which submodule
        each is the output, by its path, as {"representation": "Dense_0", "block1": "blocks/0"}.

    Raises:
      BadInput: for what is none of these, for outputs that are neither logits nor (logits, reps),
        and for a number of classes or a submodule that it does not have.
    """
    if len(mean) != len(std):
        raise BadInput(f"mean={tuple(mean)}, std={tuple(std)}: give one number a channel each")
    shape = (image_size, image_size, len(mean))
    forward, arrays = _function(model, variables, dict(stages or {}), shape)
    arrays = jax.device_put(arrays, devices.replicated())
    statistics = (tuple(map(float, mean)), tuple(map(float, std)))
    apply = jax.tree_util.Partial(partial(_apply, forward, *statistics), arrays)
    n = _logits(apply, shape)
    if classes and len(classes) != n:
        raise BadInput(f"{len(classes)} classes are named, and the model has {n} logits")
    config = _config(image_size, classes)
    name = type(model).__name__ if isinstance(model, nn.Module | nnx.Module) else _name(model)
    of = ", ".join(f"{stage}: {path}" for stage, path in (stages or {}).items())
    config.model.update(name=name, variant=of, classes=n, mean=statistics[0], std=statistics[1])
    return Frozen(config.lock(), None, arrays, apply, apply)


def _config(image_size: int, classes: Sequence[str]) -> ConfigDict:
    """Make a training's config, unlocked, of a network that was not trained here."""
    config = defaults.get_config().unlock()
    config.data.update(name="folder", image_size=image_size, resize=image_size)
    config.data.update(class_names=tuple(classes), lighting=0.0)  # that is for three channels
    config.attack.eps, config.epochs = 0.0, 0  # how it was trained is not known
    return config


def _name(function: Callable) -> str:
    return getattr(function, "__name__", type(function).__name__)


def is_address(path: str | Path) -> bool:
    """Say whether a text may be "package.file:NAME", an object in a Python file."""
    text = str(path)
    fits = re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", text)
    return bool(fits) and not text.startswith(hub.PREFIX) and not Path(text).exists()


def imported(address: str, dtype: str) -> Frozen:
    """Return the network at an address, "package.file:NAME", or what the function there returns.

    Raises:
      BadInput: if it cannot be imported, is no such network, or is asked for in another dtype.
    """
    network = imported_object(address, "network")
    if inspect.isfunction(network):
        network = network()
    if not isinstance(network, Frozen):
        raise BadInput(
            f"{address} is a {type(network).__name__}: give what rrjax.wrap(...) returns, or a "
            "function without arguments that returns it"
        )
    if dtype:
        raise BadInput(f"{address}: dtype={dtype!r}: it computes in the dtype that it was made in")
    return network


def _function(
    model: Any, variables: Any, stages: Stages, shape: tuple[int, ...]
) -> tuple[Callable, Any]:
    """Return (arrays, images) -> outputs of a model, and the arrays."""
    if isinstance(model, nn.Module):
        if not isinstance(variables, Mapping) or "params" not in variables:
            raise BadInput(
                "a linen module needs its variables: rrjax.wrap(module, {'params': ...}, ...), "
                "as its init returned them"
            )
        return partial(_linen, model, stages), variables
    if isinstance(model, nnx.Module):
        if variables is not None:
            raise BadInput("an nnx module has its variables in it: leave them out")
        copy = nnx.merge(*nnx.split(model))
        copy.eval()
        graph, arrays = nnx.split(copy)
        return partial(_nnx, graph, stages), arrays
    if isinstance(model, type) or not callable(model):
        raise BadInput(
            f"{model!r} is no model: give a function of images, a linen module and its variables, "
            "or an nnx module, made and not its class"
        )
    if stages:
        raise BadInput("stages= is for modules: let the function return (logits, reps)")
    if variables is not None:
        return model, variables
    return _hoisted(model, (1, *shape))


def _linen(module: nn.Module, stages: Stages, variables: Any, images: jax.Array) -> Any:
    takes_train = "train" in inspect.signature(type(module).__call__).parameters
    call = partial(module.apply, variables, images, **({"train": False} if takes_train else {}))
    if not stages:
        return call()

    def named(submodule: nn.Module, method: str) -> bool:
        return method == "__call__" and "/".join(submodule.path) in stages.values()

    outputs, sown = call(capture_intermediates=named, mutable=["intermediates"])
    flat = flatten_dict(sown.get("intermediates", {}), sep="/")
    return _staged(outputs, stages, {k.removesuffix("/__call__"): v for k, v in flat.items()})


def _nnx(graph: Any, stages: Stages, arrays: Any, images: jax.Array) -> Any:
    module = nnx.merge(graph, arrays)
    if not stages:
        return module(images)
    outputs, sown = nnx.capture(module, nnx.Intermediate, method_outputs=nnx.Intermediate)(images)
    flat = {
        "/".join(map(str, path[:-1])): variable[...] if hasattr(variable, "shape") else variable
        for path, variable in nnx.to_flat_state(sown)
        if path[-1] == "__call__"
    }
    return _staged(outputs, stages, flat)


def _staged(outputs: Any, stages: Stages, captured: Mapping[str, Any]) -> tuple[Any, dict]:
    """Return logits, and the stages that were asked for, of what submodules returned."""
    missing = sorted(set(stages.values()) - set(captured))
    if missing:
        raise BadInput(f"stages={dict(stages)}: the model calls no submodule {missing[0]!r}")
    return outputs, {name: captured[path][0] for name, path in stages.items()}


def _hoisted(function: Callable, shape: tuple[int, ...]) -> tuple[Callable, Any]:
    """Return a function of images with the arrays that it holds as an argument, and these."""
    plain = inspect.unwrap(function)  # of jax.jit, in whose program they would stay
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    try:
        program, outputs = jax.make_jaxpr(plain, return_shape=True)(image)
    except _UNFIT as error:
        raise BadInput(f"the model does not take images {shape}: {_line(error)}") from error

    def forward(arrays: Any, images: jax.Array) -> Any:
        if images.shape != shape:
            raise BadInput(f"images of shape {images.shape}: this network takes {shape}")
        leaves = jax.core.eval_jaxpr(program.jaxpr, arrays, images)
        return jax.tree.unflatten(jax.tree.structure(outputs), leaves)

    return forward, program.consts


def _apply(
    forward: Callable,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    arrays: Any,
    image: jax.Array,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return (logits, reps) of one image (H, W, C)."""
    if image.ndim != 3 or image.shape[-1] != len(mean):
        raise BadInput(f"an image of shape {image.shape}: give one (H, W, {len(mean)})")
    centers, scales = (jnp.asarray(x, image.dtype).reshape(1, 1, -1) for x in (mean, std))
    outputs = forward(arrays, ((image - centers) / scales)[None])
    pair = isinstance(outputs, tuple | list) and len(outputs) == 2
    logits, reps = outputs if pair and isinstance(outputs[1], Mapping) else (outputs, {})
    if not isinstance(logits, jax.Array) or logits.ndim != 2:
        raise BadInput(
            f"the model returns {_shown(outputs)}: give logits (N, classes), or (logits, reps), "
            "reps a dict of stages by name"
        )
    logits, reps = jax.tree.map(lambda x: at_least_float32(x[0]), (logits, dict(reps)))
    if reps and "representation" not in reps:
        raise BadInput(
            f"its stages are {', '.join(sorted(reps))}: one must be called representation, R(x)"
        )
    return logits, reps | {"representation": reps.get("representation", logits).ravel()}


def _shown(outputs: Any) -> str:
    kinds = jax.tree.map(lambda x: f"{x.dtype}{x.shape}" if hasattr(x, "shape") else x, outputs)
    return str(kinds)[:100]


def _logits(apply: Callable, shape: tuple[int, ...]) -> int:
    """Return how many logits a network has, once it has been tried on an image's shape."""
    try:
        logits, _ = jax.eval_shape(apply, jax.ShapeDtypeStruct(shape, jnp.float32))
    except BadInput:
        raise
    except _UNFIT as error:
        raise BadInput(f"the model does not take images {shape}: {_line(error)}") from error
    return len(logits)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
