"""Pre-activation residual networks for images of 32 pixels: PreActResNet and WideResNet.

BN and ReLU come before each convolution. So a block's bn2 folds into its conv1; its bn1 takes a
sum, or what the shortcut takes too, and stays.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rrjax.models import layers


class Block(nn.Module):
    """Two 3x3 convolutions, each after BN and ReLU, and a shortcut.

    shortcut: the name of the 1x1 convolution in it, where the shape changes. activated_shortcut:
    whether that takes the block's input after its first BN and ReLU, or as it is.
    """

    width: int
    stride: int
    conv: Callable
    norm: Callable
    shortcut: str
    activated_shortcut: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, H, W, C) to (N, H', W', C')."""
        activated = layers.relu(self.norm(name="bn1")(x))
        y = self.conv(self.width, 3, self.stride, 1, name="conv1")(activated)
        y = self.conv(self.width, 3, 1, 1, name="conv2")(layers.relu(self.norm(name="bn2")(y)))
        if x.shape != y.shape:
            x = activated if self.activated_shortcut else x
            x = self.conv(self.width, 1, self.stride, name=self.shortcut)(x)
        return x + y


# The published PreActResNets: whether the shortcut's convolution takes the activated input, and
# whether BN and ReLU come before the pool. Two by two they have the same parameters.
PREACT_VARIANTS = {
    "pytorch_cifar": (True, False),  # kuangliu's
    "robustbench": (False, False),  # its PreActBlock: Wong2020Fast, Andriushchenko2020Understanding
    "fast_adversarial": (False, True),  # locuslab's, of Wong et al. (2020)
    "robust_overfitting": (True, True),  # locuslab's, of Rice et al. (2020); PreActBlockV2
}


class PreActResNet(nn.Module):
    """Map float (N, H, W, C) images in [0, 1] to (logits, reps); R(x) is the pooled last stage.

    variant: whose, of `PREACT_VARIANTS`. Without a BN before the pool R(x) has no ReLU, and
    `last_act` is not used. reps: stem, layer1, layer2, ..., representation.
    """

    FOLDS: ClassVar = {"bn2": "conv1"}

    stage_sizes: tuple[int, ...]
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
        conv = partial(layers.conv, use_bias=False, kernel_init=layers.torch_kernel, **types)
        activated_shortcut, final_norm = PREACT_VARIANTS[self.variant]
        x = layers.normalize(images, self.mean, self.std, self.dtype)
        x = conv(self.width, 3, 1, 1, name="conv1")(x)
        reps = {"stem": x}
        for i, size in enumerate(self.stage_sizes):
            for j in range(size):
                x = Block(
                    width=self.width * 2**i,
                    stride=2 if i > 0 and j == 0 else 1,
                    conv=conv,
                    norm=norm,
                    shortcut="shortcut_0",
                    activated_shortcut=activated_shortcut,
                    name=f"layer{i + 1}_{j}",
                )(x)
            reps[f"layer{i + 1}"] = x
        if final_norm:
            x = self.last_act(norm(name="bn")(x))
        reps["representation"] = x.mean((1, 2))
        logits = layers.dense(reps["representation"], self.classes, name="linear", **types)
        return layers.at_least_float32(logits), reps


class Stage(nn.Module):
    """Blocks one after another; the first carries the stride. `layer_i`, as torch names them."""

    size: int
    stride: int
    block: Callable

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, H, W, C) to (N, H', W', C')."""
        for i in range(self.size):
            x = self.block(stride=self.stride if i == 0 else 1, name=f"layer_{i}")(x)
        return x


class WideResNet(nn.Module):
    """Map float (N, H, W, C) images in [0, 1] to (logits, reps); R(x) is the pooled last ReLU.

    WideResNet-depth-widen_factor (Zagoruyko & Komodakis 2016) without dropout, as TRADES (Zhang et
    al. 2019) and RobustBench publish it; theirs take pixels as they are, mean 0 and std 1, unless
    the file has a `mu` and a `sigma`. reps: stem, block1, block2, block3, representation.
    """

    FOLDS: ClassVar = {"bn2": "conv1"}

    depth: int
    widen_factor: int
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
        conv = partial(layers.conv, use_bias=False, kernel_init=layers.kaiming_normal, **types)
        block = partial(
            Block, conv=conv, norm=norm, shortcut="convShortcut", activated_shortcut=True
        )
        x = layers.normalize(images, self.mean, self.std, self.dtype)
        x = conv(16, 3, 1, 1, name="conv1")(x)
        reps = {"stem": x}
        for i, width in enumerate((16, 32, 64), 1):
            x = Stage(
                size=(self.depth - 4) // 6,
                stride=1 if i == 1 else 2,
                block=partial(block, width * self.widen_factor),
                name=f"block{i}",
            )(x)
            reps[f"block{i}"] = x
        reps["representation"] = self.last_act(norm(name="bn1")(x)).mean((1, 2))
        head = nn.Dense(self.classes, kernel_init=layers.torch_kernel, name="fc", **types)
        logits = head(reps["representation"])
        return layers.at_least_float32(logits), reps
