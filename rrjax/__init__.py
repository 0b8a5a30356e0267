"""Adversarially robust representations in JAX/Flax: train, invert, measure.

The public API, for notebooks and scripts: functions of one image (`pgd`, `invert`, ...), sets and
steps for `pgd`, `load` and `wrap` for networks, `read_image`, `show` and `save_images` for
photographs, the modules `attack`, `attribution`, `objectives` and `representation`, and the
packages that they lie in. All of it is imported at its first use.
"""

import difflib
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Each name and the module that defines it.
_PUBLIC = {
    "interpolate": "rrjax.core.representation",
    "invert": "rrjax.core.representation",
    "l2_ball": "rrjax.core.pgd",
    "l2_step": "rrjax.core.pgd",
    "linf_ball": "rrjax.core.pgd",
    "linf_step": "rrjax.core.pgd",
    "load": "rrjax.runs.networks",
    "load_autoencoder": "rrjax.runs.networks",
    "manipulate": "rrjax.core.representation",
    "models_available": "rrjax.runs.pretrained",
    "pgd": "rrjax.core.pgd",
    "raw_step": "rrjax.core.pgd",
    "read_image": "rrjax.runs.photographs",
    "save_images": "rrjax.runs.photographs",
    "show": "rrjax.runs.photographs",
    "unit_cube": "rrjax.core.pgd",
    "visualize": "rrjax.core.representation",
    "wrap": "rrjax.runs.own",
}
_MODULES = ("attack", "attribution", "objectives", "representation")
_PACKAGES = ("core", "data", "evaluate", "models", "runs")

__all__ = ["BadInput", "Stopped", "__version__", *_MODULES, *_PACKAGES, *_PUBLIC]

# The shipped configs are rrjax.configs. A wheel holds them inside the package; a clone beside it,
# where people edit them.
if not Path(__file__).with_name("configs").is_dir():
    __path__.append(str(Path(__file__).parents[1]))


class BadInput(ValueError):
    """Say in one line which value is invalid and how to fix it; commands print it, exit code 2."""


class Stopped(Exception):
    """Say that the run was interrupted and has saved: the same command resumes it, exit code 75."""


def did_you_mean(name: str, choices: Iterable[str], most: int = 3) -> str:
    """Return "did you mean A or B?" for the choices that are nearly `name`; "" without any."""
    near = difflib.get_close_matches(name, list(choices), most)
    return f"did you mean {' or '.join(near)}?" if near else ""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _MODULES:
        return importlib.import_module(f"rrjax.core.{name}")
    if name in _PACKAGES:
        return importlib.import_module(f"rrjax.{name}")
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'rrjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    # Imported here: every command imports this module, and almost none asks for the version.
    import configparser
    from importlib import metadata

    try:
        return metadata.version("rrjax")
    except metadata.PackageNotFoundError:  # a clone that is not installed
        settings = configparser.ConfigParser()
        settings.read(Path(__file__).parents[1] / "setup.cfg")
        return settings["metadata"]["version"]
