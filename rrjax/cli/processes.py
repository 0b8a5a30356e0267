"""The processes and the devices that run a command together."""

import resource
import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

import jax
from absl import flags

import rrjax
from rrjax import BadInput

_started: ContextVar[float | None] = ContextVar("when the command started", default=None)


@contextmanager
def clock() -> Generator[None, None, None]:
    """Count the seconds of a command, for `seconds_run`."""
    token = _started.set(time.monotonic())
    try:
        yield
    finally:
        _started.reset(token)


def seconds_run() -> float | None:
    """Return for how many seconds the command has run; None where none runs."""
    started = _started.get()
    return None if started is None else time.monotonic() - started


def process_flags() -> flags.FlagValues:
    """Define the flags by which several processes run one command together."""
    own = flags.FlagValues()
    flags.DEFINE_bool(
        "distributed", False, "Join the processes of a SLURM step or TPU pod.", flag_values=own
    )
    flags.DEFINE_string(
        "coordinator", None, "HOST:PORT of the first of the processes.", flag_values=own
    )
    flags.DEFINE_integer("processes", None, "How many processes there are.", 1, flag_values=own)
    flags.DEFINE_integer("process", None, "Which of them this is, from 0.", 0, flag_values=own)
    return own


def join(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Connect to the other processes of this command; None: as SLURM or the TPU pod says.

    If one of them dies, the others end within about half a minute.

    coordinator: HOST:PORT of the first of `processes`; process: which of them this is, from 0.

    Raises:
      BadInput: if they do not find each other.
    """
    try:
        jax.distributed.initialize(coordinator, processes, process, heartbeat_timeout_seconds=30)
    except (ValueError, RuntimeError) as error:
        raise BadInput(f"the processes do not find each other: {error}") from error


def check_devices() -> None:
    """Start the devices of JAX_PLATFORMS.

    Raises:
      BadInput: if this machine, or this jax, has none.
    """
    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:
        platforms = jax.config.values["jax_platforms"]
        raise BadInput(
            f"JAX_PLATFORMS={platforms}: no such device here; unset it, or install a jax for it, "
            "as pip install 'jax[cuda12]' does"
        ) from error


def devices() -> str:
    """Say on what a command runs."""
    processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    kind = jax.devices()[0].device_kind
    return f"rrjax {rrjax.__version__} on {jax.device_count()} x {kind}{processes}"


def peak_memory() -> str:
    """Say how much memory a device, or where it does not count a process, has used at most."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return f"peak memory of a device: {stats['peak_bytes_in_use'] / 2**30:.2f} GiB"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"peak memory of the process: {peak / 2**20:.2f} GiB"  # Linux counts KiB
