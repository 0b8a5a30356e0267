"""DenseNet (Huang et al. 2017) as torchvision has it."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rrjax.models import layers

# torch: nn.init.kaiming_normal_ by itself: N(0, 2 / fan_in).
_kaiming_normal_fan_in = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
_BOTTLENECK = 4  # the outputs of a layer's 1x1 convolution, in growth rates


class DenseLayer(nn.Module):
    """BN, ReLU and a 1x1 convolution, BN, ReLU and a 3x3, whose output goes beside the input."""

    growth_rate: int
    conv: Callable
    norm: Callable

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, H, W, C) to (N, H, W, C + growth_rate)."""
        y = layers.relu(self.norm(name="norm1")(x))
        y = self.conv(_BOTTLENECK * self.growth_rate, 1, name="conv1")(y)
        y = layers.relu(self.norm(name="norm2")(y))
        return jnp.concatenate([x, self.conv(self.growth_rate, 3, 1, 1, name="conv2")(y)], -1)


class DenseBlock(nn.Module):
    """Dense layers one after another, `denselayer1` and so on."""

    size: int
    layer: Callable

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, H, W, C) to (N, H, W, C + size * growth_rate)."""
        for i in range(self.size):
            x = self.layer(name=f"denselayer{i + 1}")(x)
        return x


class Transition(nn.Module):
    """BN, ReLU, a 1x1 convolution to half the channels, and the means of 2x2 pixels."""

    conv: Callable
    norm: Callable

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, H, W, C) to (N, H // 2, W // 2, C // 2)."""
        y = layers.relu(self.norm(name="norm")(x))
        return layers.avg_pool(self.conv(x.shape[-1] // 2, 1, name="conv")(y))


class Features(nn.Module):
    """All up to the last BN."""

    growth_rate: int
    block_config: tuple[int, ...]
    num_init_features: int
    conv: Callable
    norm: Callable

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Map (N, H, W, C) to (N, H', W', C') and reps."""
        parts = {"conv": self.conv, "norm": self.norm}
        x = self.conv(self.num_init_features, 7, 2, 3, name="conv0")(x)
        x = layers.overlapping_max_pool(layers.relu(self.norm(name="norm0")(x)), 1)
        reps = {"stem": x}
        layer = partial(DenseLayer, self.growth_rate, **parts)
        for i, size in enumerate(self.block_config, 1):
            x = DenseBlock(size, layer, name=f"denseblock{i}")(x)
            reps[f"denseblock{i}"] = x
            if i < len(self.block_config):
                x = Transition(name=f"transition{i}", **parts)(x)
        return self.norm(name="norm5")(x), reps


class DenseNet(nn.Module):
    """Map float (N, H, W, C) images in [0, 1], H and W at least 29, to (logits, reps).

    R(x) is the pooled last ReLU. reps: stem, denseblock1, denseblock2, ..., representation. Of the
    BNs those fold that take a convolution's output alone: the stem's and each layer's second.
    """

    FOLDS: ClassVar = {"norm0": "conv0", "norm2": "conv1"}

    growth_rate: int
    block_config: tuple[int, ...]
    num_init_features: int
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
        x, reps = Features(
            self.growth_rate,
            self.block_config,
            self.num_init_features,
            conv=partial(layers.conv, use_bias=False, kernel_init=_kaiming_normal_fan_in, **types),
            norm=partial(self.norm, train, **types),
            name="features",
        )(layers.normalize(images, self.mean, self.std, self.dtype))
        reps["representation"] = self.last_act(x).mean((1, 2))
        head = nn.Dense(self.classes, kernel_init=layers.torch_kernel, name="classifier", **types)
        return layers.at_least_float32(head(reps["representation"])), reps
