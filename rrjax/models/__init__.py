"""The classifiers. Every one: `apply(variables, images, train) -> (logits, reps)`.

Images are float (N, H, W, C) in [0, 1]; logits (N, classes); reps a dict of every stage by
name, in which "representation" is always R(x), the input of the last Linear (before dropout).
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.errors import ScopeParamShapeError
from ml_collections import ConfigDict

from rrjax import BadInput
from rrjax.models import folding, layers, own
from rrjax.models.alexnet import AlexNet
from rrjax.models.densenet import DenseNet
from rrjax.models.mnasnet import MNASNet
from rrjax.models.mobilenet import MobileNetV2
from rrjax.models.preactivation import PREACT_VARIANTS, PreActResNet, WideResNet
from rrjax.models.resnet import Basic, Bottleneck, ResNet
from rrjax.models.shufflenet import ShuffleNetV2
from rrjax.models.smallcnn import SmallCNN
from rrjax.models.vgg import VGG

MODELS = {
    "resnet8": partial(ResNet, (1, 1, 1), Basic),
    "resnet18": partial(ResNet, (2, 2, 2, 2), Basic),
    "resnet34": partial(ResNet, (3, 4, 6, 3), Basic),
    "resnet50": partial(ResNet, (3, 4, 6, 3), Bottleneck),
    "wide_resnet50_2": partial(ResNet, (3, 4, 6, 3), partial(Bottleneck, width_per_group=128)),
    "wide_resnet50_4": partial(ResNet, (3, 4, 6, 3), partial(Bottleneck, width_per_group=256)),
    "resnext50_32x4d": partial(
        ResNet, (3, 4, 6, 3), partial(Bottleneck, groups=32, width_per_group=4)
    ),
    "preact_resnet18": partial(PreActResNet, (2, 2, 2, 2)),
    "wideresnet28_10": partial(WideResNet, 28, 10),
    "wideresnet34_10": partial(WideResNet, 34, 10),
    "vgg16": partial(VGG, False),
    "vgg16_bn": partial(VGG, True),
    "alexnet": partial(AlexNet),
    "densenet161": partial(DenseNet, 48, (6, 12, 36, 24), 96),
    "mobilenet_v2": partial(MobileNetV2),
    "shufflenet_v2_x1_0": partial(ShuffleNetV2, (4, 8, 4), (24, 116, 232, 464, 1024)),
    "mnasnet1_0": partial(MNASNet),
    "mnist_cnn": partial(SmallCNN, ((32, 64),), 5, 1024),
    "cifar_cnn": partial(SmallCNN, ((32, 32), (64, 64)), 3, 512),
    "tiny": partial(SmallCNN, ((4,), (8,)), 3, 0),
}
# The families that come in other variants than the two of most.
_VARIANTS = {
    "wide_resnet50_2": ("imagenet",),
    "wide_resnet50_4": ("imagenet",),
    "resnext50_32x4d": ("imagenet",),
    "preact_resnet18": tuple(PREACT_VARIANTS),
    "wideresnet28_10": ("cifar",),
    "wideresnet34_10": ("cifar",),
    "alexnet": ("imagenet",),
    "densenet161": ("imagenet",),
    "mobilenet_v2": ("imagenet",),
    "shufflenet_v2_x1_0": ("imagenet",),
    "mnasnet1_0": ("imagenet",),
    "mnist_cnn": ("cifar",),
    "cifar_cnn": ("cifar",),
    "tiny": ("cifar",),
}
_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float64": jnp.float64}
STANDARD_WIDTH = 64
# Families whose width has a unit: with 32 groups of 4 channels at 64, 16 make groups of 1.
_WIDTH_UNITS = {"resnext50_32x4d": 16}


def create(config: ConfigDict) -> nn.Module:
    """Make the module that a config describes.

    Args:
      config: name (a key of MODELS), unless module is a class of your own, "package.file:Net"
        (`rrjax.models.own`); variant, "imagenet" (large images) or "cifar" (small ones), or
        whose PreActResNet it is; width (channels of a ResNet's first stage; 64, the standard, for
        every other family); classes; mean and std, one number a channel; dtype and param_dtype,
        names; sync_batch_norm, whether BN takes its training statistics over all devices.

    Raises:
      BadInput: for a value that no model has.
    """
    if "module" in config and config.module:
        return _create_own(config)
    constructor = _choose("name", config.name, MODELS)
    variants = _VARIANTS.get(config.name, ("imagenet", "cifar"))
    if config.variant not in variants:
        raise BadInput(_choices(f"variant of {config.name}", config.variant, variants))
    has = constructor.func.__dataclass_fields__
    _check_width(config, "width" in has)
    _check_numbers(config)
    shape = {field: getattr(config, field) for field in ("variant", "width") if field in has}
    if config.sync_batch_norm and "norm" in has:
        shape["norm"] = layers.batch_norm_over_devices
    return constructor(
        classes=config.classes,
        mean=tuple(config.mean),
        std=tuple(config.std),
        dtype=_choose("dtype", config.dtype, _DTYPES),
        param_dtype=_choose("param_dtype", config.param_dtype, _DTYPES),
        **shape,
    )


def _create_own(config: ConfigDict) -> nn.Module:
    """Make the adapter of the linen module of a user's that config.module names."""
    _check_numbers(config)
    made = own.find(config.module)
    if config.sync_batch_norm and "norm" not in made.__dataclass_fields__:
        raise BadInput(
            f"model.sync_batch_norm: {config.module} has no field `norm`, which makes its BNs: "
            "give it one, or set this to False"
        )
    return own.Own(
        make=made,
        classes=config.classes,
        mean=tuple(config.mean),
        std=tuple(config.std),
        dtype=_choose("dtype", config.dtype, _DTYPES),
        param_dtype=_choose("param_dtype", config.param_dtype, _DTYPES),
        norm=layers.batch_norm_over_devices if config.sync_batch_norm else layers.batch_norm,
    )


def _check_numbers(config: ConfigDict) -> None:
    """Check the numbers that every model has."""
    if config.classes < 1:
        raise BadInput(f"model classes {config.classes}: it must be at least 1")
    numbers = min(config.std) > 0 and max(*config.std, *config.mean) <= 1 and min(config.mean) >= 0
    if len(config.mean) != len(config.std) or not numbers:
        raise BadInput(
            f"model mean {tuple(config.mean)} and std {tuple(config.std)}: they must have one "
            "number a channel each, of pixels in [0,1], std positive"
        )
    if "float64" in (config.dtype, config.param_dtype) and not jax.config.values["jax_enable_x64"]:
        raise BadInput("model dtype float64: JAX needs JAX_ENABLE_X64=1 in the environment for it")


def _check_width(config: ConfigDict, has_width: bool) -> None:
    unit = _WIDTH_UNITS.get(config.name, 1)
    if not has_width and config.width != STANDARD_WIDTH:
        raise BadInput(_choices(f"width of {config.name}", config.width, [STANDARD_WIDTH]))
    if config.width < 1 or config.width % unit:
        least = "at least 1" if unit == 1 else f"a multiple of {unit}"
        raise BadInput(f"model width {config.width}: it must be {least}")


def init(model: nn.Module, key: jax.Array, image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """Draw a model's variables (params, and batch_stats if it has any) for (H, W, C) images."""
    return layers.draw(model, key, jax.ShapeDtypeStruct((1, *image_shape), jnp.float32))


def frozen(model: nn.Module, variables: Mapping[str, Any]) -> jax.tree_util.Partial:
    """Make `apply`: one image (H, W, C), float in [0, 1] -> (logits, reps), in eval mode.

    It is a pytree over the variables: passed through jit they are arguments, not constants. The BNs
    that the model declares are folded into the convolutions, once, here (`folding`).
    """
    model, variables = folding.fold(model, variables)
    return jax.tree_util.Partial(_one_image(model), variables)


def variable_shapes(config: ConfigDict, image_size: int) -> dict[str, Any]:
    """Return the shapes of the variables of the model that a config describes.

    Raises:
      BadInput: for a value that no model has, and for images of a size that this one cannot take.
    """
    model = create(config)
    shape = (image_size, image_size, len(config.mean))
    if isinstance(model, own.Own):
        own.check(model, config.module, shape)
    try:
        return jax.eval_shape(lambda: init(model, jax.random.key(0), shape))
    except (ZeroDivisionError, TypeError, ValueError) as error:
        raise BadInput(
            f"model {config.name} ({config.variant}) cannot take images of {image_size} pixels "
            f"({error}): set --config.data.image_size"
        ) from error


@cache  # one function a model, so that jit finds the program that it compiled before
def _one_image(model: nn.Module) -> Callable:
    def apply(variables: dict[str, Any], image: jax.Array) -> tuple[jax.Array, dict]:
        if image.ndim != 3:  # a batch would pass, as several rows of one
            raise BadInput(
                f"an image of shape {image.shape}: give one (H, W, C), and add a batch axis by "
                "jax.vmap"
            )
        try:
            outputs = model.apply(variables, image[None], train=False)
        except ScopeParamShapeError as error:
            raise BadInput(
                f"an image of {image.shape[0]}x{image.shape[1]} pixels: the Linear layers of this "
                "network take those of another size, as in its training"
            ) from error
        # Under bfloat16 too, norms and distances of a representation are float32.
        return jax.tree.map(lambda x: layers.at_least_float32(x[0]), outputs)

    return apply


def _choose(field: str, value: str, table: Mapping[str, Any]) -> Any:
    if value not in table:
        raise BadInput(_choices(field, value, table))
    return table[value]


def _choices(field: str, value: Any, choices: Iterable) -> str:
    return f"model {field} {value!r}: choose from {', '.join(map(str, choices))}"
