"""One step on every device of every process: the only mention of pmap."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rrjax.core import devices
from rrjax.data.augment import Batch


def data_parallel(step: Callable, donate: bool = False) -> jax.stages.Wrapped:
    """Run a per-device pure step, (state, batch) -> anything, on every device.

    The step's collectives name the axis "batch". The state is one replicated tree, not a stacked
    one; `donate` gives its memory to the result. What leaves the step must agree between devices
    (pmean or psum): pmap does not check it.
    """
    return jax.pmap(
        step,
        axis_name="batch",
        in_axes=(None, 0),
        out_axes=None,
        donate_argnums=(0,) if donate else (),
    )


def replicated() -> NamedSharding:
    """Place a whole array on every device of every process."""
    return NamedSharding(Mesh(np.array(jax.devices()), ("batch",)), PartitionSpec())


def shard(batch: Batch) -> Batch:
    """Split the leading axis of one process's batch over its devices."""
    n = jax.local_device_count()
    return {name: x.reshape(n, -1, *x.shape[1:]) for name, x in batch.items()}


def place(batch: Batch) -> dict[str, jax.Array]:
    """Split a batch and start its transfer to this process's devices."""
    return jax.device_put(shard(batch), devices.split())
