"""Frozen networks of run folders: classifiers, autoencoders and manifolds."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.typing import ArrayLike
from ml_collections import ConfigDict

from rrjax import BadInput, models
from rrjax.core import devices
from rrjax.core.manifold import Manifold, flattened
from rrjax.core.vmapped import in_local_parts
from rrjax.models import autoencoder, folding, vaegan
from rrjax.models.layers import straight_through
from rrjax.runs import checkpoints, defaults, hub, network_files, own, pretrained, published
from rrjax.runs.folder import create_run_dir, flat, read_config
from rrjax.runs.frozen import Frozen, takes

NOT_CLASSIFIERS = ("autoencoder", "vaegan")  # model names of other tasks


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
        folder of configs/export_hub.py, here or "hf:OWNER/REPO[@REVISION]"; or "package.file:NAME",
        what `rrjax.wrap` returned in a Python file of yours, or a function that returns it.
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
    if own.is_address(path):
        return _with_data(own.imported(str(path), dtype), data)
    config, module, variables = _read(path, checkpoint, dtype, model or {}, weights)
    return _with_data(_freeze(config, module, variables), data)


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
    if config.model.name in NOT_CLASSIFIERS:
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


def _with_data(network: Frozen, data: Mapping[str, str] | None) -> Frozen:
    config = network.config.copy_and_resolve_references().lock()
    _replace_data(config, data)
    return dataclasses.replace(network, config=config)


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


@dataclasses.dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        """Say in one line what the autoencoder is."""
        return f"<Autoencoder of {self.config.model.stage} of {self.encoder!r}>"

    def check(self, shape: tuple[int, ...]) -> None:
        """Check that images of a shape (H, W, C) can be encoded and decoded.

        Raises:
          BadInput: for sides that are no multiples of the stride, and for those that the encoder
            does not take.
        """
        if any(side % self.stride for side in shape[:2]):
            raise BadInput(f"images of {shape[:2]} pixels: give multiples of {self.stride}")
        if not takes(self.encode, shape):
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
