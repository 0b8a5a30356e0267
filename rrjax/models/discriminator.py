"""The discriminator that decoders are trained against, conditional on the true image's features."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rrjax import BadInput
from rrjax.models import layers

# Channels, kernel size, stride and padding.
_CONVOLUTIONS = ((32, 7, 4, 1), (64, 5, 1, 0), (128, 3, 2, 0), (256, 3, 1, 0), (256, 3, 2, 0))


class Discriminator(nn.Module):
    """Tell images (N, H, W, C), float in [0, 1], from decoded ones, by the features (N, ...).

    Returns logits (N,), positive for true images. The features are the true image's in both cases.
    Of Dosovitskiy and Brox (2016), with the spectral norm of Rojas-Gomez et al. (2021). `stride`
    is the first convolution's: the published 4 takes images from 61 pixels on, 1 from 19.

    Raises:
      BadInput: for smaller images.
    """

    stride: int = 4
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, features: jax.Array, train: bool) -> jax.Array:
        """Return logits (N,)."""
        x = self._image_features(images, train)
        y = features.reshape(len(features), -1)
        y = nn.relu(self._dense(y, 1024, train, "features_1"))
        y = nn.relu(self._dense(y, 512, train, "features_2"))
        dropout = nn.Dropout(0.5, deterministic=not train)
        x = dropout(jnp.concatenate([x, y], axis=-1))
        x = dropout(nn.relu(self._dense(x, 512, train, "classifier_1")))
        return layers.at_least_float32(self._dense(x, 1, train, "classifier_2")[:, 0])

    def _image_features(self, images: jax.Array, train: bool) -> jax.Array:
        """Map images to (N, 256)."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = images
        for i, (channels, size, stride, pad) in enumerate(_CONVOLUTIONS, 1):
            inits = {
                "kernel_init": nn.initializers.normal(0.02),
                "bias_init": layers.torch_default(size * size * x.shape[-1]),
            }
            stride = self.stride if i == 1 else stride
            layer = layers.conv(channels, size, stride, pad, name=f"conv{i}", **inits, **types)
            x = nn.relu(layers.spectral_norm(layer, x, train))
        if 0 in x.shape:
            raise BadInput(
                f"images of {images.shape[1:3]} pixels: "
                f"too small for a discriminator of stride {self.stride}"
            )
        return x.mean((1, 2))

    def _dense(self, x: jax.Array, features: int, train: bool, name: str) -> jax.Array:
        init = layers.torch_default(x.shape[-1])
        layer = nn.Dense(
            features,
            kernel_init=init,
            bias_init=init,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )
        return layers.spectral_norm(layer, x, train)
