"""Which network of `rrjax.models` a state dict is of, by its keys and shapes."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from rrjax import BadInput
from rrjax.models import STANDARD_WIDTH
from rrjax.runs import defaults

_LEAVES = ("weight", "bias", "running_mean", "running_var")


class Outline(NamedTuple):
    """What a network's state dict shows before the network is made, which takes a second.

    stem: the key of its first convolution. head: of its last Linear. keys: how many keys it has,
    those of `num_batches_tracked` aside. wide: whether its width is a field of its config.
    """

    stem: str
    head: str
    keys: int
    wide: bool = False


# By name and variant. A name's variants lie together, and of networks with the same outline the
# more common one comes first.
OUTLINES = {
    ("resnet8", "imagenet"): Outline("conv1.weight", "fc.weight", 47, True),
    ("resnet8", "cifar"): Outline("conv1.weight", "linear.weight", 47, True),
    ("resnet18", "imagenet"): Outline("conv1.weight", "fc.weight", 102, True),
    ("resnet18", "cifar"): Outline("conv1.weight", "linear.weight", 102, True),
    ("resnet34", "imagenet"): Outline("conv1.weight", "fc.weight", 182, True),
    ("resnet34", "cifar"): Outline("conv1.weight", "linear.weight", 182, True),
    ("resnet50", "imagenet"): Outline("conv1.weight", "fc.weight", 267, True),
    ("resnet50", "cifar"): Outline("conv1.weight", "linear.weight", 267, True),
    ("wide_resnet50_2", "imagenet"): Outline("conv1.weight", "fc.weight", 267, True),
    ("wide_resnet50_4", "imagenet"): Outline("conv1.weight", "fc.weight", 267, True),
    ("resnext50_32x4d", "imagenet"): Outline("conv1.weight", "fc.weight", 267, True),
    ("preact_resnet18", "pytorch_cifar"): Outline("conv1.weight", "linear.weight", 86, True),
    ("preact_resnet18", "robustbench"): Outline("conv1.weight", "linear.weight", 86, True),
    ("preact_resnet18", "fast_adversarial"): Outline("conv1.weight", "linear.weight", 90, True),
    ("preact_resnet18", "robust_overfitting"): Outline("conv1.weight", "linear.weight", 90, True),
    ("wideresnet28_10", "cifar"): Outline("conv1.weight", "fc.weight", 130),
    ("wideresnet34_10", "cifar"): Outline("conv1.weight", "fc.weight", 160),
    ("vgg16", "imagenet"): Outline("features.0.weight", "classifier.6.weight", 32),
    ("vgg16", "cifar"): Outline("features.0.weight", "classifier.weight", 28),
    ("vgg16_bn", "imagenet"): Outline("features.0.weight", "classifier.6.weight", 84),
    ("vgg16_bn", "cifar"): Outline("features.0.weight", "classifier.weight", 80),
    ("alexnet", "imagenet"): Outline("features.0.weight", "classifier.6.weight", 16),
    ("densenet161", "imagenet"): Outline("features.conv0.weight", "classifier.weight", 806),
    ("mobilenet_v2", "imagenet"): Outline("features.0.0.weight", "classifier.1.weight", 262),
    ("mnasnet1_0", "imagenet"): Outline("layers.0.weight", "classifier.1.weight", 262),
    ("shufflenet_v2_x1_0", "imagenet"): Outline("conv1.0.weight", "fc.weight", 282),
    ("mnist_cnn", "cifar"): Outline("conv1.weight", "fc2.weight", 8),
    ("cifar_cnn", "cifar"): Outline("conv1.weight", "fc2.weight", 12),
    ("tiny", "cifar"): Outline("conv1.weight", "fc2.weight", 6),
}


def candidates(
    state: Mapping[str, np.ndarray], chosen: Mapping[str, str]
) -> Iterator[list[ConfigDict]]:
    """Yield what a network may be, the likeliest first: configs of the variants of one name.

    Each is the `config.model` of a training, with the width and the classes of the state dict; its
    mean and std are of as many numbers as images have channels, and not the network's.

    Args:
      state: a state dict without the prefixes of `torch_checkpoint.bare`; it may hold more.
      chosen: the name and the variant, each or none.
    """
    outlines = [
        (key, outline)
        for key, outline in OUTLINES.items()
        if key[0] == chosen.get("name", key[0]) and key[1] == chosen.get("variant", key[1])
    ]
    if not outlines:
        known = ", ".join(f"{name} ({variant})" for name, variant in OUTLINES)
        raise BadInput(f"model={dict(chosen)}: there is no such network; choose from {known}")
    outlines.sort(key=lambda pair: -pair[1].keys)
    for _, pairs in groupby(outlines, key=lambda pair: pair[0][0]):
        fitting = [
            _model(key, state[prefix + outline.stem], state[prefix + outline.head], outline.wide)
            for key, outline in pairs
            if (prefix := _prefix(state, outline)) is not None
        ]
        if fitting:
            yield fitting


def _prefix(state: Mapping[str, np.ndarray], outline: Outline) -> str | None:
    """Return what stands before the keys of the outline, if anything has it."""
    for prefix in sorted({key.removesuffix(outline.head) for key in state}, key=len):
        if prefix and not prefix.endswith("."):
            continue
        none = np.empty(0)
        stem, head = (state.get(prefix + key, none) for key in (outline.stem, outline.head))
        if stem.ndim == 4 and head.ndim == 2 and stem.size and head.size:
            own = [key for key in state if key.startswith(prefix) and key.endswith(_LEAVES)]
            if len(own) >= outline.keys:
                return prefix
    return None


def _model(
    architecture: tuple[str, str], stem: np.ndarray, head: np.ndarray, wide: bool
) -> ConfigDict:
    model, channels = defaults.get_config().model.unlock(), stem.shape[1]
    model.name, model.variant = architecture
    model.width = stem.shape[0] if wide else STANDARD_WIDTH
    model.classes = head.shape[0]
    model.mean, model.std = (0.0,) * channels, (1.0,) * channels
    return model
