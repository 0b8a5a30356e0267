"""Requests to stop: SIGTERM, as a batch system preempts, and SIGINT, Ctrl-C."""

import contextlib
import itertools
import os
import signal
from collections.abc import Callable, Generator

import jax
from jax.experimental import multihost_utils

_SAID = b"\nStopping: the step is finished and saved first; a second signal ends it at once.\n"


@contextlib.contextmanager
def asked_to_stop() -> Generator[Callable[[], bool], None, None]:
    """Yield stop_asked() -> whether to stop now; every process must ask as often, and all agree.

    The first says so on standard error, but for the SIGTERM of several processes, which is jax's; a
    second does what it would have done without this.
    """
    received, before = [], {}

    def note(number, _):
        received.append(number)
        _restore(before)
        if jax.process_count() > 1:
            signal.raise_signal(signal.SIGTERM)
        # Not print: the signal may have come in the middle of one. Nobody may be there to read it.
        with contextlib.suppress(OSError):
            os.write(2, _SAID)

    # Among several processes jax itself takes SIGTERM, and settles when all of them stop.
    numbers = [signal.SIGINT] if jax.process_count() > 1 else [signal.SIGINT, signal.SIGTERM]
    before |= {number: signal.signal(number, note) for number in numbers}
    count = itertools.count()
    try:
        if jax.process_count() > 1:
            yield lambda: multihost_utils.reached_preemption_sync_point(next(count))
        else:
            yield lambda: bool(received)
    finally:
        _restore(before)


def _restore(handlers: dict) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
