"""Residual networks, in their two published shapes: ImageNet's (torchvision v1.5) and CIFAR's."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rrjax.models import layers


class Basic(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-18 and 34)."""

    width: int
    stride: int
    conv: Callable
    norm: Callable
    act: Callable
    shortcut: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, H, W, C) to (N, H', W', C')."""
        y = self.conv(self.width, 3, self.stride, 1, name="conv1")(x)
        y = layers.relu(self.norm(name="bn1")(y))
        y = self.norm(name="bn2")(self.conv(self.width, 3, 1, 1, name="conv2")(y))
        return self.act(y + _shortcut(self, x, y.shape))


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries the stride), 1x1 to four times the width, and a shortcut.

    groups, width_per_group: the channels of the 3x3 are `groups` times those of one group, which
    has `width_per_group` where the width is 64 (ResNeXt; wide ResNets have one wide group).
    """

    width: int
    stride: int
    conv: Callable
    norm: Callable
    act: Callable
    shortcut: str
    groups: int = 1
    width_per_group: int = 64

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, H, W, C) to (N, H', W', C')."""
        inner = self.width * self.width_per_group // 64 * self.groups
        y = layers.relu(self.norm(name="bn1")(self.conv(inner, 1, name="conv1")(x)))
        grouped = partial(self.conv, feature_group_count=self.groups, name="conv2")
        y = grouped(inner, 3, self.stride, 1)(y)
        y = layers.relu(self.norm(name="bn2")(y))
        y = self.norm(name="bn3")(self.conv(4 * self.width, 1, name="conv3")(y))
        return self.act(y + _shortcut(self, x, y.shape))


def _shortcut(block: Basic | Bottleneck, x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return x, through a strided 1x1 convolution and a norm where its shape must change."""
    if x.shape == shape:
        return x
    x = block.conv(shape[-1], 1, block.stride, name=f"{block.shortcut}_0")(x)
    return block.norm(name=f"{block.shortcut}_1")(x)


class ResNet(nn.Module):
    """Map float (N, H, W, C) images in [0, 1] to (logits, reps); R(x) is the pooled last stage.

    Variant "imagenet" opens with a 7x7/2 convolution and a max-pool, "cifar" with a 3x3; torch
    names their parts differently (downsample, fc; shortcut, linear) and starts them differently
    (kaiming_normal fan_out; its layers' default). reps: stem, layer1, layer2, ...,
    representation. `last_act` is the very last ReLU only.
    """

    FOLDS: ClassVar = {
        **{f"bn{i}": f"conv{i}" for i in (1, 2, 3)},
        **{f"{shortcut}_1": f"{shortcut}_0" for shortcut in ("downsample", "shortcut")},
    }
    stage_sizes: tuple[int, ...]
    block: Callable
    variant: str
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    width: int = 64
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    last_act: Callable = layers.relu
    norm: Callable = layers.batch_norm

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return logits (N, classes) and reps."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        norm = partial(self.norm, train, **types)
        init = layers.kaiming_normal if self.variant == "imagenet" else layers.torch_kernel
        conv = partial(layers.conv, use_bias=False, kernel_init=init, **types)
        x = self._stem(layers.normalize(images, self.mean, self.std, self.dtype), conv, norm)
        reps = {"stem": x}
        names = [(i, j) for i, size in enumerate(self.stage_sizes) for j in range(size)]
        for i, j in names:
            x = self.block(
                width=self.width * 2**i,
                stride=2 if i > 0 and j == 0 else 1,
                conv=conv,
                norm=norm,
                act=self.last_act if (i, j) == names[-1] else layers.relu,
                shortcut="downsample" if self.variant == "imagenet" else "shortcut",
                name=f"layer{i + 1}_{j}",
            )(x)
            reps[f"layer{i + 1}"] = x
        reps["representation"] = x.mean((1, 2))
        head = "fc" if self.variant == "imagenet" else "linear"
        logits = layers.dense(reps["representation"], self.classes, name=head, **types)
        return layers.at_least_float32(logits), reps

    def _stem(self, x: jax.Array, conv: Callable, norm: Callable) -> jax.Array:
        if self.variant == "imagenet":
            x = layers.relu(norm(name="bn1")(conv(self.width, 7, 2, 3, name="conv1")(x)))
            return layers.overlapping_max_pool(x, 1)
        return layers.relu(norm(name="bn1")(conv(self.width, 3, 1, 1, name="conv1")(x)))
