"""What there is, in plain text: networks, one run, this machine."""

import importlib.metadata
import os
import platform
import shutil
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from rrjax import cli
from rrjax.runs import defaults, hub, networks, own, pretrained, published
from rrjax.runs.folder import read_config
from rrjax.runs.report import text_table
from rrjax.runs.results import read_results

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "grain")
ACCELERATORS = ("jax-cuda12-plugin", "jax-cuda13-plugin", "libtpu")


def shipped() -> str:
    """Return a table of the networks that come with rrjax."""
    rows = []
    for name in pretrained.models_available():
        config = ConfigDict(pretrained.facts(name)["config"])
        rows.append([name, *_summary(config).values()])
    return text_table(["network", *_summary(config)], rows)


def of_run(path: str) -> str:
    """Return what a run folder, or a name that `rrjax.load` takes, is: a line a fact.

    Raises:
      BadInput: if it is neither.
    """
    folder = Path(path)
    if not folder.exists() and path in pretrained.models_available():
        facts = pretrained.facts(path)
        card = (pretrained.FOLDER / f"{path}.md").read_text(encoding="utf-8")
        summary = _summary(ConfigDict(facts["config"]))
        return _lines(summary | {"training took": facts["time"]}, card)
    if not folder.exists() and path in published.NETWORKS:
        network = published.NETWORKS[path]
        facts = _summary(published.training(network))
        facts |= {"clean accuracy, %": f"{network.accuracy:g} (its publishers')"}
        return _lines(facts | {"from": network.collection.citation})
    if own.is_address(path) or folder.is_file() or path.startswith(hub.PREFIX):
        return _lines(_summary(networks.load(path).config))
    config = read_config(folder)
    steps = (each.name for each in folder.glob("checkpoints/*") if each.name.isdecimal())
    saved = ", ".join(sorted(steps, key=int)) or "none"
    facts = _summary(config) | {"checkpoints at step": saved}
    studies = ", ".join(read_results(folder))
    return _lines(facts | ({"studies in it": studies} if studies else {}))


def _summary(config: ConfigDict) -> dict[str, str]:
    model, data = config.model, config.data
    fields = {"architecture": model.name}
    if "variant" in model and "width" in model:
        fields["architecture"] += f" ({model.variant}, width {model.width})"
    size = f"{data.image_size}x{data.image_size}x{len(model.mean)}"
    fields |= {"images": size, "classes": str(model.classes), "data": data.name}
    if "attack" in config:
        fields["trained against"] = defaults.trained_against(config)
    return fields


def _lines(facts: dict[str, Any], more: str = "") -> str:
    width = max(map(len, facts))
    lines = [f"{name:{width}}  {value}" for name, value in facts.items()]
    return "\n".join([*lines, *(["", more.strip()] if more else [])])


def doctor() -> str:
    """Return what rrjax runs on here: versions, devices, memory, caches, and what is missing."""
    cli.check_devices()
    facts = {"python": platform.python_version(), "system": platform.platform()}
    facts |= {name: _version(name) for name in PACKAGES}
    facts |= {name: _version(name) for name in ACCELERATORS if _version(name) != "missing"}
    for i, device in enumerate(jax.local_devices()):
        stats = device.memory_stats() or {}
        limit = stats.get("bytes_limit")
        memory = f", {limit / 2**30:.1f} GiB" if limit else ""
        facts[f"device {i}"] = f"{device.platform}: {device.device_kind}{memory}"
    facts["cores"] = f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}"
    facts["memory"] = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    for name in ("programs", "networks"):
        facts[f"cache of {name}"] = _size(cli.cache_folder(name))
    return _lines(facts, _advice())


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _size(folder: Path | None) -> str:
    if folder is None:
        return "none: set HOME to a folder that can be written"
    total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{folder}, {total / 2**20:.0f} MiB"


def _advice() -> str:
    """Say what would make the machine's accelerator seen, if it has one that is not."""
    if jax.default_backend() != "cpu":
        return "Everything runs on the devices above."
    nvidia = Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi")
    if jax.config.values["jax_platforms"] == "cpu":
        return "JAX_PLATFORMS=cpu is set: unset it to use an accelerator."
    if nvidia and _version("jax-cuda12-plugin") == "missing":
        return "An NVIDIA GPU is here and jax has no CUDA: pip install 'rrjax[cuda]'."
    if nvidia:
        return "An NVIDIA GPU is here and jax does not see it: look at what nvidia-smi says."
    if list(Path("/dev").glob("accel*")):
        return "A TPU is here and jax does not see it: pip install 'rrjax[tpu]'."
    return (
        "No accelerator is here. With one: pip install 'rrjax[cuda]' (NVIDIA, driver 525 or newer) "
        "or 'rrjax[tpu]'; nothing else changes."
    )
