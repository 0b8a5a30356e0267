"""Batches made ready beside the training loop, and how long the devices waited for them."""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import jax

TICK = 0.01  # seconds: how exactly waiting is told from working


@contextmanager
def prefetched(batches: Generator, place: Callable, size: int = 2) -> Iterator[Callable]:
    """Read and `place` batches in a thread, `size` ahead, and close their generator at the end.

    Yields next(working) -> (placed batch, seconds of waiting). `working` is a tree of arrays; while
    they are still being computed a wait does not count. What the reading raises, `next` raises.
    """
    ready, ended = queue.Queue(size), threading.Event()

    def put(item: Any) -> None:
        while not ended.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def read() -> None:
        try:
            with closing(batches):
                for batch in batches:
                    put((place(batch), None))
                    if ended.is_set():
                        return
        except Exception as error:
            put((None, error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield lambda working: _next(ready, working)
    finally:
        ended.set()
        thread.join()


def _next(ready: queue.Queue, working: Any) -> tuple[Any, float]:
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
