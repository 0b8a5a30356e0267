"""The programs of cases of `rrjax.bench.cases`, lowered for devices that need not be there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from rrjax import models
from rrjax.bench import cases
from rrjax.core import vmapped
from rrjax.data.augment import pixels
from rrjax.train.tasks import classifier

_ALIKE, _SPLIT = PartitionSpec(), PartitionSpec("batch")  # on all devices; a part on each


@dataclass(frozen=True)
class _Work:
    """What each device runs: function(state, batch) -> results; state and batch are shapes."""

    function: Callable
    state: Any
    batch: dict[str, jax.ShapeDtypeStruct]
    results: PartitionSpec
    donate: bool = False  # the memory of the state to the results


def lower(config: ConfigDict, case: cases.Case, mesh: Mesh) -> jax.stages.Lowered:
    """Lower a case with n images on each device of a mesh along "batch"."""
    training = cases.training(config, case | {"n": case["n"] * mesh.size})
    work = _KINDS[case["kind"]](config, training)
    step = jax.shard_map(
        work.function,
        mesh=mesh,
        in_specs=(_ALIKE, _SPLIT),
        out_specs=work.results,
        check_vma=False,
    )
    step = jax.jit(step, donate_argnums=(0,) if work.donate else ())
    return step.lower(_placed(work.state, mesh, _ALIKE), _placed(work.batch, mesh, _SPLIT))


def _placed(shapes: Any, mesh: Mesh, spec: PartitionSpec) -> Any:
    sharding = NamedSharding(mesh, spec)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)


def _training_step(_config: ConfigDict, training: ConfigDict) -> _Work:
    task = classifier.create(training, steps_per_epoch=1000)
    state = jax.eval_shape(task.init)
    return _Work(task.train_step, state, _batch(training), _ALIKE, donate=True)


def _evaluation_step(_config: ConfigDict, training: ConfigDict) -> _Work:
    task = classifier.create(training, steps_per_epoch=1000)
    more = {
        "index": jax.ShapeDtypeStruct((training.batch_size,), jnp.int32),
        "mask": jax.ShapeDtypeStruct((training.batch_size,), jnp.float32),
    }
    return _Work(task.eval_step, jax.eval_shape(task.init), _batch(training) | more, _ALIKE)


def _inversion(config: ConfigDict, training: ConfigDict) -> _Work:
    model, size = models.create(training.model), training.data.image_size

    def network() -> jax.tree_util.Partial:
        variables = models.init(model, jax.random.key(0), (size, size, len(model.mean)))
        return models.frozen(model, variables)

    def invert(apply, batch):
        images = pixels(batch["image"])
        options = {"eps": 1000.0, "step_size": 1.0, "steps": config.inversion_steps}
        return vmapped.invert_images(apply, apply, images[::-1], images, **options)

    return _Work(invert, jax.eval_shape(network), _batch(training), _SPLIT)


_KINDS = {
    "adversarial": _training_step,
    "standard": _training_step,
    "evaluation": _evaluation_step,
    "inversion": _inversion,
}


def _batch(training: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    n, size = training.batch_size, training.data.image_size
    channels = len(training.model.mean)
    return {
        "image": jax.ShapeDtypeStruct((n, size, size, channels), jnp.uint8),
        "label": jax.ShapeDtypeStruct((n,), jnp.int32),
    }
