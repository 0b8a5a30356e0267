"""A run's checkpoints, by Orbax, which ignores half-written ones.

Each is two items: `variables` (params and batch_stats: all that a reader needs) and `training`
(step and optimizer; the data resume from the step); and its score, where there was an evaluation.
"""

import json
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from orbax.checkpoint.checkpoint_managers import preservation_policy

from rrjax import BadInput
from rrjax.core import devices

ITEMS = ("variables", "training")


@contextmanager
def open_manager(
    workdir: str | Path, write: bool = False
) -> Generator[ocp.CheckpointManager, None, None]:
    """Open a run's checkpoints; a writer keeps the two latest and the one of best score.

    Leaving waits for what is being written.

    Raises:
      BadInput: on leaving, if a checkpoint could not be written.
    """
    policy = preservation_policy.AnyPreservationPolicy(
        [
            preservation_policy.LatestN(2),
            preservation_policy.BestN(
                get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False
            ),
        ]
    )
    directory = Path(workdir).absolute() / "checkpoints"
    if write:
        directory.mkdir(parents=True, exist_ok=True)  # Orbax does not, for several processes
    with _quiet():
        options = ocp.CheckpointManagerOptions(
            best_fn=_score,
            best_mode="max",
            preservation_policy=policy,
            cleanup_tmp_directories=write,  # a reader must not touch a run that is being written
            create=False,
            read_only=not write,
            multiprocessing_options=_barriers(),
        )
        manager = ocp.CheckpointManager(directory, options=options, item_names=ITEMS)
    try:
        yield manager
    finally:
        with _raise_as_bad_input(manager):
            manager.close()


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """Let Orbax not warn, in a user's script, that a reader only reads."""
    before = logging.get_verbosity()
    logging.set_verbosity(min(before, logging.ERROR))
    try:
        yield
    finally:
        logging.set_verbosity(before)


@contextmanager
def _raise_as_bad_input(manager: ocp.CheckpointManager) -> Generator[None, None, None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # a full disk is tensorstore's ValueError
        reason = " ".join(str(error).split())[:300]
        raise BadInput(
            f"{manager.directory}: a checkpoint could not be written ({reason}); the run stops, "
            f"its last whole one is of step {manager.latest_step()}: make room, and rerun the same "
            "command to resume"
        ) from error


def _barriers() -> ocp.options.MultiprocessingOptions:
    """Let processes meet at jax's coordinator, not, as is Orbax's default, on the devices.

    There the meeting of a background save would cross the collectives of a training step.
    """
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    return ocp.options.MultiprocessingOptions(active_processes=set(range(jax.process_count())))


def has_checkpoint(workdir: str | Path) -> bool:
    """Say whether a run has a finished checkpoint to resume from."""
    with open_manager(workdir) as manager:
        return manager.latest_step() is not None


def choose_step(manager: ocp.CheckpointManager, checkpoint: str) -> int:
    """Return the step of the checkpoint "latest" or "best".

    Of a network that was not trained in its folder the only one is both.

    Raises:
      BadInput: if there is none, or for "best" none that was evaluated.
    """
    latest, best = manager.latest_step(), manager.best_step()
    folder = manager.directory.parent
    if latest is None:
        raise BadInput(f"{folder}: no finished checkpoint yet; run the training that writes it")
    if checkpoint == "latest" or not (manager.directory / str(latest) / "training").exists():
        return latest
    if best is None:
        raise BadInput(
            f"{folder}: no checkpoint was evaluated yet, so none is the best: set "
            "checkpoint=latest, or let the training reach an evaluation"
        )
    return best


def _score(metrics: dict[str, float]) -> float:
    return metrics["score"]


def save(
    manager: ocp.CheckpointManager,
    step: int,
    variables: Any,
    training: Any | None,
    score: float | None,
) -> None:
    """Write one checkpoint in the background.

    Args:
      manager: of `open_manager(write=True)`.
      step: its number.
      variables: params and batch_stats, a tree of arrays.
      training: what else the training needs; None for a checkpoint that is only read.
      score: by which the best checkpoint is chosen; None where there was no evaluation.

    Raises:
      BadInput: if the checkpoint before it could not be written.
    """
    items = {"variables": variables} | ({} if training is None else {"training": training})
    if jax.process_count() > 1:
        # What leaves pmap is each process's own, and Orbax writes only what is of all.
        items = jax.tree.map(ocp.utils.fully_replicated_host_local_array_to_global_array, items)
    items = {item: ocp.args.StandardSave(tree) for item, tree in items.items()}
    metrics = None if score is None else {"score": score}
    with _raise_as_bad_input(manager):
        manager.save(step, args=ocp.args.Composite(**items), metrics=metrics)


def add_score(manager: ocp.CheckpointManager, step: int, score: float) -> None:
    """Give a finished checkpoint the score of an evaluation that came after it; all processes call.

    Raises:
      BadInput: if it cannot be written.
    """
    with _raise_as_bad_input(manager):
        if not jax.process_index():
            folder = manager.directory / str(step)
            draft = Path(folder / "metrics.draft")  # a kill while it is written leaves no half file
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            (draft / "metrics").write_text(json.dumps({"score": score}))
            draft.rename(folder / "metrics")
        devices.gathered(0)  # the others read it after it is there
        manager.reload()


def save_once(workdir: str | Path, variables: Any) -> None:
    """Write the one checkpoint of a network that is only read; wait until it is there."""
    with open_manager(workdir, write=True) as manager:
        save(manager, 0, variables, training=None, score=None)


def restore(
    manager: ocp.CheckpointManager, step: int, sharding: jax.sharding.Sharding, **like: Any
) -> dict[str, Any]:
    """Restore the items named by `like`, each a tree of arrays or shapes, to devices.

    Raises:
      BadInput: naming the checkpoint, if it is damaged or another network's.
    """

    def shaped(x):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    items = {
        item: ocp.args.StandardRestore(jax.tree.map(shaped, tree)) for item, tree in like.items()
    }
    folder = manager.directory / str(step)
    if (
        "training" in like
        and (folder / "variables").exists()
        and not (folder / "training").exists()
    ):
        raise BadInput(
            f"{folder}: an imported network, without an optimizer's state: its training cannot be "
            "resumed; choose another workdir"
        )
    try:
        return dict(manager.restore(step, args=ocp.args.Composite(**items)))
    except (ValueError, OSError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BadInput(
            f"{folder}: this checkpoint cannot be read ({reason}); if config.json was changed, "
            f"undo that; else {_recovery_hint(manager, step)}"
        ) from error


def _recovery_hint(manager: ocp.CheckpointManager, step: int) -> str:
    before = [each for each in manager.all_steps() if each < step]
    if before:
        return f"delete that folder to go back to the one of step {max(before)}"
    return "there is none before it: delete the run's checkpoints to start it anew"
