"""Rows of arrays over all devices of all processes: the one place that splits and gathers them.

A program whose rows lie on several devices runs on each of them, on its rows; what is not rows, as
a network, lies on all of them. The rows are independent, so nothing is sent between devices. Each
process computes its share of the rows, and then all of them have the results of all.
"""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Rows = np.ndarray | jax.Array
# How many devices are used; None: all.
_COUNT: ContextVar[int | None] = ContextVar("count", default=None)


def replicated() -> NamedSharding:
    """Place a whole array on every device of this process."""
    return NamedSharding(_mesh(), PartitionSpec())


def split() -> NamedSharding:
    """Place an array's rows on the devices of this process, as many on each."""
    return NamedSharding(_mesh(), PartitionSpec("batch"))


def over_devices(function: Callable[..., Any], *stacks: Rows) -> Any:
    """Call `function` on stacks of n rows, split over the devices of this process.

    Where n does not divide by them, the stacks are filled up with their first rows.

    Args:
      function: arrays of as many rows each -> a pytree of arrays of as many rows.
      *stacks: arrays of n rows each.

    Returns:
      The pytree of `function`, of numpy arrays of n rows.
    """
    return started(function, *stacks)()


def started(function: Callable[..., Any], *stacks: Rows) -> Callable[[], Any]:
    """Start `over_devices`, and return what waits for its result and returns it."""
    n, size = len(stacks[0]), _mesh().size
    rows = np.arange(-(-n // size) * size) % n
    outputs = function(
        *(jax.device_put(stack if len(rows) == n else stack[rows], split()) for stack in stacks)
    )
    return lambda: jax.tree.map(lambda x: np.asarray(x)[:n], outputs)


def results(starts: Iterable[Callable[[], Any]]) -> list[Any]:
    """Return the results of what was `started`, each waited for after the next has been started.

    So the devices compute while the host fetches, and hold two parts at most. On a CPU the host is
    the device, and nothing is started ahead: two programs whose devices wait for each other, as for
    a sum, can take each other's threads and wait forever.
    """
    if jax.default_backend() == "cpu":
        return [start() for start in starts]
    values, last = [], None
    for start in starts:
        if last:
            values.append(last())
        last = start
    return [*values, last()] if last else values


def on_each(function: Callable[..., Any], whole: Any, *stacks: jax.Array) -> Any:
    """Call `function(whole, *stacks)` on every device of this process, with its rows of the stacks.

    A program that jax splits by itself cannot go over its rows one after the other, and gathers the
    rows of what it cannot split, such as a matrix factorization; this one does as it is told.

    Args:
      function: returns a pytree of arrays of as many rows as it is given.
      whole: a pytree of arrays that every device has.
      *stacks: arrays of n rows each; n divides by the devices.

    Returns:
      The pytree, with the rows of all.
    """
    rows = PartitionSpec("batch")
    specs = (PartitionSpec(), *(rows for _ in stacks))
    program = jax.shard_map(function, mesh=_mesh(), in_specs=specs, out_specs=rows, check_vma=False)
    return program(whole, *stacks)


def share(n: int) -> np.ndarray:
    """Return which of n rows are this process's: as many as every other's, so that some repeat."""
    each = -(-n // jax.process_count())
    return (jax.process_index() * each + np.arange(each)) % n


def gathered(tree: Any) -> Any:
    """Return the arrays of every process, stacked: a leading axis of processes.

    All processes call it, in the same order.
    """
    if jax.process_count() == 1:
        return jax.tree.map(lambda x: np.asarray(x)[None], tree)
    return jax.tree.map(np.asarray, multihost_utils.process_allgather(tree))


@contextmanager
def first(count: int) -> Generator[None, None, None]:
    """Use the first `count` devices of this process alone, to compare them with all."""
    token = _COUNT.set(count)
    try:
        yield
    finally:
        _COUNT.reset(token)


def _mesh() -> Mesh:
    return Mesh(np.array(jax.local_devices()[: _COUNT.get()]), ("batch",))
