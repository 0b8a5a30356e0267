"""VGG16 (configuration D), with and without BatchNorm, for ImageNet and for CIFAR."""

from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rrjax.models import layers

# Channels and convolutions of each block; a 2x2 max-pool closes it.
_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class VGG(nn.Module):
    """Map float (N, H, W, C) images in [0, 1], H and W at least 32, to (logits, reps).

    Variant "imagenet" is torchvision's vgg16 and vgg16_bn: R(x) is the second hidden layer of
    `hidden` after its ReLU and before its dropout. Variant "cifar" has one Linear on the flattened
    features, which are R(x); with batch_norm it is the CIFAR VGG16 of MadryLab/robustness.
    reps: block1 ... block5, hidden ("imagenet"), representation.
    """

    FOLDS: ClassVar = {f"features_{i + 1}": f"features_{i}" for i in range(42)}
    batch_norm: bool
    variant: str
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    last_act: Callable = layers.relu
    norm: Callable = layers.batch_norm
    hidden: int = 4096  # units of both hidden layers of variant "imagenet"

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return logits (N, classes) and reps."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = layers.normalize(images, self.mean, self.std, self.dtype)
        reps, index = {}, 0
        for block, (channels, convolutions) in enumerate(_BLOCKS, 1):
            for i in range(convolutions):
                init = self._convolution_init(9 * x.shape[-1])
                name = f"features_{index}"
                x = layers.conv(channels, 3, 1, 1, name=name, **init, **types)(x)
                if self.batch_norm:
                    x = self.norm(train, name=f"features_{index + 1}", **types)(x)
                last = (block, i) == (len(_BLOCKS), convolutions - 1)
                x = self.last_act(x) if last and self.variant == "cifar" else layers.relu(x)
                index += 3 if self.batch_norm else 2
            x = reps[f"block{block}"] = layers.max_pool(x)
            index += 1
        if self.variant == "cifar":
            reps["representation"] = layers.flatten(x)
            logits = layers.dense(reps["representation"], self.classes, name="classifier", **types)
        else:
            logits = self._imagenet_head(x, reps, train, types)
        return layers.at_least_float32(logits), reps

    def _imagenet_head(
        self, x: jax.Array, reps: dict[str, jax.Array], train: bool, types: dict[str, Any]
    ) -> jax.Array:
        """Add hidden and representation to reps and return the logits."""
        types = types | {"kernel_init": nn.initializers.normal(0.01)}
        dropout = nn.Dropout(0.5, deterministic=not train)
        x = layers.flatten(layers.adaptive_avg_pool(x, (7, 7)))
        reps["hidden"] = layers.relu(nn.Dense(self.hidden, name="classifier_0", **types)(x))
        x = nn.Dense(self.hidden, name="classifier_3", **types)(dropout(reps["hidden"]))
        reps["representation"] = self.last_act(x)
        x = dropout(reps["representation"])
        return nn.Dense(self.classes, name="classifier_6", **types)(x)

    def _convolution_init(self, fan_in: int) -> dict[str, Callable]:
        if self.variant == "imagenet":
            return {"kernel_init": layers.kaiming_normal}
        init = layers.torch_default(fan_in)
        return {"kernel_init": init, "bias_init": init}
