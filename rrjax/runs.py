"""A run's folder: config.json, metrics.jsonl, checkpoints/, figures/; and what comes out of it.

A checkpoint is two items: `variables` (params and batch_stats: all that a reader needs) and
`training` (step and optimiser; the data go on from the step); and its score, where there was an
evaluation. Orbax ignores half-written ones.
"""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import ConfigDict
from orbax.checkpoint.checkpoint_managers import preservation_policy

from rrjax import models
from rrjax.errors import BadInput
from rrjax.models.layers import straight_through_relu
from rrjax.objectives import Apply

ITEMS = ("variables", "training")


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A trained network that changes no more.

    apply: one image (H, W, C), float in [0,1] -> (logits, reps). A pytree: pass it through jit.
    straight_through: the same values, but the last ReLU passes gradients to dead coordinates,
      as inversion needs.
    """

    config: ConfigDict
    model: nn.Module
    variables: Any
    apply: Apply
    straight_through: Apply

    def __call__(self, images) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Map images (N, H, W, C), float in [0,1], to (logits, reps).

        Raises:
          BadInput: for pixels outside [0,1] or another number of channels.
        """
        images = jnp.asarray(images)
        channels = len(self.config.model.mean)
        if images.ndim != 4 or images.shape[-1] != channels:
            raise BadInput(
                f"images of shape {images.shape}: this network takes (N, H, W, {channels})"
            )
        low, high = float(images.min()), float(images.max())
        if not (low >= 0 and high <= 1):
            raise BadInput(
                f"images with pixels from {low:g} to {high:g}: pass floats in [0,1], divided by "
                "255 and not normalised (the network normalises inside)"
            )
        return _forward(self.apply, images)


@jax.jit
def _forward(apply, images):
    return jax.vmap(apply)(images)


def load(path: str | Path, checkpoint: str = "latest") -> Frozen:
    """Load the network of a run folder, onto one device.

    Args:
      checkpoint: "latest", or "best" (by the run's test score: never judge a test set with it).

    Raises:
      BadInput: if the folder is not a run's, holds no such checkpoint, or one that cannot be read.
    """
    if checkpoint not in ("latest", "best"):
        raise BadInput(f'checkpoint={checkpoint!r}: choose "latest" or "best"')
    config = read_config(path)
    model = models.create(config.model)
    shape = (config.data.image_size, config.data.image_size, len(config.model.mean))
    like = jax.eval_shape(lambda: models.init(model, jax.random.key(0), shape))
    like = {"params": like["params"], "batch_stats": like.get("batch_stats", {})}
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    with open_checkpoints(path) as manager:
        step = manager.latest_step() if checkpoint == "latest" else manager.best_step()
        if step is None:
            raise BadInput(f"{path}: no finished checkpoint yet; run the training that writes it")
        variables = restore(manager, step, sharding, variables=like)["variables"]
    through = model.clone(last_act=straight_through_relu)
    return Frozen(
        config, model, variables, models.frozen(model, variables), models.frozen(through, variables)
    )


def claim(workdir: str | Path, config: ConfigDict) -> None:
    """Make `workdir` this config's run folder, or check that it already is.

    Raises:
      BadInput: if it cannot be written, or holds another config (the differences are named).
    """
    make_folder(workdir)
    workdir = Path(workdir)
    path = workdir / "config.json"
    if not path.exists():
        replace_text(path, config.to_json(indent=2) + "\n")
        return
    old, new = _flat(read_config(workdir)), _flat(config)
    changed = [f for f in sorted(old | new) if old.get(f) != new.get(f)]
    if changed:
        listed = "; ".join(f"{f} was {old.get(f)!r}, now {new.get(f)!r}" for f in changed)
        raise BadInput(f"--workdir={workdir} holds another run ({listed}): choose another workdir")


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
    _read_results(workdir)  # now, and not after hours


def replace_text(path: Path, text: str) -> None:
    """Write a whole file at once, so that a kill leaves the old one or the new one."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(text)
    draft.replace(path)


def read_config(path: str | Path) -> ConfigDict:
    """Read a run folder's config; BadInput if `path` is not a run folder."""
    path = Path(path) / "config.json"
    try:
        config = ConfigDict(json.loads(path.read_text())).lock()
    except OSError as error:
        raise BadInput(
            f"{path.parent}: not a run folder (no readable config.json); "
            "make one with python -m rrjax.train"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not a config ({error}); restore it or delete the run") from error
    if not {"model", "data"} <= set(config):
        raise BadInput(f"{path}: not a training config; restore it or delete the run")
    return config


def open_checkpoints(workdir: str | Path, write: bool = False) -> ocp.CheckpointManager:
    """Open a run's checkpoints; a writer keeps the two latest and the one of best score."""
    keep = preservation_policy.AnyPreservationPolicy(
        [
            preservation_policy.LatestN(2),
            preservation_policy.BestN(
                get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False
            ),
        ]
    )
    options = ocp.CheckpointManagerOptions(
        best_fn=_score,
        best_mode="max",
        preservation_policy=keep,
        cleanup_tmp_directories=write,  # a reader must not touch a run that is being written
        read_only=not write,
    )
    directory = Path(workdir).absolute() / "checkpoints"
    return ocp.CheckpointManager(directory, options=options, item_names=ITEMS)


def started(workdir: str | Path) -> bool:
    """Say whether a run has a finished checkpoint to go on from."""
    with open_checkpoints(workdir) as manager:
        return manager.latest_step() is not None


def _score(metrics: dict[str, float]) -> float:
    return metrics["score"]


def save(manager, step: int, variables, training, score: float | None) -> None:
    """Write one checkpoint in the background."""
    items = ocp.args.Composite(
        variables=ocp.args.StandardSave(variables), training=ocp.args.StandardSave(training)
    )
    manager.save(step, args=items, metrics=None if score is None else {"score": score})


def restore(manager, step: int, sharding, **like) -> dict[str, Any]:
    """Restore the items named by `like`, each a tree of arrays or shapes.

    Raises:
      BadInput: naming the checkpoint, if it is damaged or another network's.
    """

    def shaped(x):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    items = {
        item: ocp.args.StandardRestore(jax.tree.map(shaped, tree)) for item, tree in like.items()
    }
    try:
        return dict(manager.restore(step, args=ocp.args.Composite(**items)))
    except (ValueError, OSError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BadInput(
            f"{manager.directory / str(step)}: this checkpoint cannot be read ({reason}); "
            "delete that folder to go back to the one before it"
        ) from error


def write_results(workdir: str | Path, name: str, results: dict) -> None:
    """Put a study's numbers under its name into the folder's results.json."""
    everything = _read_results(workdir) | {name: results}
    text = json.dumps(everything, indent=2, default=_plain) + "\n"
    replace_text(Path(workdir) / "results.json", text)


def _read_results(workdir: str | Path) -> dict:
    path = Path(workdir) / "results.json"
    try:
        return dict(json.loads(path.read_text())) if path.exists() else {}
    except ValueError as error:
        raise BadInput(f"{path}: not JSON ({error}); move it away") from error


def _plain(value):
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return np.asarray(value).tolist()
    raise TypeError(f"results hold a {type(value).__name__}: give plain values or arrays")


def _flat(config: ConfigDict) -> dict[str, Any]:
    """Map dotted field names to values, as JSON holds them."""
    plain = json.loads(config.to_json())
    flat = {}
    for name, value in plain.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": v for inner, v in value.items()}
        else:
            flat[name] = value
    return flat
