"""A stage of a frozen network, and the decoder that inverts it (Rojas-Gomez et al. 2021).

The encoder is inverted; the comparator is the same network as it was trained, whose features of an
image the feature loss and the discriminator use. Both take one image.
"""

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from rrjax import BadInput
from rrjax.models import decoders, layers
from rrjax.models.discriminator import Discriminator

# AlexNet's decoders: the stage that each inverts, and its rows.
TABLES = {
    "conv5_transposed": ("conv5", decoders.CONV5_TRANSPOSED),
    "conv5_nearest": ("conv5", decoders.CONV5_NEAREST),
    "conv2": ("conv2", decoders.CONV2_NEAREST),
    "conv1": ("conv1", decoders.CONV1_NEAREST),
}
DECODERS = ("mirror", *TABLES, "wavelet")
NORMS = ("standardize", "scale")
_DETAILS = ("details5", "details2", "details1")


class Networks(NamedTuple):
    """Four modules, the stage that is inverted, and the one by which images are compared.

    discriminator: None where there is none. stride: images have sides of its multiples.
    """

    encoder: nn.Module
    comparator: nn.Module
    decoder: nn.Module
    discriminator: nn.Module | None
    stage: str
    compared: str
    stride: int


def create(config: ConfigDict, encoder: nn.Module, arrays: Any, image_size: int) -> Networks:
    """Make the networks that a training config's `model` and `loss` describe.

    Args:
      config: of a training.
      encoder: a network, as `folding.fold` returns it.
      arrays: its variables.
      image_size: rows and columns of the images, in pixels.

    Raises:
      BadInput: naming a field that does not fit the encoder, or an image size that the decoder
        does not return.
    """
    model = config.model
    image = jax.ShapeDtypeStruct((image_size, image_size, len(encoder.mean)), jnp.float32)
    if len(model.mean) != len(encoder.mean):
        raise BadInput(
            f"model.mean={tuple(model.mean)}: the encoder's images have {len(encoder.mean)} "
            "channels, give one number for each"
        )
    maps = _maps(encoder, arrays, image)
    for field, stage in (("model.stage", model.stage), ("loss.stage", config.loss.stage)):
        if stage not in maps:
            raise BadInput(f"{field}={stage!r}: the encoder's maps are {', '.join(maps)}")
    decoder, stride = _decoder(model, maps[model.stage], image)
    types = _types(model)
    networks = Networks(
        encoder=_inverted(encoder, model),
        comparator=encoder,
        decoder=decoder,
        discriminator=_discriminator(config.loss, types),
        stage=model.stage,
        compared=config.loss.stage,
        stride=stride,
    )
    _check_size(networks, arrays, image)
    return networks


def _maps(encoder: nn.Module, arrays: Any, image: jax.ShapeDtypeStruct) -> dict[str, Any]:
    """Return the shapes of the stages that are maps, (1, h, w, C)."""
    apply = partial(encoder.apply, train=False)
    _, reps = jax.eval_shape(apply, arrays, jax.ShapeDtypeStruct((1, *image.shape), image.dtype))
    return {name: x for name, x in reps.items() if x.ndim == 4}


def _discriminator(config: ConfigDict, types: dict[str, Any]) -> Discriminator | None:
    return Discriminator(config.discriminator_stride, **types) if config.adversarial else None


def _inverted(encoder: nn.Module, config: ConfigDict) -> nn.Module:
    """Return the encoder with the normalization that the config asks for.

    The authors' code trains its classifiers on standardized pixels, but inverts them on pixels
    scaled to [-1,1]: "scale".
    """
    if config.encoder_norm not in NORMS:
        raise BadInput(f"model.encoder_norm={config.encoder_norm!r}: choose one of {NORMS}")
    if config.decoder == "wavelet":
        encoder = encoder.clone(haar=True)
    if config.encoder_norm == "standardize":
        return encoder
    halves = (0.5,) * len(encoder.mean)
    return encoder.clone(mean=halves, std=halves)


def _decoder(
    config: ConfigDict, features: jax.ShapeDtypeStruct, image: jax.ShapeDtypeStruct
) -> tuple[nn.Module, int]:
    """Return the decoder, and the stride: it decodes images whose sides are its multiples."""
    if config.decoder not in DECODERS:
        raise BadInput(f"model.decoder={config.decoder!r}: choose one of {', '.join(DECODERS)}")
    types = _types(config)
    if config.decoder == "mirror":
        stride = 1 << round(math.log2(image.shape[0] / features.shape[1]))
        rows = decoders.mirror(stride, features.shape[-1])
        return decoders.Decoder(rows, image.shape[-1], **types), stride
    stage, rows = TABLES.get(config.decoder, ("conv5", None))
    if config.stage != stage:
        raise BadInput(
            f"model.stage={config.stage!r}: the decoder {config.decoder} is of AlexNet's {stage}; "
            "set --config.model.decoder=mirror, or that stage of an AlexNet"
        )
    if rows is None:
        return decoders.WaveletDecoder(**types), 32
    return decoders.Decoder(rows, image.shape[-1], **types), 32


def _types(config: ConfigDict) -> dict[str, Any]:
    return {"dtype": jnp.dtype(config.dtype), "param_dtype": jnp.dtype(config.param_dtype)}


def _check_size(networks: Networks, arrays: Any, image: jax.ShapeDtypeStruct) -> None:
    """Raise BadInput if the decoder gives another size, by the shapes alone."""
    features, _ = jax.eval_shape(partial(_features, networks), arrays, image)
    features, decoder = _rows(features), networks.decoder
    variables = jax.eval_shape(partial(decoder.init, train=False), jax.random.key(0), *features)
    decoded = jax.eval_shape(partial(decoder.apply, train=False), variables, *features)
    if decoded.shape[1:] != image.shape:
        raise BadInput(
            f"data.image_size={image.shape[0]}: the decoder makes {decoded.shape[1]} pixels of it; "
            f"give a multiple of {networks.stride}, or another decoder"
        )


def _features(networks: Networks, arrays: Any, image: jax.Array) -> tuple[Any, jax.Array]:
    encode, compare = frozen_encoder(networks, arrays)
    return encode(image), compare(image)


def init(
    networks: Networks, arrays: Any, image_shape: tuple[int, int, int], key: jax.Array
) -> dict[str, dict]:
    """Draw the trained variables: {"params": {network: ...}, "batch_stats": {network: ...}}."""
    image = jax.ShapeDtypeStruct(image_shape, jnp.float32)
    features, compared = jax.eval_shape(partial(_features, networks), arrays, image)
    inputs = {"decoder": _rows(features)}
    if networks.discriminator:
        inputs["discriminator"] = _rows((image, compared))
    drawn = {
        name: layers.draw(getattr(networks, name), jax.random.fold_in(key, i), *shapes)
        for i, (name, shapes) in enumerate(inputs.items())
    }
    return {
        kind: {name: variables[kind] for name, variables in drawn.items()}
        for kind in ("params", "batch_stats")
    }


def decode(networks: Networks, variables: Any, features: Any) -> tuple[jax.Array, Any]:
    """Decode the features of a batch in train mode: (images, batch_stats after it)."""
    inputs = _inputs(features)
    images, updates = networks.decoder.apply(
        variables, *inputs, train=True, mutable=["batch_stats"]
    )
    return images, updates["batch_stats"]


def frozen_encoder(networks: Networks, arrays: Any) -> tuple[jax.tree_util.Partial, ...]:
    """Make encode and compare of one image (H, W, C): pytrees over the arrays.

    encode: image -> features, a map (h, w, C); for the wavelet decoder (map, details). compare:
    image -> the comparator's map.
    """
    encode = _map(networks.encoder, networks.stage)
    if isinstance(networks.decoder, decoders.WaveletDecoder):
        encode = _map_and_details(networks.encoder, networks.stage)
    compare = _map(networks.comparator, networks.compared)
    return jax.tree_util.Partial(encode, arrays), jax.tree_util.Partial(compare, arrays)


def frozen_decoder(networks: Networks, variables: dict) -> jax.tree_util.Partial:
    """Make decode, in eval mode: the features of one image -> the image (H, W, C)."""
    own = {kind: trees["decoder"] for kind, trees in variables.items()}
    return jax.tree_util.Partial(_one_image(networks), own)


# One function for each of these, so that jit finds the program that it compiled before.
@cache
def _map(model: nn.Module, stage: str) -> Callable:
    def features(arrays: Any, image: jax.Array) -> jax.Array:
        _, reps = model.apply(arrays, image[None], train=False)
        return layers.at_least_float32(reps[stage][0])

    return features


@cache
def _map_and_details(model: nn.Module, stage: str) -> Callable:
    def features(arrays: Any, image: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        _, reps = model.apply(arrays, image[None], train=False)
        details = tuple(layers.at_least_float32(reps[name][0]) for name in _DETAILS)
        return layers.at_least_float32(reps[stage][0]), details

    return features


@cache
def _one_image(networks: Networks) -> Callable:
    def image(variables: Any, features: Any) -> jax.Array:
        return networks.decoder.apply(variables, *_rows(features), train=False)[0]

    return image


def _rows(features: Any) -> tuple:
    """Return the decoder's inputs for one image's features, arrays or shapes."""

    def row(x: jax.Array | jax.ShapeDtypeStruct) -> jax.Array | jax.ShapeDtypeStruct:
        if isinstance(x, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct((1, *x.shape), x.dtype)
        return x[None]

    return _inputs(jax.tree.map(row, features))


def _inputs(features: Any) -> tuple:
    return features if isinstance(features, tuple) else (features,)
