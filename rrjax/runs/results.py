"""What studies write into a folder: results.json, sections of report.html, cached values."""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

import rrjax
from rrjax import BadInput
from rrjax.runs.files import in_turn, replace_text
from rrjax.runs.page import write_report, write_section
from rrjax.runs.report import Section, text_table
from rrjax.runs.training_curves import training_section


def write_results(workdir: str | Path, name: str, results: dict) -> None:
    """Write a study's results under its name into the folder's results.json.

    Results are plain values and arrays, which JSON holds as lists. What is not finite becomes null:
    JSON has no NaN.
    """
    plain = json.loads(json.dumps(results, default=_plain))
    everything = read_results(workdir) | {name: _finite(plain)}
    text = json.dumps(everything, indent=2, allow_nan=False) + "\n"
    replace_text(Path(workdir) / "results.json", text)


def publish(workdir: str | Path, config: ConfigDict, section: Section, results: dict) -> None:
    """Write a study's results, its config and its section of the report; print its table.

    results.json has them under the section's name. Studies may run side by side in a folder. Of
    several processes the first does all this.

    Args:
      workdir: the folder, which exists.
      config: the study's; results.json and the report hold it.
      section: the study's part of report.html.
      results: plain values and arrays by name.
    """
    if jax.process_index():
        return
    settings = config.to_dict()
    print(text_table(section.header, section.rows))
    try:
        with in_turn(Path(workdir) / ".results.lock"):
            write_results(workdir, section.name, {"config": settings} | results)
            if curves := training_section(workdir, read_results(workdir)):
                write_section(workdir, curves)
            write_report(workdir, section, settings)
    except OSError as error:
        raise BadInput(
            f"{error.filename or workdir}: cannot be written ({error.strerror}); the table above "
            "is the result: make room, and run the command again to have it in files"
        ) from error


def disk_cache(
    workdir: str | Path, name: str, config: ConfigDict, identity: Any
) -> Callable[[str, Callable], dict[str, np.ndarray]]:
    """Return cached(key, make), which returns make(), arrays by name, and keeps them on disk.

    An interrupted study of the same config and identity, by the same version of rrjax, reads them
    from there, a file a key in the folder cells/NAME-...: a hash of the three names the folder, one
    of the key the file. Several processes read one folder; the first writes.

    Args:
      workdir: the study's folder.
      name: of the folder.
      config: whatever decides the values.
      identity: a pytree of arrays, numbers and texts, of the networks that the study looks at.
    """
    content = hashlib.sha256(f"{rrjax.__version__} {config.to_json(sort_keys=True)}".encode())
    for x in jax.tree.leaves(identity):
        if isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            x = jax.random.key_data(x)  # an nnx module's dropout has one
        content.update(np.asarray(x).tobytes())
    folder = Path(workdir) / "cells" / f"{name}-{content.hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    # Listed once: processes that make arrays together must agree on which are there.
    present = {path.name for path in folder.glob("*.npz")}

    def cached(key: str, make: Callable) -> dict[str, np.ndarray]:
        path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"
        if path.name in present:
            with np.load(path) as arrays:
                return dict(arrays)
        made: dict[str, Any] = {name: np.asarray(x) for name, x in make().items()}
        if not jax.process_index():
            draft = path.with_suffix(".draft")  # a kill while it is written leaves no half file
            with draft.open("wb") as file:
                np.savez(file, **made)
            draft.replace(path)
        return made

    return cached


def read_results(workdir: str | Path) -> dict:
    """Return what studies wrote into a folder's results.json, by their names; {} without one.

    Raises:
      BadInput: if it is not JSON, or not a dict.
    """
    path = Path(workdir) / "results.json"
    try:
        results = json.loads(path.read_text()) if path.exists() else {}
    except (ValueError, OSError) as error:
        raise BadInput(f"{path}: not JSON ({error}); move it away") from error
    if not isinstance(results, dict):
        raise BadInput(f"{path}: a {type(results).__name__}, not results by name; move it away")
    return results


def _finite(value: Any) -> Any:
    """Replace NaN and infinities in a tree of plain values."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return np.asarray(value).tolist()
    raise TypeError(f"results hold a {type(value).__name__}: give plain values or arrays")
