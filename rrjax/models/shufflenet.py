"""ShuffleNetV2 (Ma et al. 2018) as torchvision has it."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rrjax.models import layers


class InvertedResidual(nn.Module):
    """Two branches, whose channels take turns.

    With stride 1 one branch is the first half of the channels as they are, and the other has the
    second half; else both have all.
    """

    channels: int
    stride: int
    conv: Callable
    norm: Callable

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, H, W, C) to (N, H', W', channels)."""
        if self.stride == 1:
            one, x = jnp.split(x, 2, axis=-1)
        else:
            one = self._spatial(x, "branch1", 0)
            one = self._pointwise(one, "branch1", 2)
        x = self._pointwise(x, "branch2", 0)
        x = self._spatial(x, "branch2", 3)
        x = self._pointwise(x, "branch2", 5)
        return jnp.stack([one, x], axis=-1).reshape(*x.shape[:-1], self.channels)

    def _pointwise(self, x: jax.Array, branch: str, index: int) -> jax.Array:
        x = self.conv(self.channels // 2, 1, name=f"{branch}_{index}")(x)
        return layers.relu(self.norm(name=f"{branch}_{index + 1}")(x))

    def _spatial(self, x: jax.Array, branch: str, index: int) -> jax.Array:
        depthwise = partial(self.conv, feature_group_count=x.shape[-1], name=f"{branch}_{index}")
        x = depthwise(x.shape[-1], 3, self.stride, 1)(x)
        return self.norm(name=f"{branch}_{index + 1}")(x)


class ShuffleNetV2(nn.Module):
    """Map float (N, H, W, C) images in [0, 1] to (logits, reps); R(x) is the pooled last ReLU.

    stages_out_channels: of the stem, the stages and the last convolution. reps: stem, stage2,
    stage3, stage4, conv5, representation.
    """

    FOLDS: ClassVar = {
        **{f"conv{i}_1": f"conv{i}_0" for i in (1, 5)},
        **{f"branch1_{i + 1}": f"branch1_{i}" for i in (0, 2)},
        **{f"branch2_{i + 1}": f"branch2_{i}" for i in (0, 3, 5)},
    }

    stages_repeats: tuple[int, ...]
    stages_out_channels: tuple[int, ...]
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
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        norm = partial(self.norm, train, **types)
        conv = partial(layers.conv, use_bias=False, kernel_init=layers.torch_kernel, **types)
        first, *stages, last = self.stages_out_channels
        x = layers.normalize(images, self.mean, self.std, self.dtype)
        x = layers.relu(norm(name="conv1_1")(conv(first, 3, 2, 1, name="conv1_0")(x)))
        x = layers.overlapping_max_pool(x, 1)
        reps = {"stem": x}
        for stage, (size, channels) in enumerate(zip(self.stages_repeats, stages, strict=True), 2):
            block = partial(InvertedResidual, channels, conv=conv, norm=norm)
            for i in range(size):
                x = block(stride=1 if i else 2, name=f"stage{stage}_{i}")(x)
            reps[f"stage{stage}"] = x
        x = self.last_act(norm(name="conv5_1")(conv(last, 1, name="conv5_0")(x)))
        reps["conv5"] = x
        reps["representation"] = x.mean((1, 2))
        logits = layers.dense(reps["representation"], self.classes, name="fc", **types)
        return layers.at_least_float32(logits), reps
