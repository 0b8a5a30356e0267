"""Small convolutional networks without BatchNorm or dropout, for images of a few dozen pixels."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rrjax.models import layers


class SmallCNN(nn.Module):
    """Map float (N, H, W, C) images in [0, 1] of any size to (logits, reps).

    Each block is convolutions (size x size, SAME, ReLU) and a 2x2 max-pool. With `hidden`, R(x)
    is that Dense layer after its ReLU; without, the flattened last block. Glorot-uniform
    weights, zero biases: the MNIST_CNN and CIFAR_CNN of Kim, Seo and Jeon 2019
    (arXiv:1903.11626). reps: block1, block2, ..., representation.
    """

    blocks: tuple[tuple[int, ...], ...]
    size: int
    hidden: int
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    last_act: Callable = layers.relu

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        train: bool,  # noqa: ARG002  every model takes it
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return logits (N, classes) and reps, without regard to `train`."""
        fields = {
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
            "kernel_init": nn.initializers.glorot_uniform(),
        }
        x = layers.normalize(images, self.mean, self.std, self.dtype)
        reps, index, convolutions = {}, 0, sum(map(len, self.blocks))
        for block, widths in enumerate(self.blocks, 1):
            for width in widths:
                index += 1
                x = layers.conv(width, self.size, 1, "SAME", name=f"conv{index}", **fields)(x)
                makes_r = index == convolutions and not self.hidden
                x = self.last_act(x) if makes_r else layers.relu(x)
            x = reps[f"block{block}"] = layers.max_pool(x)
        x = layers.flatten(x)
        if self.hidden:
            x = self.last_act(nn.Dense(self.hidden, name="fc1", **fields)(x))
        reps["representation"] = x
        logits = nn.Dense(self.classes, name="fc2", **fields)(x)
        return layers.at_least_float32(logits), reps
