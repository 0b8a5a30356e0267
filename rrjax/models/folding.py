"""Batch normalization folded into the convolutions of a frozen network.

In eval mode BN is an affine map of each channel: its factor goes into the kernel before it, and its
shift is added after. The same function of the image, up to rounding.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from rrjax.models import layers


class Shift(nn.Module):
    """The rest of a folded BN: `bias`, a number a channel, is added."""

    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return x (N, H, W, C) and the bias, added."""
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        return x + bias.astype(self.dtype).reshape(1, 1, 1, -1)


def fold(model: nn.Module, variables: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """Return the model without BN, and its variables: equal to `model` in eval mode.

    Its variables are in the precision that the model computes in, so that a loop around it casts
    nothing. A model without BN keeps its own.
    """
    params = flatten_dict(variables["params"])
    statistics = flatten_dict(variables.get("batch_stats", {}))
    # In one order: every process of a run must build the same program.
    for path in sorted({path[:-1] for path in statistics}):
        mean, variance = statistics[*path, "mean"], statistics[*path, "var"]
        factor = params.pop((*path, "scale")) * jax.lax.rsqrt(variance + layers.BN_EPSILON)
        convolution = (*path[:-1], _convolution(path[-1]))
        params[*convolution, "kernel"] = params[*convolution, "kernel"] * factor.reshape(
            1, 1, 1, -1
        )
        if (*convolution, "bias") in params:
            params[*convolution, "bias"] = params[*convolution, "bias"] * factor
        params[*path, "bias"] = params[*path, "bias"] - mean * factor
    params = {path: x.astype(model.dtype) for path, x in params.items()}
    folded = model.clone(norm=_shift) if statistics else model
    return folded, {"params": unflatten_dict(params)}


def _shift(
    train: bool,  # noqa: ARG001  the signature is that of layers.batch_norm
    *,
    dtype: Any,
    param_dtype: Any,  # noqa: ARG001
    **fields: Any,
) -> Shift:
    return Shift(dtype, **fields)


def _convolution(norm: str) -> str:
    """Name the convolution before a BN: bn1 comes after conv1, downsample_1 after downsample_0."""
    if norm.startswith("bn"):
        return norm.replace("bn", "conv")
    stem, number = norm.rsplit("_", 1)
    return f"{stem}_{int(number) - 1}"
