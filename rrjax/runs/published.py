"""Robust networks that others have published, by name: fetched once, converted, and kept.

A name is that of its file without the suffix, <architecture>_<norm>_eps<eps>.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from rrjax import BadInput, cli
from rrjax.runs import defaults, hub, network_files, report, torch_checkpoint, torch_files
from rrjax.runs.files import in_turn, replace_text, sha256


class Collection(NamedTuple):
    """What the networks of one repository share.

    repository, revision: of the hub, a commit. mean, std: of the pixels in [0,1], by channel.
    image_size: of the square that the network sees; resize: of the shorter side before it is cut.
    """

    repository: str
    revision: str
    license: str
    citation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int
    image_size: int
    resize: int


class Published(NamedTuple):
    """A network: its file; its name in `rrjax.models`; the adversary of its training.

    eps: in units of pixels in [0,1]; 0: standard training. accuracy: on clean test images, in
    percent, as its publishers say.
    """

    collection: Collection
    file: str
    architecture: str
    norm: str
    eps: float
    accuracy: float


IMAGENET = Collection(
    repository="madrylab/robust-imagenet-models",
    revision="1c68d6e185c2a503ec164cc8f736b1642b12d769",
    license="MIT",
    citation="Salman et al. 2020, Do Adversarially Robust ImageNet Models Transfer Better?, "
    "arXiv:2007.08489",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    classes=1000,
    image_size=224,
    resize=256,
)
# What the files call those architectures that have another name here.
_ARCHITECTURES = {
    "densenet": "densenet161",
    "mnasnet": "mnasnet1_0",
    "mobilenet": "mobilenet_v2",
    "shufflenet": "shufflenet_v2_x1_0",
}
# Clean top-1 accuracy by norm, the eps of a file's name (linf: in 255ths), and architecture.
_ACCURACIES = (
    (
        "l2",
        ("0", "0.01", "0.03", "0.05", "0.1", "0.25", "0.5", "1", "3", "5"),
        {
            "resnet18": (69.79, 69.90, 69.24, 69.15, 68.77, 67.43, 65.49, 62.32, 53.12, 45.59),
            "resnet50": (75.80, 75.68, 75.76, 75.59, 74.78, 74.14, 73.16, 70.43, 62.83, 56.13),
            "wide_resnet50_2": (
                *(76.97, 77.25, 77.26, 77.17, 76.74),
                *(76.21, 75.11, 73.41, 66.90, 60.94),
            ),
            "wide_resnet50_4": (
                *(77.91, 78.02, 77.87, 77.77, 77.64),
                *(77.10, 76.52, 75.51, 69.67, 65.20),
            ),
        },
    ),
    (
        "l2",
        ("0", "3"),
        {
            "densenet": (77.37, 66.98),
            "mnasnet": (60.97, 41.83),
            "mobilenet": (65.26, 50.40),
            "resnext50_32x4d": (77.38, 66.25),
            "shufflenet": (64.25, 43.32),
            "vgg16_bn": (73.66, 57.19),
        },
    ),
    (
        "linf",
        ("0.5", "1.0", "2.0", "4.0", "8.0"),
        {
            "resnet18": (66.13, 63.46, 59.63, 52.49, 42.11),
            "resnet50": (73.73, 72.05, 69.10, 63.86, 54.53),
            "wide_resnet50_2": (75.82, 74.65, 72.35, 68.41, 60.82),
        },
    ),
)
NETWORKS = {
    f"{architecture}_{norm}_eps{eps}": Published(
        IMAGENET,
        f"{architecture}_{norm}_eps{eps}.ckpt",
        _ARCHITECTURES.get(architecture, architecture),
        norm,
        float(eps) / (255 if norm == "linf" else 1),
        accuracy,
    )
    for norm, radii, architectures in _ACCURACIES
    for architecture, accuracies in architectures.items()
    for eps, accuracy in zip(radii, accuracies, strict=True)
}


def table() -> str:
    """Return the table of docs/published.md."""
    rows = [
        (
            f"`{name}`",
            f"`{network.architecture}`",
            network.norm if network.eps else "none",
            f"{255 * network.eps:g}/255" if network.norm == "linf" else f"{network.eps:g}",
            f"{network.accuracy:.2f}",
        )
        for name, network in NETWORKS.items()
    ]
    return report.markdown(("name", "architecture", "attack", "eps", "clean top-1, %"), rows)


def read(name: str) -> tuple[ConfigDict, dict[str, Any]]:
    """Return a config for a published network and its variables, float32 numpy arrays.

    The first time it is downloaded and converted; after that no network is needed. The config is
    for a folder of images: where they lie is left open.

    Raises:
      BadInput: as `hub.fetch` does; for a file that is not the one seen first, or not the table's
        network; and where ~/.cache/rrjax cannot be written.
    """
    from rrjax.data import imagenet  # TFDS, for a second, which nothing else here needs

    config = training(NETWORKS[name])
    with config.unlocked():
        config.data.class_names = imagenet.wnids()
    return config, network_files.read_as(_converted(name, config), config)


def training(network: Published) -> ConfigDict:
    """Return a config of the training of a published network, as far as the table says it."""
    config, shared = defaults.get_config().unlock(), network.collection
    config.model.update(
        name=network.architecture, classes=shared.classes, mean=shared.mean, std=shared.std
    )
    config.data.update(name="folder", image_size=shared.image_size, resize=shared.resize)
    config.attack.update(norm=network.norm, eps=network.eps)
    return config.lock()


def _converted(name: str, config: ConfigDict) -> Path:
    """Return the network as a file of ours; of several processes at once the first makes it."""
    folder = cli.cache_folder("networks")
    if folder is None:
        raise BadInput(f"{name} is kept in ~/.cache/rrjax/networks: set HOME to a writable folder")
    revision = NETWORKS[name].collection.revision
    record = folder / f"{name}-{revision[:12]}.json"
    with in_turn(folder / f".{name}.lock"):
        seen = json.loads(record.read_text()) if record.exists() else {}
        path = folder / f"{seen.get('sha256', '')}.safetensors"
        # The format has no checksum of its own.
        if path.exists() and sha256(path) == seen.get("converted"):
            return path
        return _convert(name, config, record, seen.get("sha256", ""))


def _convert(name: str, config: ConfigDict, record: Path, first_seen: str) -> Path:
    """Download a network, write it as safetensors, and record the checksums of both files."""
    shared = NETWORKS[name].collection
    download = hub.fetch(hub.Address(shared.repository, NETWORKS[name].file, shared.revision))
    content = sha256(download)
    path = record.with_name(f"{content}.safetensors")
    try:
        if first_seen and content != first_seen:
            raise BadInput(
                f"{name}: not the file that was first fetched (sha256 {content[:12]}..., then "
                f"{first_seen[:12]}...): load it again, or delete {record} if you trust the new one"
            )
        state = _state(download, config)
    except BadInput:
        hub.forget(download)
        raise
    torch_files.write(path, state)
    checksums = {"sha256": content, "converted": sha256(path)}
    try:
        replace_text(record, json.dumps(checksums) + "\n")
    except OSError as error:
        raise BadInput(f"{record}: cannot be written ({error.strerror}); make room") from error
    return path


def _state(path: Path, config: ConfigDict) -> dict[str, np.ndarray]:
    """Read the network's own state dict in a publisher's file, and compare it with the table."""
    contents, model = torch_files.read(path), config.model
    shapes = torch_checkpoint.shapes(network_files.template(model, config.data.image_size))
    try:
        network = torch_checkpoint.unwrap(contents.state, shapes)
        for actual, expected in ((network.mean, model.mean), (network.std, model.std)):
            if actual and not np.allclose(actual, expected, rtol=0, atol=5e-5):
                raise BadInput(f"it normalizes by {actual}, not by {expected}")
        variables = network_files.variables_of(model, config.data.image_size, network.state)
    except BadInput as error:
        raise BadInput(f"{path}: not the published {model.name} ({error})") from error
    return torch_checkpoint.to_state_dict(variables)
