"""What studies leave in a folder: results.json, sections of report.html, cached values."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from rrjax.errors import BadInput
from rrjax.runs.files import in_turn, replace_text
from rrjax.runs.report import Section, text_table, write_report


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


def disk_cache(
    workdir: str | Path, name: str, config: ConfigDict, variables: Any
) -> Callable[[str, Callable], np.ndarray]:
    """Make cached(key, make), which returns the array make(), float64, and writes it down.

    An interrupted study that has the same config and variables (a pytree, of the networks it looks
    at) does not make it again: they name the file, cells/NAME-....jsonl.
    """
    content = hashlib.sha256(config.to_json(sort_keys=True).encode())
    for x in jax.tree.leaves(variables):
        content.update(np.asarray(x).tobytes())
    path = Path(workdir) / "cells" / f"{name}-{content.hexdigest()[:12]}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    # The last line of one that was killed may be half a line.
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    replace_text(path, "".join(f"{line}\n" for line in lines))
    done = {entry["key"]: np.array(entry["value"]) for entry in map(json.loads, lines)}

    def cached(key: str, make: Callable) -> np.ndarray:
        if key not in done:
            done[key] = np.asarray(make(), np.float64)
            with path.open("a") as file:
                file.write(json.dumps({"key": key, "value": done[key].tolist()}) + "\n")
        return done[key]

    return cached


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
