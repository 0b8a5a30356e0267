"""MobileNetV2 (Sandler et al. 2018) as torchvision has it."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rrjax.models import layers

# Of the blocks one after another: expansion, channels, how many, the stride of the first.
SETTING = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_STEM, _LAST = 32, 1280  # channels of the first convolution and of the last


class InvertedResidual(nn.Module):
    """1x1 to `expansion` times the channels, 3x3 of each channel, 1x1, and the input if it fits."""

    expansion: int
    channels: int
    stride: int
    conv: Callable
    norm: Callable

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, H, W, C) to (N, H', W', channels)."""
        hidden = self.expansion * x.shape[-1]
        y, index = x, 0
        if self.expansion != 1:
            y = self.norm(name="conv_0_1")(self.conv(hidden, 1, name="conv_0_0")(y))
            y, index = layers.relu6(y), 1
        depthwise = partial(self.conv, hidden, 3, self.stride, 1, feature_group_count=hidden)
        y = self.norm(name=f"conv_{index}_1")(depthwise(name=f"conv_{index}_0")(y))
        y = self.conv(self.channels, 1, name=f"conv_{index + 1}")(layers.relu6(y))
        y = self.norm(name=f"conv_{index + 2}")(y)
        return x + y if self.stride == 1 and x.shape == y.shape else y


class MobileNetV2(nn.Module):
    """Map float (N, H, W, C) images in [0, 1] to (logits, reps).

    R(x) is the pooled last ReLU6, before its dropout. reps: the last block of each row of the
    setting, between the first convolution, features_0, and the last, features_18, and
    representation.
    """

    FOLDS: ClassVar = {
        **{f"features_{i}_1": f"features_{i}_0" for i in range(19)},
        **{f"conv_{i}_1": f"conv_{i}_0" for i in (0, 1)},
        **{f"conv_{i + 1}": f"conv_{i}" for i in (1, 2)},
    }

    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    inverted_residual_setting: tuple[tuple[int, int, int, int], ...] = SETTING
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    last_act: Callable = layers.relu6
    norm: Callable = layers.batch_norm

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return logits (N, classes) and reps."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        norm = partial(self.norm, train, **types)
        conv = partial(layers.conv, use_bias=False, kernel_init=layers.kaiming_normal, **types)
        x = layers.normalize(images, self.mean, self.std, self.dtype)
        x = norm(name="features_0_1")(conv(_STEM, 3, 2, 1, name="features_0_0")(x))
        x = layers.relu6(x)
        reps, index = {"features_0": x}, 0
        for expansion, channels, size, stride in self.inverted_residual_setting:
            block = partial(InvertedResidual, expansion, channels, conv=conv, norm=norm)
            for i in range(size):
                index += 1
                x = block(stride=1 if i else stride, name=f"features_{index}")(x)
            reps[f"features_{index}"] = x
        name = f"features_{index + 1}"
        x = norm(name=f"{name}_1")(conv(_LAST, 1, name=f"{name}_0")(x))
        x = reps[name] = self.last_act(x)
        reps["representation"] = x.mean((1, 2))
        x = nn.Dropout(0.2, deterministic=not train)(reps["representation"])
        head = nn.Dense(
            self.classes, kernel_init=nn.initializers.normal(0.01), name="classifier_1", **types
        )
        return layers.at_least_float32(head(x)), reps
