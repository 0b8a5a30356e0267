"""AlexNet as torchvision has it ("One weird trick", 2014)."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rrjax.models import layers, wavelets

# Index in torch's `features`, channels, kernel size, stride, padding, whether a max-pool follows.
_CONVOLUTIONS = (
    (0, 64, 11, 4, 2, True),
    (3, 192, 5, 1, 2, True),
    (6, 384, 3, 1, 1, False),
    (8, 256, 3, 1, 1, False),
    (10, 256, 3, 1, 1, True),
)


class AlexNet(nn.Module):
    """Map float (N, H, W, C) images in [0, 1], H and W at least 63, to (logits, reps).

    R(x) is the second hidden layer of `hidden` after its ReLU, the input of the last Linear.
    reps: conv1 ... conv5 (after ReLU and max-pool), hidden, representation.

    With `haar` a stage's LL band takes the place of its max-pool, of the same size, and reps have
    LH, HL and HH as details1, details2 and details5, (N, 3, H, W, C): the same parameters, for
    denoising (Rojas-Gomez et al. 2021).
    """

    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    last_act: Callable = layers.relu
    haar: bool = False
    hidden: int = 4096  # units of both hidden layers

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return logits (N, classes) and reps."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        dropout = nn.Dropout(0.5, deterministic=not train)
        x = layers.normalize(images, self.mean, self.std, self.dtype)
        reps = {}
        for i, (index, channels, size, stride, pad, pool) in enumerate(_CONVOLUTIONS, 1):
            init = layers.torch_default(size * size * x.shape[-1])
            inits = {"kernel_init": init, "bias_init": init}
            name = f"features_{index}"
            x = layers.relu(
                layers.conv(channels, size, stride, pad, name=name, **inits, **types)(x)
            )
            if pool and self.haar:
                bands = jax.vmap(wavelets.pool)(x)
                x, reps[f"details{i}"] = bands[:, 0], bands[:, 1:]
            elif pool:
                x = layers.overlapping_max_pool(x, 0)
            reps[f"conv{i}"] = x
        x = dropout(layers.flatten(layers.adaptive_avg_pool(x, (6, 6))))
        reps["hidden"] = layers.relu(layers.dense(x, self.hidden, name="classifier_1", **types))
        x = layers.dense(dropout(reps["hidden"]), self.hidden, name="classifier_4", **types)
        reps["representation"] = self.last_act(x)
        x = layers.dense(reps["representation"], self.classes, name="classifier_6", **types)
        return layers.at_least_float32(x), reps
