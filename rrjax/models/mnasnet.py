"""MNASNet (Tan et al. 2019) as torchvision has it."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rrjax.models import layers

# Of the stacks one after another: kernel size, stride, expansion, how many blocks.
_STACKS = ((3, 2, 3, 3), (5, 2, 3, 3), (5, 2, 6, 3), (3, 1, 6, 2), (5, 2, 6, 4), (3, 1, 6, 1))
_LAST = 1280  # channels of the last convolution
_MOMENTUM = 0.9997  # torchvision's, who have it from TensorFlow
# torch: nn.init.kaiming_uniform_(mode="fan_out", nonlinearity="sigmoid").
_head_init = nn.initializers.variance_scaling(1.0, "fan_out", "uniform")


class InvertedResidual(nn.Module):
    """1x1 to `expansion` times the channels, size x size of each, 1x1, and the input if it fits."""

    size: int
    expansion: int
    channels: int
    stride: int
    conv: Callable
    norm: Callable

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, H, W, C) to (N, H', W', channels)."""
        hidden = self.expansion * x.shape[-1]
        y = layers.relu(self.norm(name="layers_1")(self.conv(hidden, 1, name="layers_0")(x)))
        depthwise = partial(self.conv, feature_group_count=hidden, name="layers_3")
        y = depthwise(hidden, self.size, self.stride, self.size // 2)(y)
        y = layers.relu(self.norm(name="layers_4")(y))
        y = self.norm(name="layers_7")(self.conv(self.channels, 1, name="layers_6")(y))
        return x + y if self.stride == 1 and x.shape == y.shape else y


class MNASNet(nn.Module):
    """Map float (N, H, W, C) images in [0, 1] to (logits, reps).

    R(x) is the pooled last ReLU, before its dropout. depths: channels of the stem's convolutions
    and of the stacks. reps: stem, the stacks layers_8 ... layers_13, the last ReLU layers_16,
    representation.
    """

    FOLDS: ClassVar = {f"layers_{i + 1}": f"layers_{i}" for i in (0, 3, 6, 14)}

    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    depths: tuple[int, ...] = (32, 16, 24, 40, 80, 96, 192, 320)
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    last_act: Callable = layers.relu
    norm: Callable = layers.batch_norm

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return logits (N, classes) and reps."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        norm = partial(self.norm, train, momentum=_MOMENTUM, **types)
        conv = partial(layers.conv, use_bias=False, kernel_init=layers.kaiming_normal, **types)
        x = self._stem(layers.normalize(images, self.mean, self.std, self.dtype), conv, norm)
        reps = {"stem": x}
        stacks = zip(_STACKS, self.depths[2:], strict=True)
        for index, ((size, stride, expansion, blocks), channels) in enumerate(stacks, 8):
            block = partial(InvertedResidual, size, expansion, channels, conv=conv, norm=norm)
            for i in range(blocks):
                x = block(stride=1 if i else stride, name=f"layers_{index}_{i}")(x)
            reps[f"layers_{index}"] = x
        x = norm(name="layers_15")(conv(_LAST, 1, name="layers_14")(x))
        x = reps["layers_16"] = self.last_act(x)
        reps["representation"] = x.mean((1, 2))
        x = nn.Dropout(0.2, deterministic=not train)(reps["representation"])
        head = nn.Dense(self.classes, kernel_init=_head_init, name="classifier_1", **types)
        return layers.at_least_float32(head(x)), reps

    def _stem(self, x: jax.Array, conv: Callable, norm: Callable) -> jax.Array:
        channels, outputs = self.depths[:2]
        x = layers.relu(norm(name="layers_1")(conv(channels, 3, 2, 1, name="layers_0")(x)))
        depthwise = conv(channels, 3, 1, 1, feature_group_count=channels, name="layers_3")
        x = layers.relu(norm(name="layers_4")(depthwise(x)))
        return norm(name="layers_7")(conv(outputs, 1, name="layers_6")(x))
