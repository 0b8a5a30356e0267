"""One command: parse, run on the devices there are, and end with an exit code."""

import errno
import importlib
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn

import jax
from absl import flags
from ml_collections import ConfigDict

from rrjax import BadInput, Stopped
from rrjax.cli import parsing, processes
from rrjax.cli.programs import enable_compilation_cache

Run = Callable[[ConfigDict, str], None]
EXIT_BAD_INPUT = 2
EXIT_STOPPED = 75  # sysexits' EX_TEMPFAIL, "try again": the launch scripts requeue on it
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a disk, a quota, a limit
PRECISIONS = ("default", "high", "highest")


def run_command(
    run: Run,
    kind: str,
    argv: Sequence[str],
    usage: str = "",
    own_flags: flags.FlagValues | None = None,
) -> None:
    """Parse a command line and call `run(config, workdir)`.

    A typo, a wrong type, another command's config or any other `BadInput` is printed as one line,
    without a traceback, and the process exits with 2; after `Stopped` with 75.

    Args:
      run: does the command's work and writes into the folder `workdir`.
      kind: a field that only this command's configs have.
      argv: the command's name and its arguments.
      usage: what --help prints before the flags.
      own_flags: the command's own, defined and not parsed; None if it has none.
    """
    own_flags = own_flags or flags.FlagValues()
    if isinstance(sys.stdout, io.TextIOWrapper):  # the name of a file may be no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if {"-h", "-help", "--help"} & set(argv[1:]):
            print(parsing.help_text(usage, own_flags, argv))
            return
        config, workdir = parsing.parse(argv, own_flags)
        if kind not in config:
            raise BadInput(f"--config has no field {kind!r}: it is another command's config")
        enable_compilation_cache()
        if "distributed" in own_flags and (own_flags.distributed or own_flags.coordinator):
            processes.join(own_flags.coordinator, own_flags.processes, own_flags.process)
        _run_on_devices(run, config, workdir)
    except BadInput as error:
        exit_with_error(error)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        exit_with_error(
            OSError(f"{error.filename}: {error.strerror}: make room, and run the command again")
        )
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(EXIT_STOPPED)


def _run_on_devices(run: Run, config: ConfigDict, workdir: str) -> None:
    """Call `run`, saying before it on which devices and after it how much memory it took."""
    processes.check_devices()
    say = print if not jax.process_index() else lambda _: None
    say(processes.devices())
    with processes.clock(), _precision(config):
        run(config, workdir)
    say(processes.peak_memory())


def _precision(config: ConfigDict) -> AbstractContextManager:
    """Make the context in which products and convolutions are as precise as a config says."""
    if "matmul_precision" not in config:
        return nullcontext()
    if config.matmul_precision not in PRECISIONS:
        raise BadInput(
            f"matmul_precision={config.matmul_precision!r}: choose from {', '.join(PRECISIONS)}"
        )
    return jax.default_matmul_precision(config.matmul_precision)


def exit_with_error(error: Exception) -> NoReturn:
    """Print an error as one line and end the process with exit code 2."""
    # One write: what threads of a library print meanwhile cannot come in between.
    print(f"error: {' '.join(str(error).split())}\n", end="", file=sys.stderr)
    sys.exit(EXIT_BAD_INPUT)


def run_chosen(package: str, field: str, names: Iterable[str]) -> Run:
    """Return a run(config, workdir) that calls `run` of the module of `package` that a field names.

    Args:
      package: such as "rrjax.study".
      field: of the config; its value is the module's name.
      names: the modules to choose from; the returned function raises BadInput for any other.
    """

    def run(config: ConfigDict, workdir: str) -> None:
        if config[field] not in names:
            raise BadInput(f"config.{field}={config[field]!r}: choose one of {', '.join(names)}")
        importlib.import_module(f"{package}.{config[field]}").run(config, workdir)

    return run
