"""Batches made ready beside the training loop, and how long the devices waited for them.

Not `grain.experimental.device_put`, which prefetches to devices too. It takes a Grain dataset,
where this takes any generator and closes it; and it does not tell how long the devices waited: the
time that its `next` takes has the devices' own work in it, which goes on meanwhile.
"""

import queue
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from typing import Any

import jax

TICK = 0.01  # seconds: how exactly waiting is told from working


@contextmanager
def prefetched(
    batches: Generator, place: Callable[[Any], Any], size: int = 2
) -> Generator[Callable[[Any], tuple[Any, float]], None, None]:
    """Read and `place` batches in a thread, `size` ahead, and close their generator at the end.

    Yields next_batch(working) -> (placed batch, seconds of waiting). `working` is a tree of arrays;
    while they are still being computed a wait does not count. What the reading raises,
    `next_batch` raises.
    """
    # Two batches ahead: one to be taken while the next is placed. More would fill the devices'
    # memory, not their time.
    ready: queue.Queue = queue.Queue(size)
    ended = threading.Event()

    def put(item: Any) -> None:
        # Not an endless wait: where the loop has ended nobody takes from the queue any more.
        while not ended.is_set():
            with suppress(queue.Full):
                return ready.put(item, timeout=0.1)

    def read() -> None:
        # A thread suffices: decoding and placing are done outside of Python's lock. The generator
        # is closed by the thread that runs it, since no other may.
        try:
            with closing(batches):
                for batch in batches:
                    put((place(batch), None))
                    if ended.is_set():
                        return
        except Exception as error:
            put((None, error))  # raised where the batch is asked for, after those before it

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield lambda working: _next_batch(ready, working)
    finally:
        ended.set()
        thread.join()  # the files are closed, and Grain's processes ended, when this returns


def _next_batch(ready: queue.Queue, working: Any) -> tuple[Any, float]:
    """Wait for a batch, and count the ticks that found all of `working` computed."""
    waited = 0.0
    while True:
        start, item = time.monotonic(), None
        with suppress(queue.Empty):
            item = ready.get(timeout=TICK)
        if all(array.is_ready() for array in jax.tree.leaves(working)):
            waited += time.monotonic() - start
        if item:
            batch, error = item
            if error:
                raise error
            return batch, waited
