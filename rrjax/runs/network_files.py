"""A network in one file of any program, read as it lies: its architecture is in its keys."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from rrjax import BadInput, models
from rrjax.runs import architectures, defaults, torch_checkpoint, torch_files
from rrjax.runs.torch_checkpoint import Unwrapped

SUFFIXES = (*torch_files.SUFFIXES, ".ckpt", ".bin", ".tar")
# A network in a folder for the hub: ours has the config of its training beside the weights.
WEIGHTS, DESCRIPTION = "model.safetensors", "config.json"
CHOICES = ("name", "variant", "mean", "std")
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_AS_CHOSEN = 'rrjax.load(..., model={"mean": (0., 0., 0.), "std": (1., 1., 1.)})'


def read(
    path: str | Path, model: Mapping[str, Any] | None = None, weights: str = ""
) -> tuple[ConfigDict, dict[str, Any]]:
    """Read a network: return a config of a training, and variables as float32; say what it is.

    The config has the network's architecture, classes and normalization, for a folder of images of
    ImageNet's size or CIFAR's. What else a training says is not in such a file: the attack is of
    eps 0.

    Args:
      path: a file that `torch_files.read` takes.
      model: what the file leaves open, of `CHOICES`.
      weights: which network, where the file has several.

    Raises:
      BadInput: naming the path, for a file that cannot be read, holds no network of
        `rrjax.models`, or several; where more than one architecture fits; for numbers that are not
        finite; and for a normalization that is not in the file or contradicts it.
    """
    chosen = dict(model or {})
    if unknown := sorted(set(chosen) - set(CHOICES)):
        raise BadInput(f"model: {', '.join(unknown)}: of a file say {', '.join(CHOICES)}")
    contents = torch_files.read(path, weights)
    try:
        known, network = _recognized(contents.state, chosen, weights)
        names = f"{contents.name}.{network.name}".strip(".")
        if weights not in names:
            raise BadInput(f"holds the weights of {names} alone: leave out weights={weights!r}")
        source = _normalize(known, network, chosen)
        config = _training(known)
        variables = variables_of(known, config.data.image_size, network.state)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    if not jax.process_index():
        print(
            f"{path}: {described(known)}, {known.classes} classes; mean {tuple(known.mean)} and "
            f"std {tuple(known.std)}, {source}"
        )
    return config, variables


def read_as(path: Path, config: ConfigDict) -> dict[str, Any]:
    """Read the variables, as float32, of the network that the config of a training describes.

    Raises:
      BadInput: naming the path, for a file that cannot be read or is of another network.
    """
    state = torch_files.read(path).state
    try:
        return variables_of(config.model, config.data.image_size, state)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def describes_training(folder: Path) -> bool:
    """Say whether a folder's config.json is of a training, and not another program's or missing."""
    path = folder / DESCRIPTION
    try:
        fields = json.loads(path.read_text()) if path.exists() else {}
    except ValueError:
        return True  # a damaged one, which whoever reads it refuses
    return {"model", "data"} <= set(fields)


def described(model: ConfigDict) -> str:
    """Name an architecture, as "resnet50 (imagenet, width 64)"."""
    return f"{model.name} ({model.variant}, width {model.width})"


def variables_of(
    model: ConfigDict, image_size: int, state: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the variables of the network that a config.model describes, from a state dict.

    Raises:
      BadInput: for another network's state dict, and numbers that are no finite weights.
    """
    torch_checkpoint.check_floating(dict(state))
    variables = torch_checkpoint.from_state_dict(dict(state), template(model, image_size))
    torch_checkpoint.check_finite(variables)
    return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}


def template(model: ConfigDict, image_size: int) -> dict[str, Any]:
    """Return the shapes of a model's variables, as `models.variable_shapes`; each once."""
    return _template(model.to_json(), image_size)


@cache  # to make a large model takes seconds, and what reads a file asks more than once
def _template(model: str, image_size: int) -> dict[str, Any]:
    return models.variable_shapes(ConfigDict(json.loads(model)), image_size)


def _recognized(
    state: dict[str, np.ndarray], chosen: Mapping[str, Any], weights: str
) -> tuple[ConfigDict, Unwrapped]:
    """Return the model that a state dict is of, and the state dict without wrappers."""
    nearest = ""
    which = {field: chosen[field] for field in ("name", "variant") if field in chosen}
    for variants in architectures.candidates(torch_checkpoint.bare(state), which):
        fitting = []
        for model in variants:
            shapes = torch_checkpoint.shapes(template(model, _image_size(model)))
            network = torch_checkpoint.unwrap(state, shapes, weights)
            wrong = torch_checkpoint.difference(network.state, shapes)
            nearest = nearest or f"; nearest is {described(model)}, but {wrong}"
            if not wrong:
                fitting.append((model, network))
        if len(fitting) > 1:
            ways = " or ".join(f'"{model.variant}"' for model, _ in fitting)
            raise BadInput(
                f"a {fitting[0][0].name} of several variants, which have the same keys: say whose "
                f'by rrjax.load(..., model={{"variant": {ways}}}), or make a run folder by '
                "rrjax.convert with --config.model.variant"
            )
        if fitting:
            return fitting[0]
    raise BadInput(f"a network of {len(state)} keys that rrjax does not have{nearest}")


def _image_size(model: ConfigDict) -> int:
    if model.variant == "imagenet":
        return 224
    return 28 if len(model.mean) == 1 else 32


def _normalize(model: ConfigDict, network: Unwrapped, chosen: Mapping[str, Any]) -> str:
    """Set the model's mean and std, and say whence they are."""
    channels = len(model.mean)
    given = {field: tuple(chosen[field]) for field in ("mean", "std") if field in chosen}
    if len(given) == 1:
        raise BadInput(f"model={given}: give both mean and std")
    if network.mean is not None and network.std is not None:
        stored = {"mean": network.mean, "std": network.std}
        # A file has float32, in which 0.485 is 0.48500001.
        stored = {
            field: tuple(round(value, 7) for value in values) * (channels // len(values))
            for field, values in stored.items()
        }
        if given and not all(np.allclose(given[f], stored[f], rtol=0, atol=5e-5) for f in stored):
            raise BadInput(f"its network normalizes with {stored}, not {given}: leave these out")
        given, source = stored, "as in the file"
    elif given:
        source = "as given"
    elif model.variant == "imagenet" and channels == 3:
        given = _IMAGENET
        source = f"ImageNet's: none is in the file; {_AS_CHOSEN} says others"
    else:
        raise BadInput(
            f"a {described(model)} without a normalization in the file: say which by {_AS_CHOSEN}, "
            "which is that of networks that take pixels as they are, or make a run folder by "
            "rrjax.convert with --config.model.mean and std"
        )
    if {len(values) for values in given.values()} != {channels}:
        raise BadInput(f"{given}: give one number for each of {channels} channels")
    model.update(given)
    return source


def _training(model: ConfigDict) -> ConfigDict:
    """Return the config of a training, of which only the model is known: it has no epochs."""
    config = defaults.get_config().unlock()
    size = _image_size(model)
    config.model.update({field: value for field, value in model.items() if field != "dtype"})
    config.data.update(name="folder", image_size=size, resize=256 if size == 224 else size)
    config.attack.eps, config.epochs = 0.0, 0
    return config.lock()
