"""Batch normalization folded into the convolutions of a frozen network.

In eval mode BN is an affine map of each channel: its factor goes into the kernel before it, and its
shift is added after. It is the same function of the image, up to rounding, if the BN takes that
convolution's output and nothing else does. Names do not tell that, so a model declares it: a class
attribute `FOLDS` maps the name of a BN to the name of the convolution before it, two parts of one
module, wherever in the model that module is. The model's field `norm` makes the BN. One that is not
declared stays, in eval mode. `check` compares the folded network with the model.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import FlaxError
from flax.traverse_util import flatten_dict, unflatten_dict

from rrjax import BadInput
from rrjax.models import layers

# Of a stage's largest number. Rounding moves it by 2e-6, a BN in a wrong place by a tenth or more,
# another epsilon, of 1e-3, by 5e-4.
_TOLERANCE = 1e-4


class Shift(nn.Module):
    """The rest of a folded BN: `bias`, a number a channel, is added."""

    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return x (..., C) and the bias, added."""
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        return x + _along_last(bias.astype(self.dtype), x.ndim)


def fold(model: nn.Module, variables: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """Return the model without the BNs that it declares, and its variables: equal in eval mode.

    The variables are in the precision that the model computes in, so that a loop around it casts
    nothing; those of a BN that stays are as they were.

    Raises:
      BadInput: for a declaration of parameters that the model does not have.
    """
    return _folded(_declared(model), model, variables)


def _declared(model: nn.Module) -> dict[str, str]:
    return getattr(model, "FOLDS", {})


def _folded(
    folds: Mapping[str, str], model: nn.Module, variables: Mapping[str, Any]
) -> tuple[nn.Module, dict[str, Any]]:
    params = flatten_dict(variables["params"])
    statistics = flatten_dict(variables.get("batch_stats", {}))
    # In one order: every process of a run must build the same program.
    paths = sorted({path[:-1] for path in statistics if path[-2] in folds})
    for path in paths:
        convolution = (*path[:-1], folds[path[-1]])
        _check_parts(model, params, path, convolution)
        mean, variance = (statistics.pop((*path, name)) for name in ("mean", "var"))
        factor = params.pop((*path, "scale")) * jax.lax.rsqrt(variance + layers.BN_EPSILON)
        kernel = params[*convolution, "kernel"]
        params[*convolution, "kernel"] = kernel * _along_last(factor, kernel.ndim)
        if (*convolution, "bias") in params:
            params[*convolution, "bias"] = params[*convolution, "bias"] * factor
        params[*path, "bias"] = params[*path, "bias"] - mean * factor
    stay = {path[:-1] for path in statistics}
    params = {path: x if path[:-1] in stay else x.astype(model.dtype) for path, x in params.items()}
    if paths:
        model = model.clone(norm=_shift_or_norm(frozenset(folds), model.norm))
    remaining = {"batch_stats": unflatten_dict(statistics)} if statistics else {}
    return model, {"params": unflatten_dict(params)} | remaining


def _check_parts(
    model: nn.Module, params: Mapping, path: tuple[str, ...], convolution: tuple[str, ...]
) -> None:
    parts = {(*path, "scale"), (*path, "bias"), (*convolution, "kernel")}
    if not parts <= params.keys() or not hasattr(model, "norm"):
        raise BadInput(
            f"{type(model).__name__}.FOLDS says {path[-1]!r}: {convolution[-1]!r}, but the model "
            f"has no {'/'.join(convolution)} with a kernel, or no scale and bias in "
            f"{'/'.join(path)}, or no field `norm`: correct FOLDS, or leave that BN out of it"
        )


@cache  # one function a declaration, so that equal models stay equal
def _shift_or_norm(folded: frozenset[str], norm: Callable) -> Callable:
    def make(train: bool, *, name: str, dtype: Any, **fields: Any) -> nn.Module:
        if name in folded:
            return Shift(dtype, name=name)
        return norm(train, name=name, dtype=dtype, **fields)

    return make


def _along_last(values: jax.Array, ndim: int) -> jax.Array:
    return values.reshape((1,) * (ndim - 1) + (-1,))


@cache  # once a process: a declaration is right or wrong whatever the variables are
def check(model: nn.Module, image_shape: tuple[int, int, int]) -> None:
    """Compare the folded network with the model in eval mode, on an image (H, W, C) of noise.

    The logits and every stage are compared in float32, with statistics, scales and shifts as no
    initialization has them: at first, every BN is nearly the identity.

    Raises:
      BadInput: if they differ, with the declarations that are wrong.
    """
    folds = _declared(model)
    if not folds:
        return
    model = model.clone(dtype=jnp.float32, param_dtype=jnp.float32)
    variables = _noise(model, image_shape)
    image = np.random.default_rng(1).random((1, *image_shape), np.float32)
    agree = partial(_agree, model)
    if _is_true(jax.jit(partial(agree, folds)), variables, image):
        return
    pairs = {name: {name: folds[name]} for name in folds}  # one a time, and nothing compiled
    wrong = [
        pairs[name] for name in folds if not _is_true(partial(agree, pairs[name]), variables, image)
    ]
    said = ", ".join(str(pair)[1:-1] for pair in wrong)
    raise BadInput(
        f"{type(model).__name__}.FOLDS says {said}: with it folded, the network is another "
        "function. A BN folds if it takes the convolution's output and nothing else does, and if "
        f"the field `norm` makes it, with epsilon {layers.BN_EPSILON:g}; leave every other one out "
        "of FOLDS"
    )


def _is_true(function: Callable, *arguments: Any) -> bool:
    try:
        # In full precision: some devices multiply float32 numbers in less.
        with jax.default_matmul_precision("highest"):
            return bool(function(*arguments))
    except FlaxError:  # about parameters: the BN is not of `norm`
        return False


def _agree(
    model: nn.Module, folds: Mapping[str, str], variables: Mapping[str, Any], image: jax.Array
) -> jax.Array:
    expected = model.apply(variables, image, train=False)
    folded, arrays = _folded(folds, model, variables)
    outputs = folded.apply(arrays, image, train=False)

    def near(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.abs(x - y).max() <= _TOLERANCE * jnp.abs(y).max()

    return jnp.stack(jax.tree.leaves(jax.tree.map(near, outputs, expected))).all()


def _noise(model: nn.Module, image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """Draw variables with which activations stay near 1, with numpy: nothing is compiled."""
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    init = partial(model.init, jax.random.key(0), train=False)
    rng = np.random.default_rng(0)

    def drawn(path: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray:
        values = rng.random(shape, np.float32)
        if path[-1] in ("scale", "var"):
            return values + np.float32(0.5)
        fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 24  # of a vector: from -0.5 to 0.5
        return (2 * values - 1) * np.sqrt(6 / fan_in, dtype=np.float32)

    shapes = flatten_dict(jax.eval_shape(init, image))
    return unflatten_dict({path: drawn(path, x.shape) for path, x in shapes.items()})
