"""The VAE-GAN of Kim, Seo and Jeon (2019): a manifold of images that is learned.

Three networks of float (N, H, W, C) images in [0, 1], each `(x, train) -> ...`. Their tables are
"mnist", for 28 pixels, and "cifar", for any multiple of 8. BN comes after the ReLU.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypedDict, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from rrjax import BadInput
from rrjax.models import layers

VARIANTS = ("mnist", "cifar")


class _Fields(TypedDict):
    """The fields of a `_Network`, as keywords."""

    variant: str
    width: int
    dtype: jnp.dtype
    param_dtype: jnp.dtype


class _Network(nn.Module):
    """The fields and layers that the three share."""

    variant: str
    width: int  # channels of the encoder's first convolution; the paper's: 64
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def types(self) -> dict[str, Any]:
        """The dtypes, as keywords of a layer."""
        return {"dtype": self.dtype, "param_dtype": self.param_dtype}

    def activated(self, x: jax.Array, train: bool, name: str) -> jax.Array:
        """Apply the ReLU, then BN."""
        return layers.batch_norm(train, name=name, **self.types)(nn.relu(x))

    def halved(self, x: jax.Array, features: int, size: int, name: str) -> jax.Array:
        """Convolve with stride 2."""
        return layers.conv(features, size, 2, "SAME", name=name, **self.types)(x)

    def enlarged(self, x: jax.Array, features: int, stride: int, pad: int, name: str) -> jax.Array:
        """Convolve 4x4, transposed."""
        return layers.conv_transposed(features, 4, stride, pad, name=name, **self.types)(x)


class Encoder(_Network):
    """Map images to the means and the logarithms of the variances of their latents, (N, d) each."""

    latent: int = 10

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        """Return means and log-variances, (N, latent) each."""
        x = _centered(images, self.dtype)
        size = 4 if self.variant == "mnist" else 5
        for i in range(3):
            x = self.halved(x, self.width << i, size, f"conv{i + 1}")
            x = self.activated(x, train, f"bn{i + 1}")
        x = nn.Dense(2 * self.latent, name="dense", **self.types)(x.reshape(len(x), -1))
        x = layers.batch_norm(train, name="bn4", **self.types)(x)
        return tuple(jnp.split(layers.at_least_float32(x), 2, axis=-1))


class Generator(_Network):
    """Map latents (N, d) to images (N, size, size, channels)."""

    size: int = 28
    channels: int = 1

    @nn.compact
    def __call__(self, latents: jax.Array, train: bool) -> jax.Array:
        """Return images in [0, 1]."""
        make = self._mnist if self.variant == "mnist" else self._cifar
        x = layers.at_least_float32(make(latents, train))
        return (nn.tanh(x) + 1) / 2

    def _mnist(self, latents: jax.Array, train: bool) -> jax.Array:
        """Grow from 2 pixels to 4, 7, 14 and 28."""
        w = self.width
        x = self.activated(self._dense(latents, 2, 4 * w), train, "bn0")
        rows = ((4 * w, 2, 1), (2 * w, 1, 0), (w // 2, 2, 1))
        for i, (features, stride, pad) in enumerate(rows, 1):
            x = self.enlarged(x, features, stride, pad, f"conv{i}")
            x = self.activated(x, train, f"bn{i}")
        return self.enlarged(x, self.channels, 2, 1, "conv4")

    def _cifar(self, latents: jax.Array, train: bool) -> jax.Array:
        """Double three times."""
        w = self.width
        x = self._dense(latents, self.size // 8, 8 * w)
        for i, features in enumerate((4 * w, 2 * w, w), 1):
            x = self.enlarged(x, features, 2, 1, f"conv{i}")
            x = self.activated(x, train, f"bn{i}")
        return layers.conv(self.channels, 3, 1, 1, name="conv4", **self.types)(x)

    def _dense(self, latents: jax.Array, side: int, features: int) -> jax.Array:
        x = nn.Dense(side * side * features, name="dense", **self.types)(latents)
        return x.reshape(len(x), side, side, features)


class Discriminator(_Network):
    """Map images to logits (N,), positive for real ones."""

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """Return logits (N,)."""
        layers_of = self._mnist if self.variant == "mnist" else self._cifar
        x = layers_of(_centered(images, self.dtype), train).reshape(len(images), -1)
        return layers.at_least_float32(nn.Dense(1, name="logit", **self.types)(x)[:, 0])

    def _mnist(self, x: jax.Array, train: bool) -> jax.Array:
        w = self.width
        x = nn.relu(self.halved(x, w // 2, 4, "conv1"))
        for i, features in enumerate((2 * w, 4 * w, 4 * w), 2):
            x = self.activated(self.halved(x, features, 4, f"conv{i}"), train, f"bn{i}")
        x = nn.Dense(8 * w, name="dense", **self.types)(x.reshape(len(x), -1))
        return self.activated(x, train, "bn5")

    def _cifar(self, x: jax.Array, train: bool) -> jax.Array:
        """Alternate 3x3 convolutions and halving ones, of spectral norm 1 at most; no BN."""
        w = self.width
        for i, features in enumerate((w, w, 2 * w, 2 * w, 4 * w, 4 * w, 8 * w), 1):
            size, stride = (3, 1) if i % 2 else (4, 2)
            layer = layers.conv(features, size, stride, "SAME", name=f"conv{i}", **self.types)
            x = nn.leaky_relu(layers.spectral_bound(layer, x, train), 0.1)
        return x


def _centered(images: jax.Array, dtype: Any) -> jax.Array:
    return (2 * images - 1).astype(dtype)


def create(config: ConfigDict, image_size: int) -> dict[str, nn.Module]:
    """Make the three networks a config's `model` describes: encoder, generator, discriminator.

    Raises:
      BadInput: for an unknown variant, or a size that the variant does not take.
    """
    if config.variant not in VARIANTS:
        raise BadInput(f"model variant of vaegan {config.variant!r}: choose from {VARIANTS}")
    fits = image_size == 28 if config.variant == "mnist" else image_size % 8 == 0
    if not fits:
        raise BadInput(
            f"data.image_size={image_size}: a vaegan's mnist variant takes 28 pixels, its cifar "
            "variant any multiple of 8"
        )
    if min(config.width, config.latent) < 1:
        raise BadInput(f"model width {config.width}, latent {config.latent}: at least 1 each")
    common: _Fields = {
        "variant": config.variant,
        "width": config.width,
        "dtype": jnp.dtype(config.dtype),
        "param_dtype": jnp.dtype(config.param_dtype),
    }
    return {
        "encoder": Encoder(latent=config.latent, **common),
        "generator": Generator(size=image_size, channels=len(config.mean), **common),
        "discriminator": Discriminator(**common),
    }


def init(networks: dict[str, nn.Module], key: jax.Array) -> dict[str, dict]:
    """Draw all variables: {"params": {network: ...}, "batch_stats": {network: ...}}."""
    generator = networks["generator"]
    image = (1, generator.size, generator.size, generator.channels)
    latent = (1, networks["encoder"].latent)
    shapes = {"encoder": image, "generator": latent, "discriminator": image}
    inputs = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    drawn = {
        name: layers.draw(network, jax.random.fold_in(key, i), inputs[name])
        for i, (name, network) in enumerate(networks.items())
    }
    return {
        kind: {name: variables.get(kind, {}) for name, variables in drawn.items()}
        for kind in ("params", "batch_stats")
    }


def frozen(networks: dict[str, nn.Module], variables: dict) -> tuple[jax.tree_util.Partial, ...]:
    """Make encode, decode and deviation of one image, in eval mode: pytrees over the variables.

    encode: image (H, W, C) -> the mean of its latent (d,); decode: latent -> image; deviation:
    image -> the standard deviations of its latent.
    """

    def make(name: str, function: Callable) -> jax.tree_util.Partial:
        own = {kind: trees[name] for kind, trees in variables.items()}
        return jax.tree_util.Partial(partial(function, networks[name]), own)

    return make("encoder", _mean), make("generator", _image), make("encoder", _deviation)


def _mean(encoder: Encoder, variables: dict, image: jax.Array) -> jax.Array:
    return encoder.apply(variables, image[None], train=False)[0][0]


def _deviation(encoder: Encoder, variables: dict, image: jax.Array) -> jax.Array:
    outputs = encoder.apply(variables, image[None], train=False)
    _, log_variances = cast(tuple[jax.Array, jax.Array], outputs)  # alone: nothing is mutable
    return jnp.exp(log_variances[0] / 2)


def _image(generator: Generator, variables: dict, latent: jax.Array) -> jax.Array:
    return generator.apply(variables, latent[None], train=False)[0]
