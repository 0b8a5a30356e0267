"""A run's folder: made for one config, written by one process."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from rrjax.errors import BadInput
from rrjax.runs import pretrained
from rrjax.runs.files import locked, replace_text
from rrjax.runs.results import read_results


def create_run_dir(workdir: str | Path, config: ConfigDict, accept_changes: bool = False) -> None:
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
