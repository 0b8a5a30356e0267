"""The networks that come with rrjax: NAME.safetensors, NAME.json and a card, NAME.md, each.

Parameters are bfloat16, BN statistics float32; the JSON holds the run's config, the time it took
and the SHA-256 of the weights.
"""

import hashlib
import io
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from rrjax.errors import BadInput
from rrjax.runs import safetensors

FOLDER = Path(__file__).parent


def models_available() -> tuple[str, ...]:
    """Name the networks that come with rrjax: `rrjax.load` and every command take the names."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.safetensors")))


def facts(name: str) -> dict:
    """Return a network's `config`, a plain dict, and the `time` its training took, a text."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def read(name: str) -> tuple[ConfigDict, dict]:
    """Return the config of a network's training and its variables, float32 numpy arrays.

    Raises:
      BadInput: if its weights are not those that were published.
    """
    known = facts(name)
    path = FOLDER / f"{name}.safetensors"
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != known["sha256"]:
        raise BadInput(f"{path}: not the weights that came with rrjax; install it again")
    arrays = {
        tuple(key.split("/")): array.astype(np.float32)
        for key, array in safetensors.loads(content).items()
    }
    return ConfigDict(known["config"]).lock(), unflatten_dict(arrays)


def write(folder: Path, name: str, config: ConfigDict, variables: dict, time: str) -> None:
    """Write a network as it is read above, for the next release."""
    arrays = {
        "/".join(path): np.asarray(x, jnp.bfloat16 if path[0] == "params" else np.float32)
        for path, x in sorted(flatten_dict(variables).items())
    }
    content = io.BytesIO()
    safetensors.dump(arrays, content)
    (folder / f"{name}.safetensors").write_bytes(content.getvalue())
    known = {
        "sha256": hashlib.sha256(content.getvalue()).hexdigest(),
        "time": time,
        "config": json.loads(config.to_json()),
    }
    (folder / f"{name}.json").write_text(json.dumps(known, indent=2) + "\n")
