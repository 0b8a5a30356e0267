"""The pretrained models: NAME.safetensors, NAME.json and a model card, NAME.md, each.

Parameters are bfloat16, BN statistics float32. The JSON file holds the config of the training, the
time it took and the SHA-256 of the weights.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from rrjax import BadInput
from rrjax.runs import safetensors

FOLDER = Path(__file__).parent


def models_available() -> tuple[str, ...]:
    """Return the names of the pretrained models, which `rrjax.load` and every command take."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.safetensors")))


def facts(name: str) -> dict[str, Any]:
    """Return the `config` of a model's training, a plain dict, and the `time` it took, a text."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def read(name: str) -> tuple[ConfigDict, dict[str, Any]]:
    """Return the config of a model's training and its variables, float32 numpy arrays.

    Raises:
      BadInput: if its weights are not those that were published.
    """
    published = facts(name)
    path = FOLDER / f"{name}.safetensors"
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != published["sha256"]:
        raise BadInput(f"{path}: not the weights that came with rrjax; install it again")
    arrays = {
        tuple(key.split("/")): array.astype(np.float32)
        for key, array in safetensors.loads(content).items()
    }
    return ConfigDict(published["config"]).lock(), unflatten_dict(arrays)


def write(
    folder: Path, name: str, config: ConfigDict, variables: dict[str, Any], time: str
) -> None:
    """Write a network into `folder` as `read` takes it, for the next release.

    Args:
      folder: exists.
      name: of the model.
      config: of its training.
      variables: `params`, which are rounded to bfloat16, and `batch_stats`.
      time: how long the training took, and on what, for the model card.
    """
    arrays = {
        "/".join(path): np.asarray(x, jnp.bfloat16 if path[0] == "params" else np.float32)
        for path, x in sorted(flatten_dict(variables).items())
    }
    content = io.BytesIO()
    safetensors.dump(arrays, content)
    (folder / f"{name}.safetensors").write_bytes(content.getvalue())
    published = {
        "sha256": hashlib.sha256(content.getvalue()).hexdigest(),
        "time": time,
        "config": json.loads(config.to_json()),
    }
    (folder / f"{name}.json").write_text(json.dumps(published, indent=2) + "\n")
