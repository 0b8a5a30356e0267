"""Frozen networks of run folders: classifiers, autoencoders and manifolds."""

import dataclasses
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import FlaxError
from jax.typing import ArrayLike
from ml_collections import ConfigDict

from rrjax import models
from rrjax.core import devices
from rrjax.core.checks import check_pixels
from rrjax.core.manifold import Manifold, flattened
from rrjax.core.objectives import Apply
from rrjax.core.representation import of_stage
from rrjax.core.vmapped import in_local_parts
from rrjax.errors import BadInput
from rrjax.models import autoencoder, folding, vaegan
from rrjax.models.layers import straight_through
from rrjax.runs import checkpoints, defaults, hub, network_files, pretrained, published
from rrjax.runs.folder import create_run_dir, flat, read_config


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A frozen network: a classifier in eval mode, whose parameters do not change.

    config: of its training. model, variables: the linen module and its `params` and `batch_stats`.
    apply: one image (H, W, C), float in [0,1] -> (logits, reps), BN folded as the model declares.
      A pytree: pass it through jit.
    straight_through: the same values, but the last ReLU passes gradients to dead coordinates,
      as inversion needs.
    """

    config: ConfigDict
    model: nn.Module
    variables: Any
    apply: Apply
    straight_through: Apply

    def differentiable_apply(self, straight_through: bool) -> Apply:
        """Return the function whose gradients a search follows."""
        return self.straight_through if straight_through else self.apply

    def at_stage(self, stage: str, channels: bool = False) -> "Frozen":
        """Return the network with another stage of it as its representation.

        stage, channels: as `core.representation.of_stage` has them.

        Raises:
          BadInput: for a stage that it does not have.
        """
        apply, through = (
            of_stage(function, stage, channels) for function in (self.apply, self.straight_through)
        )
        size, channels_of_image = self.config.data.image_size, len(self.config.model.mean)
        shape = (size, size, channels_of_image)
        jax.eval_shape(apply, jax.ShapeDtypeStruct(shape, jnp.float32))
        return dataclasses.replace(self, apply=apply, straight_through=through)

    def __call__(
        self, images: ArrayLike, stages: Sequence[str] | None = None, batch_size: int = 256
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Map images (N, H, W, C), float in [0,1], to (logits, reps), on all devices.

        Images of another size than those of its training are a warning, once.

        Args:
          images: as many as you like.
          stages: the names of the representations to return, such as ("representation",); None for
            all that the network has, whose maps may be large.
          batch_size: how many images there are at once on the devices.

        Raises:
          BadInput: for pixels outside [0,1], another number of channels, a size that the network
            cannot take, and a stage that it does not have.
        """
        images = images if isinstance(images, jax.Array) else np.asarray(images)
        channels = len(self.config.model.mean)
        if images.ndim != 4 or images.shape[-1] != channels:
            raise BadInput(
                f"images of shape {images.shape}: this network takes (N, H, W, {channels})"
            )
        check_pixels("images", images)
        size = self.config.data.image_size
        if images.shape[1:3] != (size, size):
            sides = f"images of {images.shape[1]} by {images.shape[2]} pixels"
            if not _takes(self.apply, images.shape[1:]):
                raise BadInput(f"{sides}: this network takes {size} by {size}")
            warnings.warn(f"{sides}: this network learned {size} by {size}", stacklevel=2)
        forward = partial(_forward, self.apply, stages=None if stages is None else tuple(stages))
        return in_local_parts(forward, batch_size, images)


def _takes(function: Callable, shape: tuple[int, ...]) -> bool:
    """Return whether a network's function of one image can take one of this shape."""
    try:
        outputs = jax.eval_shape(function, jax.ShapeDtypeStruct(shape, jnp.float32))
    except (FlaxError, ZeroDivisionError, TypeError, ValueError):
        return False
    return all(0 not in x.shape for x in jax.tree.leaves(outputs))  # an AlexNet's of 32 pixels


@partial(jax.jit, static_argnames="stages")
def _forward(apply: Apply, images: jax.Array, *, stages: tuple[str, ...] | None):
    logits, reps = jax.vmap(apply)(images)
    unknown = sorted(set(stages or ()) - set(reps))
    if unknown:
        raise BadInput(f"stages={unknown}: this network has {', '.join(sorted(reps))}")
    return logits, reps if stages is None else {stage: reps[stage] for stage in stages}


def load(
    path: str | Path,
    checkpoint: str = "latest",
    data: Mapping[str, str] | None = None,
    dtype: str = "",
    model: Mapping[str, Any] | None = None,
    weights: str = "",
) -> Frozen:
    """Load a network of a run, a name or a file onto every device of this process.

    Args:
      path: a run folder; a name of `rrjax.models_available()`; one of docs/published.md, as
        "resnet50_l2_eps3", downloaded at its first use; or a file of PyTorch's or of safetensors,
        here or "hf:OWNER/REPO/FILE[@REVISION]", whose architecture is recognized by its keys; or a
        folder of configs/export_hub.py, here or "hf:OWNER/REPO[@REVISION]".
      checkpoint: of a folder: "latest", or "best" (by the run's test score: never report a test
        accuracy of it); of an imported network the only one.
      data: fields of `config.data` to replace, as {"path": ...}: where the data lie now; an empty
        value replaces nothing.
      dtype: of its convolutions and products, "bfloat16" or "float32"; empty: that of its training.
        Parameters stay what they are, as do the norms and losses of what it says: float32.
      model: of a file: what it leaves open, as {"mean": (0.5,), "std": (0.2,)} where it holds no
        normalization, or {"variant": "robustbench"} where several have the same keys.
      weights: of a file with several networks, as a moving average: which one.

    Raises:
      BadInput: if the folder is not a run's, holds no such checkpoint, or one that cannot be read;
        for a file as `network_files.read` does.

    >>> import rrjax
    >>> from rrjax.data import outside
    >>> network = rrjax.load("cifar10_robust_l2_eps05")
    >>> logits, reps = network(outside.photographs(2, 32, 3, seed=0))
    >>> logits.shape, reps["representation"].shape
    ((2, 10), (2, 128))
    """
    if checkpoint not in ("latest", "best"):
        raise BadInput(f'checkpoint={checkpoint!r}: choose "latest" or "best"')
    if not isinstance(path, str | Path) or not str(path) or "://" in str(path):
        raise BadInput(
            f"{path!r} is no network: give a run folder on this machine, or one of "
            f"{', '.join(pretrained.models_available())}"
        )
    config, module, variables = _read(path, checkpoint, dtype, model or {}, weights)
    _replace_data(config, data)
    return _freeze(config, module, variables)


def _read(
    path: str | Path, checkpoint: str, dtype: str, model: Mapping[str, Any], weights: str
) -> tuple[ConfigDict, nn.Module, dict[str, Any]]:
    path = _located(path)
    if _is_file(path):
        return _on_devices(*network_files.read(path, model, weights), dtype)
    if model or weights:
        raise BadInput(f"{path} is no file: leave out model and weights, which say what is in one")
    if not Path(path).exists() and str(path) in pretrained.models_available():
        return _pretrained(str(path), dtype)
    if not Path(path).exists() and str(path) in published.NETWORKS:
        return _on_devices(*published.read(str(path)), dtype)
    if (Path(path) / network_files.WEIGHTS).is_file():
        return _exported(Path(path), dtype)
    return _trained(path, checkpoint, dtype)


def _located(path: str | Path) -> str | Path:
    """Return where a network lies on this machine; of another program's folder, its one file."""
    if str(path).startswith(hub.PREFIX):
        address = hub.parse(str(path))
        path = hub.fetch(address) if address.file else _fetched_folder(address)
    weights = Path(path) / network_files.WEIGHTS
    others = weights.is_file() and not network_files.describes_training(weights.parent)
    return weights if others else path


def _fetched_folder(address: hub.Address) -> Path:
    folder = hub.fetch(address._replace(file=network_files.DESCRIPTION)).parent
    # The folder is named by the commit: both files are of the same one.
    return hub.fetch(address._replace(file=network_files.WEIGHTS, revision=folder.name)).parent


def _exported(folder: Path, dtype: str) -> tuple[ConfigDict, nn.Module, dict[str, Any]]:
    config = read_config(folder)
    _add_newer_fields(config)
    variables = network_files.read_as(folder / network_files.WEIGHTS, config)
    return _on_devices(config, variables, dtype)


def _is_file(path: str | Path) -> bool:
    path = Path(path)
    return path.is_file() or (path.suffix in network_files.SUFFIXES and not path.is_dir())


def _pretrained(name: str, dtype: str) -> tuple[ConfigDict, nn.Module, dict[str, Any]]:
    config, variables = pretrained.read(name)
    _add_newer_fields(config)
    return _on_devices(config, variables, dtype)


def _on_devices(
    config: ConfigDict, variables: dict[str, Any], dtype: str
) -> tuple[ConfigDict, nn.Module, dict[str, Any]]:
    return config, _create(config, dtype), jax.device_put(variables, devices.replicated())


def _trained(
    path: str | Path, checkpoint: str, dtype: str
) -> tuple[ConfigDict, nn.Module, dict[str, Any]]:
    config = read_config(path)
    if config.model.name not in models.MODELS:
        raise BadInput(f"{path}: a {config.model.name}, not a classifier")
    _check_fields(path, config)
    model = _create(config, dtype)
    shape = (config.data.image_size, config.data.image_size, len(config.model.mean))
    init = partial(models.init, model, jax.random.key(0), shape)
    variables = _restored(path, init, checkpoint)
    folding.check(model, shape)  # of a pretrained model a test does it
    return config, model, variables


def _create(config: ConfigDict, dtype: str) -> nn.Module:
    """Make the model of a config, which from now on has this dtype, if one is given."""
    with config.unlocked():
        config.model.dtype = dtype or config.model.dtype
    return models.create(config.model)


def _replace_data(config: ConfigDict, data: Mapping[str, str] | None) -> None:
    unknown = set(data or {}) - set(config.data)
    if unknown:
        raise BadInput(f"data={dict(data or {})}: config.data has no field {sorted(unknown)}")
    with config.unlocked():
        config.data.update({field: value for field, value in (data or {}).items() if value})


def _freeze(config: ConfigDict, model: nn.Module, variables: dict[str, Any]) -> Frozen:
    # Folded once, so that both functions share one set of folded arrays.
    folded, arrays = folding.fold(model, variables)
    through = folded.clone(last_act=straight_through(folded.last_act))
    return Frozen(
        config, model, variables, models.frozen(folded, arrays), models.frozen(through, arrays)
    )


@dataclasses.dataclass(frozen=True)
class Autoencoder:
    """A stage of a frozen network, and the decoder that inverts it (Rojas-Gomez et al. 2021).

    config: of the decoder's training. encoder: the whole network, a classifier.
    encode: one image (H, W, C), float in [0,1] -> features, a map (h, w, C); with the wavelet
      decoder (map, details).
    decode: features -> image. compare: image -> the map that the feature loss compared. These
      three are pytrees: pass them through jit.
    stride: H and W of an image are multiples of it.
    """

    config: ConfigDict
    encoder: Frozen
    encode: Callable
    decode: Callable
    compare: Callable
    stride: int

    def __call__(self, images: ArrayLike, batch_size: int = 256) -> np.ndarray:
        """Encode images (N, H, W, C), float in [0,1], and decode them again, on all devices.

        batch_size: how many images there are at once on the devices.

        Raises:
          BadInput: as `check` does.
        """
        images = images if isinstance(images, jax.Array) else np.asarray(images)
        self.check(images.shape[1:])
        return in_local_parts(partial(reconstruct, self.encode, self.decode), batch_size, images)

    def check(self, shape: tuple[int, ...]) -> None:
        """Check that images of a shape (H, W, C) can be encoded and decoded.

        Raises:
          BadInput: for sides that are no multiples of the stride, and for those that the encoder
            does not take.
        """
        if any(side % self.stride for side in shape[:2]):
            raise BadInput(f"images of {shape[:2]} pixels: give multiples of {self.stride}")
        if not _takes(self.encode, shape):
            size = self.config.data.image_size
            raise BadInput(
                f"images of {shape[:2]} pixels: the encoder, {self.encoder.config.model.name}, "
                f"cannot take them; it was trained with {size}"
            )


@jax.jit
def reconstruct(encode: Callable, decode: Callable, images: jax.Array) -> jax.Array:
    """Encode images (N, H, W, C) and decode them again."""
    return jax.vmap(lambda image: decode(encode(image)))(images)


def load_autoencoder(
    path: str | Path,
    checkpoint: str = "latest",
    data: Mapping[str, str] | None = None,
    dtype: str = "",
) -> Autoencoder:
    """Load the autoencoder of a run folder onto every device; the arguments are those of `load`.

    Raises:
      BadInput: if the folder is not such a run's, or holds no checkpoint that can be read.
    """
    config = read_config(path)
    if config.model.name != "autoencoder":
        raise BadInput(f"{path}: a {config.model.name}, not an autoencoder")
    _replace_data(config, data)
    with config.unlocked():
        config.dtype = dtype or config.dtype
    encoder = load(Path(path) / "encoder", data=data, dtype=dtype)
    folded, arrays = folding.fold(encoder.model, encoder.variables)
    size = config.data.image_size
    networks = autoencoder.create(config, folded, arrays, size)
    shape = (size, size, len(folded.mean))
    init = partial(autoencoder.init, networks, arrays, shape, jax.random.key(0))
    variables = _restored(path, init, checkpoint)
    encode, compare = autoencoder.frozen_encoder(networks, arrays)
    return Autoencoder(
        config,
        encoder,
        encode,
        autoencoder.frozen_decoder(networks, variables),
        compare,
        networks.stride,
    )


def load_networks(config: ConfigDict) -> dict[str, Frozen]:
    """Load what a study compares: config.standard, config.robust and all of config.more.

    Returns:
      The networks by the names "standard" and "robust" (either field may be "") and by the paths
      of `more`.

    Raises:
      BadInput: as `load` does, and if there is none, or if their test data differ.
    """
    return _load_all(load, config)


def load_autoencoders(config: ConfigDict) -> dict[str, Autoencoder]:
    """Load the autoencoders that a study compares, as `load_networks` does classifiers."""
    return _load_all(load_autoencoder, config)


def _load_all(load_one: Callable, config: ConfigDict) -> dict[str, Any]:
    paths = {name: path for name in ("standard", "robust") if (path := config[name])}
    paths |= {path: path for path in config.more}
    if not paths:
        raise BadInput("give at least one network: --config.standard=... or --config.robust=...")
    networks = {
        name: load_one(path, config.checkpoint, config.data, config.dtype)
        for name, path in paths.items()
    }
    first = next(iter(networks))
    for name, network in networks.items():
        one, other = (_test_set(each.config.data) for each in (networks[first], network))
        fields = [field for field in one if one[field] != other[field]]
        differing = ", ".join(f"data.{f} {one[f]!r} and {other[f]!r}" for f in fields)
        if differing:
            raise BadInput(
                f"{paths[first]} and {paths[name]}: their test data differ, {differing}: compare "
                "networks of the same"
            )
    return networks


def other_network(name: str, networks: Mapping[str, Any]) -> str:
    """Name the network that evaluates what `name` made: the first other one; `name` if alone."""
    return next((other for other in networks if other != name), name)


def _test_set(data: ConfigDict) -> dict[str, Any]:
    """Return what decides a test set: two trainings may differ in augmentation."""
    fields = ("name", "path", "groups", "group_names", "balanced", "image_size", "resize")
    return {field: data[field] for field in fields}


def _newer_fields(config: ConfigDict) -> dict[str, Any]:
    """Return the fields of today's defaults that a config does not have, by dotted names."""
    present = flat(config)
    return {k: v for k, v in flat(defaults.get_config()).items() if k not in present}


def _add_newer_fields(config: ConfigDict) -> None:
    """Give the config of a pretrained model today's fields: a copy of it is a run folder."""
    with config.unlocked():
        for name, value in _newer_fields(config).items():
            section, _, field = name.rpartition(".")
            (config[section] if section else config)[field] = value


def _check_fields(path: str | Path, config: ConfigDict) -> None:
    missing = _newer_fields(config)
    if missing:
        fields = ", ".join(f"{name}={json.dumps(missing[name])}" for name in sorted(missing))
        raise BadInput(
            f"{Path(path) / 'config.json'} was written by an older rrjax: add the missing fields, "
            f"with the values of that training (the defaults are {fields})"
        )


def load_manifold(path: str | Path, checkpoint: str = "latest") -> Manifold:
    """Load the manifold of a VAE-GAN or an autoencoder from its run folder onto every device.

    The latent of an image is a VAE-GAN's mean or an autoencoder's features.

    Raises:
      BadInput: if the folder is not such a run's, or holds no checkpoint that can be read.
    """
    config = read_config(path)
    if config.model.name == "autoencoder":
        learned = load_autoencoder(path, checkpoint)
        size, channels = config.data.image_size, len(config.model.mean)
        return flattened(learned.encode, learned.decode, (size, size, channels))
    if config.model.name != "vaegan":
        raise BadInput(
            f"{path}: a {config.model.name}, not a vaegan or an autoencoder: it is no manifold"
        )
    networks = vaegan.create(config.model, config.data.image_size)
    init = partial(vaegan.init, networks, jax.random.key(0))
    variables = _restored(path, init, checkpoint)
    return Manifold(*vaegan.frozen(networks, variables))


def _restored(path: str | Path, init: Callable, checkpoint: str) -> dict[str, Any]:
    like = jax.eval_shape(init)
    like = {"params": like["params"], "batch_stats": like.get("batch_stats", {})}
    with checkpoints.open_manager(path) as manager:
        step = checkpoints.choose_step(manager, checkpoint)
        return checkpoints.restore(manager, step, devices.replicated(), variables=like)["variables"]


def save_network(folder: str | Path, network: Frozen) -> None:
    """Write a frozen network as a run folder, which `load` reads, unless `folder` holds one."""
    # Every process asks this: Orbax counts how often they meet.
    if checkpoints.has_checkpoint(folder):
        return
    create_run_dir(folder, network.config, accept_changes=True)
    variables = {"batch_stats": {}} | network.variables
    # As the variables of a training are.
    checkpoints.save_once(folder, jax.device_put(variables, devices.replicated()))
