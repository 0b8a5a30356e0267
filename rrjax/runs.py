"""A run's folder: config.json, metrics.jsonl, checkpoints/, figures/; and what comes out of it."""

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import FlaxError
from ml_collections import ConfigDict

from configs import defaults
from rrjax import checkpoints, models, pretrained
from rrjax.core.manifold import Manifold, flattened
from rrjax.core.objectives import Apply
from rrjax.errors import BadInput
from rrjax.locks import in_turn, locked
from rrjax.models import autoencoder, folding, vaegan
from rrjax.models.layers import straight_through_relu
from rrjax.report import Section, text_table, write_report


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A trained network that changes no more.

    apply: one image (H, W, C), float in [0,1] -> (logits, reps). A pytree: pass it through jit.
    straight_through: the same values, but the last ReLU passes gradients to dead coordinates,
      as inversion needs.
    """

    config: ConfigDict
    model: nn.Module
    variables: Any
    apply: Apply
    straight_through: Apply

    def descended(self, straight_through: bool) -> Apply:
        """Return the function whose gradients a search follows."""
        return self.straight_through if straight_through else self.apply

    def __call__(self, images) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Map images (N, H, W, C), float in [0,1], to (logits, reps).

        Raises:
          BadInput: for pixels outside [0,1] or another number of channels.
        """
        images = jnp.asarray(images)
        channels = len(self.config.model.mean)
        if images.ndim != 4 or images.shape[-1] != channels:
            raise BadInput(
                f"images of shape {images.shape}: this network takes (N, H, W, {channels})"
            )
        low, high = float(images.min()), float(images.max())
        if not (low >= 0 and high <= 1):
            raise BadInput(
                f"images with pixels from {low:g} to {high:g}: pass floats in [0,1], divided by "
                "255 and not normalised (the network normalises inside)"
            )
        return _forward(self.apply, images)


@jax.jit
def _forward(apply, images):
    return jax.vmap(apply)(images)


def load(
    path: str | Path, checkpoint: str = "latest", data: Mapping[str, str] | None = None
) -> Frozen:
    """Load the network of a run folder, or one that comes with rrjax, onto one device.

    Args:
      path: a folder, or a name of `rrjax.models_available()`.
      checkpoint: of a folder: "latest", or "best" (by the run's test score: never judge a test set
        with it).
      data: fields of `config.data` to replace, as {"path": ...}: where the data lie now; an empty
        value replaces nothing.

    Raises:
      BadInput: if the folder is not a run's, holds no such checkpoint, or one that cannot be read.

    >>> import rrjax
    >>> from rrjax.data import outside
    >>> network = rrjax.load("cifar10_robust_l2_eps05")
    >>> logits, reps = network(outside.photographs(2, 32, 3, seed=0))
    >>> logits.shape, reps["representation"].shape
    ((2, 10), (2, 128))
    """
    if checkpoint not in ("latest", "best"):
        raise BadInput(f'checkpoint={checkpoint!r}: choose "latest" or "best"')
    if not Path(path).exists() and str(path) in pretrained.models_available():
        config, variables = pretrained.read(str(path))
        _add_newer_fields(config)
        model = models.create(config.model)
        variables = jax.device_put(variables, jax.local_devices()[0])
    else:
        config = read_config(path)
        if config.model.name not in models.MODELS:
            raise BadInput(f"{path}: a {config.model.name}, not a classifier")
        _check_fields(path, config)
        model = models.create(config.model)
        shape = (config.data.image_size, config.data.image_size, len(config.model.mean))
        init = partial(models.init, model, jax.random.key(0), shape)
        variables = _restored(path, init, checkpoint)
    with config.unlocked():
        config.data.update({field: value for field, value in (data or {}).items() if value})
    # Folded here, so that both share one set of folded arrays.
    folded, arrays = folding.fold(model, variables)
    through = folded.clone(last_act=straight_through_relu)
    return Frozen(
        config, model, variables, models.frozen(folded, arrays), models.frozen(through, arrays)
    )


@dataclasses.dataclass(frozen=True)
class Autoencoder:
    """A stage of a frozen network, and the decoder that inverts it.

    config: of the decoder's run. encoder: the whole network, as its classifier. encode: one image
      (H, W, C), float in [0,1] -> features, a map (h, w, C); with the wavelet decoder (map,
      details). decode: features -> image. compare: image -> the map that the feature loss compared.
      The three are pytrees: pass them through jit. stride: H and W are multiples of it.
    """

    config: ConfigDict
    encoder: Frozen
    encode: Callable
    decode: Callable
    compare: Callable
    stride: int

    def __call__(self, images) -> jax.Array:
        """Encode images (N, H, W, C), float in [0,1], and decode them again.

        Raises:
          BadInput: as `check` does.
        """
        images = jnp.asarray(images)
        self.check(images.shape[1:])
        return reconstruct(self.encode, self.decode, images)

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse images (H, W, C) that do not come back.

        Raises:
          BadInput: for sides that are no multiples of the stride, and for those that the encoder
            does not take.
        """
        if any(side % self.stride for side in shape[:2]):
            raise BadInput(f"images of {shape[:2]} pixels: give multiples of {self.stride}")
        try:
            features = jax.eval_shape(self.encode, jax.ShapeDtypeStruct(shape, jnp.float32))
            if any(0 in x.shape for x in jax.tree.leaves(features)):  # an AlexNet's of 32 pixels
                raise ValueError("no features are left")
        except (FlaxError, ZeroDivisionError, TypeError, ValueError) as error:
            size = self.config.data.image_size
            raise BadInput(
                f"images of {shape[:2]} pixels: the encoder, {self.encoder.config.model.name}, "
                f"cannot take them; it was trained with {size}"
            ) from error


@jax.jit
def reconstruct(encode: Callable, decode: Callable, images: jax.Array) -> jax.Array:
    """Encode images (N, H, W, C) and decode them again."""
    return jax.vmap(lambda image: decode(encode(image)))(images)


def load_autoencoder(
    path: str | Path, checkpoint: str = "latest", data: Mapping[str, str] | None = None
) -> Autoencoder:
    """Load the autoencoder of a run folder, onto one device; arguments as `load`'s.

    Raises:
      BadInput: if the folder is not such a run's, or holds no checkpoint that can be read.
    """
    config = read_config(path)
    if config.model.name != "autoencoder":
        raise BadInput(f"{path}: a {config.model.name}, not an autoencoder")
    with config.unlocked():
        config.data.update({field: value for field, value in (data or {}).items() if value})
    encoder = load(Path(path) / "encoder", data=data)
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
    """Load what a study compares: config.standard, .robust (either may be "") and all of .more.

    Raises:
      BadInput: as `load` does, and if there is none, or if their test data differ.
    """
    return _load_all(load, config)


def load_autoencoders(config: ConfigDict) -> dict[str, Autoencoder]:
    """Load the autoencoders that a study compares, as `load_networks` does classifiers."""
    return _load_all(load_autoencoder, config)


def _load_all(load_one: Callable, config: ConfigDict) -> dict:
    paths = {name: path for name in ("standard", "robust") if (path := config[name])}
    paths |= {path: path for path in config.more}
    if not paths:
        raise BadInput("give at least one network: --config.standard=... or --config.robust=...")
    found = {name: load_one(path, config.checkpoint, config.data) for name, path in paths.items()}
    first = next(iter(found))
    for name, network in found.items():
        ours, theirs = (_test_set(each.config.data) for each in (network, found[first]))
        if ours != theirs:
            raise BadInput(f"{paths[first]} and {paths[name]}: their test data differ")
    return found


def another(name: str, networks: dict[str, Frozen]) -> str:
    """Name a network that judges what `name` made: the first other one; itself if it is alone."""
    return next((other for other in networks if other != name), name)


def _test_set(data: ConfigDict) -> list:
    """Return what decides a test set: two trainings may differ in augmentation."""
    fields = ("name", "path", "groups", "group_names", "balanced", "image_size", "resize")
    return [data[field] for field in fields]


def _newer_fields(config: ConfigDict) -> dict[str, Any]:
    """Return the fields of today's defaults that a config has not, dotted."""
    ours = flat(config)
    return {k: v for k, v in flat(defaults.get_config()).items() if k not in ours}


def _add_newer_fields(config: ConfigDict) -> None:
    """Give a network that came with rrjax today's fields: a copy of it is a run folder of today."""
    with config.unlocked():
        for name, value in _newer_fields(config).items():
            section, _, field = name.rpartition(".")
            (config[section] if section else config)[field] = value


def _check_fields(path: str | Path, config: ConfigDict) -> None:
    missing = sorted(_newer_fields(config))
    if missing:
        raise BadInput(
            f"{Path(path) / 'config.json'} is older than the fields {', '.join(missing)}: put them "
            "in, with the values of configs/defaults.py"
        )


def load_manifold(path: str | Path, checkpoint: str = "latest") -> Manifold:
    """Load what a VAE-GAN or an autoencoder has learned, onto one device, from its run folder.

    An image's latent is a VAE-GAN's mean, an autoencoder's features.

    Raises:
      BadInput: if the folder is not such a run's, or holds no checkpoint that can be read.
    """
    config = read_config(path)
    if config.model.name == "autoencoder":
        found = load_autoencoder(path, checkpoint)
        size, channels = config.data.image_size, len(config.model.mean)
        return flattened(found.encode, found.decode, (size, size, channels))
    if config.model.name != "vaegan":
        raise BadInput(
            f"{path}: a {config.model.name}, not a vaegan or an autoencoder: it is no manifold"
        )
    networks = vaegan.create(config.model, config.data.image_size)
    init = partial(vaegan.init, networks, jax.random.key(0))
    variables = _restored(path, init, checkpoint)
    return Manifold(*vaegan.frozen(networks, variables))


def _restored(path: str | Path, init: Callable, checkpoint: str) -> dict:
    like = jax.eval_shape(init)
    like = {"params": like["params"], "batch_stats": like.get("batch_stats", {})}
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    with checkpoints.opened(path) as manager:
        step = manager.latest_step() if checkpoint == "latest" else manager.best_step()
        if step is None:
            raise BadInput(f"{path}: no finished checkpoint yet; run the training that writes it")
        return checkpoints.restore(manager, step, sharding, variables=like)["variables"]


def claim(workdir: str | Path, config: ConfigDict, accept_changes: bool = False) -> None:
    """Make `workdir` this config's run folder, or check that it already is.

    accept_changes: let the new config take the old one's place, which is kept as config.old.json.

    Raises:
      BadInput: if it cannot be written, or holds another config (the differences are named).
    """
    make_folder(workdir)
    path = Path(workdir) / "config.json"
    changes = _changes(read_config(workdir), config) if path.exists() else ""
    if changes and not accept_changes:
        raise BadInput(
            f"--workdir={workdir} holds another run ({changes}): choose another workdir, or go on "
            "with the new values by --accept_changes"
        )
    if jax.process_index() or (path.exists() and not changes):
        return
    if changes:
        print(f"{workdir}: {changes}")
        replace_text(path.with_name("config.old.json"), path.read_text())
    replace_text(path, config.to_json(indent=2) + "\n")


def _changes(old: ConfigDict, new: ConfigDict) -> str:
    old, new = flat(old), flat(new)
    changed = [f for f in sorted(old | new) if old.get(f) != new.get(f)]
    return "; ".join(f"{f} was {old.get(f)!r}, now {new.get(f)!r}" for f in changed)


def keep(folder: str | Path, network: Frozen) -> None:
    """Make `folder` a run folder that holds `network`, unless it is one: `load` reads it again."""
    # Asked by every process alike: Orbax counts how often they meet.
    if checkpoints.started(folder):
        return
    claim(folder, network.config, accept_changes=True)
    variables = {"batch_stats": {}} | network.variables
    # As a training's are: on every device of this process.
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), ("batch",))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    checkpoints.put(folder, jax.device_put(variables, everywhere))


@contextmanager
def one_writer(workdir: str | Path) -> Iterator[None]:
    """Keep every other training out of a run's folder; BadInput if there is one already."""
    if jax.process_index():  # the first process writes for all
        yield
        return
    refusal = f"--workdir={workdir}: another training writes it; wait for it, or choose another"
    with locked(Path(workdir) / ".lock", refusal):
        yield


def make_folder(workdir: str | Path) -> None:
    """Make the folder that a command writes; BadInput if it or its results cannot be written."""
    if not str(workdir):
        raise BadInput("--workdir is empty: name the folder to write")
    try:
        Path(workdir).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        raise BadInput(f"--workdir={workdir}: cannot be written ({error.strerror})") from error
    read_results(workdir)  # now, and not after hours


def replace_text(path: Path, text: str) -> None:
    """Write a whole file at once, so that a kill leaves the old one or the new one."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(text)
    draft.replace(path)


def read_config(path: str | Path) -> ConfigDict:
    """Read a run folder's config; BadInput if `path` is not a run folder."""
    path = Path(path) / "config.json"
    try:
        config = ConfigDict(json.loads(path.read_text())).lock()
    except OSError as error:
        raise BadInput(
            f"{path.parent}: not a run folder (no readable config.json), nor one of the networks "
            f"that come with rrjax ({', '.join(pretrained.models_available())}); make one with "
            "python -m rrjax.train"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not a config ({error}); restore it or delete the run") from error
    if not {"model", "data"} <= set(config):
        raise BadInput(f"{path}: not a training config; restore it or delete the run")
    return config


def write_results(workdir: str | Path, name: str, results: dict) -> None:
    """Put a study's numbers under its name into the folder's results.json."""
    everything = read_results(workdir) | {name: results}
    text = json.dumps(everything, indent=2, default=_plain) + "\n"
    replace_text(Path(workdir) / "results.json", text)


def publish(workdir: str | Path, config: ConfigDict, section: Section, results: dict) -> None:
    """Put a study's results and its section into the folder, with its config, and print its table.

    results.json has them under the section's name. Studies may run side by side in a folder.
    """
    settings = config.to_dict()
    with in_turn(Path(workdir) / ".results.lock"):
        write_results(workdir, section.name, {"config": settings} | results)
        write_report(workdir, section, settings)
    print(text_table(section.header, section.rows))


def remembered(
    workdir: str | Path, name: str, config: ConfigDict, networks: Mapping[str, Frozen]
) -> Callable[[str, Callable], np.ndarray]:
    """Make cell(key, make), which returns the array make(), float64, and writes it down.

    An interrupted study that has the same config and networks does not make it again: they name
    the file, cells/NAME-....jsonl.
    """
    content = hashlib.sha256(config.to_json(sort_keys=True).encode())
    for network in networks.values():
        for x in jax.tree.leaves(network.variables):
            content.update(np.asarray(x).tobytes())
    path = Path(workdir) / "cells" / f"{name}-{content.hexdigest()[:12]}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    # The last line of one that was killed may be half a line.
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    replace_text(path, "".join(f"{line}\n" for line in lines))
    done = {entry["key"]: np.array(entry["value"]) for entry in map(json.loads, lines)}

    def cell(key: str, make: Callable) -> np.ndarray:
        if key not in done:
            done[key] = np.asarray(make(), np.float64)
            with path.open("a") as file:
                file.write(json.dumps({"key": key, "value": done[key].tolist()}) + "\n")
        return done[key]

    return cell


def read_results(workdir: str | Path) -> dict:
    """Return what studies put into a folder's results.json, by their names; {} if none did.

    Raises:
      BadInput: if it is not JSON.
    """
    path = Path(workdir) / "results.json"
    try:
        return dict(json.loads(path.read_text())) if path.exists() else {}
    except ValueError as error:
        raise BadInput(f"{path}: not JSON ({error}); move it away") from error


def _plain(value):
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return np.asarray(value).tolist()
    raise TypeError(f"results hold a {type(value).__name__}: give plain values or arrays")


def flat(config: ConfigDict) -> dict[str, Any]:
    """Map dotted field names to values, as JSON holds them."""
    plain = json.loads(config.to_json())
    fields = {}
    for name, value in plain.items():
        if isinstance(value, dict):
            fields |= {f"{name}.{inner}": v for inner, v in value.items()}
        else:
            fields[name] = value
    return fields
