"""A run folder: it belongs to one config, and one process writes it."""

import json
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from rrjax import BadInput, did_you_mean
from rrjax.runs import pretrained
from rrjax.runs.files import locked, replace_text
from rrjax.runs.results import read_results


def create_run_dir(workdir: str | Path, config: ConfigDict, accept_changes: bool = False) -> None:
    """Make `workdir` the run folder of a config, or check that it already is.

    Args:
      workdir: the folder; it need not exist.
      config: written to config.json.
      accept_changes: replace the config of a run folder that has another; the old one is kept as
        config.old.json.

    Raises:
      BadInput: if the folder cannot be written, or holds another config (the differences are
        named).
    """
    make_folder(workdir)
    path = Path(workdir) / "config.json"
    changes = _changes(read_config(workdir), config) if path.exists() else ""
    if changes and not accept_changes:
        raise BadInput(
            f"--workdir={workdir} holds another run ({changes}): choose another workdir, or "
            "continue with the new values by --accept_changes"
        )
    if jax.process_index() or (path.exists() and not changes):
        return
    if changes:
        print(f"{workdir}: {changes}")
        replace_text(path.with_name("config.old.json"), path.read_text())
    replace_text(path, config.to_json(indent=2) + "\n")


def _changes(old: ConfigDict, new: ConfigDict) -> str:
    old, new = flat(old), flat(new)
    if not old.get("data.class_names"):  # older runs do not say them
        new = new | {"data.class_names": old.get("data.class_names")}
    changed = [f for f in sorted(old | new) if old.get(f) != new.get(f)]
    return "; ".join(f"{f} was {old.get(f)!r}, now {new.get(f)!r}" for f in changed)


@contextmanager
def one_writer(workdir: str | Path) -> Generator[None, None, None]:
    """Let no other training write a run folder.

    Raises:
      BadInput: if one does already.
    """
    if jax.process_index():  # the first process writes for all
        yield
        return
    refusal = f"--workdir={workdir}: another training writes it; wait for it, or choose another"
    with locked(Path(workdir) / ".lock", refusal):
        yield


def make_folder(workdir: str | Path) -> None:
    """Make the folder that a command writes.

    Raises:
      BadInput: if it cannot be written, or holds a results.json that cannot be read.
    """
    if not str(workdir):
        raise BadInput("--workdir is empty: name the folder to write")
    try:
        Path(workdir).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        raise BadInput(f"--workdir={workdir}: cannot be written ({error.strerror})") from error
    read_results(workdir)  # refused now, not after hours of work


def read_config(path: str | Path) -> ConfigDict:
    """Return the config of a run folder, locked; what older runs do not have is added or renamed.

    Raises:
      BadInput: if `path` is not the run folder of a training.
    """
    path = Path(path) / "config.json"
    try:
        config = ConfigDict(_as_today(json.loads(path.read_text()))).lock()
    except OSError as error:
        available = pretrained.models_available()
        if str(path.parent) in available:
            raise BadInput(f"{path.parent}: a classifier; here a run folder is needed") from error
        meant = did_you_mean(str(path.parent), available)
        raise BadInput(
            f"{path.parent}: not a run folder (no readable config.json) nor a pretrained model: "
            f"{meant or ', '.join(available)} (docs/published.md has more; python -m rrjax.train "
            "makes one)"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not a config ({error}); restore it or delete the run") from error
    if not {"model", "data"} <= set(config):
        raise BadInput(f"{path}: not a training config; restore it or delete the run")
    return config


def _as_today(fields: dict[str, Any]) -> dict[str, Any]:
    """Give a config the names of today, and those fields whose default changes nothing."""
    attack = fields.get("attack", {})
    if "keep" in attack:  # its name until rrjax 0.1 was finished
        attack = {name: value for name, value in attack.items() if name != "keep"}
        fields = fields | {"attack": attack | {"return_iterate": fields["attack"]["keep"]}}
    if "data" in fields:
        fields = fields | {"data": {"class_names": []} | fields["data"]}
    if "model" in fields and "start_from" in fields:  # a classifier's
        fields = fields | {"model": {"module": ""} | fields["model"]}
    return fields


def flat(config: ConfigDict) -> dict[str, Any]:
    """Return the fields of a config by dotted names, with values as JSON holds them."""
    plain = json.loads(config.to_json())
    fields = {}
    for name, value in plain.items():
        if isinstance(value, dict):
            fields |= {f"{name}.{inner}": v for inner, v in value.items()}
        else:
            fields[name] = value
    return fields
