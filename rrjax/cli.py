"""What every command shares: flags to a config, and bad input to one line and exit code 2."""

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import jax
from absl import flags, logging
from filelock import FileLock, Timeout
from ml_collections import ConfigDict, config_flags

from rrjax.errors import EXIT_BAD_INPUT, EXIT_STOPPED, BadInput, Stopped

Run = Callable[[ConfigDict, str], None]
CACHE_BYTES = 2 * 2**30  # of compiled programs, those last used


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
      kind: a field that only this command's configs have.
      argv: the command's name and its arguments.
      usage: what --help prints before the flags.
      own_flags: the command's own, defined and not parsed; None if it has none.
    """
    own_flags = own_flags or flags.FlagValues()
    try:
        if {"-h", "-help", "--help"} & set(argv[1:]):
            _define(own_flags, argv)
            print(usage, own_flags.get_help(), sep="\n")
            return
        config, workdir = parse(argv, own_flags)
        if kind not in config:
            raise BadInput(f"--config has no field {kind!r}: it is another command's config")
        enable_compilation_cache()
        run(config, workdir)
    except BadInput as error:
        exit_with_error(error)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(EXIT_STOPPED)


def exit_with_error(error: Exception) -> NoReturn:
    """Print an error as one line and end the process with exit code 2."""
    print("error:", " ".join(str(error).split()), file=sys.stderr)
    sys.exit(EXIT_BAD_INPUT)


def parse(argv: Sequence[str], own_flags: flags.FlagValues | None = None) -> tuple[ConfigDict, str]:
    """Return the config and the workdir that a command line describes.

    --config is a file, or the name of a shipped config; either may have an argument behind a colon.
    --config.FIELD=VALUE replaces a field. Without --workdir it is runs/NAME, NAME being the
    config's.

    Raises:
      BadInput: for a file that there is not or that cannot be run, a field that the config has not,
        a value of the wrong type, and an argument that is no flag.
    """
    own_flags = own_flags or flags.FlagValues()
    argv = [argv[0], *_with_config_files(argv[1:])]
    config = _define(own_flags, argv)
    # What ml_collections raises for a config file or an override that does not fit.
    try:
        rest = own_flags(argv)
        value = config.value  # here a file that cannot be run is found out
    except KeyError as error:
        raise BadInput(error.args[0] if error.args else error) from error
    except (flags.Error, AttributeError, TypeError, ValueError) as error:
        raise BadInput(str(error)) from error
    except (OSError, ImportError, SyntaxError, NameError) as error:
        raise BadInput(
            f"--config cannot be loaded: {str(error).strip().splitlines()[-1]}"
        ) from error
    if rest[1:]:
        raise BadInput(f"unexpected argument {rest[1]!r}: flags are written --name=value")
    if not own_flags["verbosity"].present:
        # Orbax tells of every file it moves, and of one failure many times over.
        logging.set_verbosity(logging.FATAL)
    workdir = own_flags["workdir"].value
    if workdir is None:
        name = Path(own_flags["config"].config_filename.split(":")[0]).stem
        return value, str(Path("runs") / name)
    # A shell leaves the ~ of --workdir=~/x. Path's expanduser would make "" a ".".
    return value, os.path.expanduser(workdir)  # noqa: PTH111


def _define(own_flags: flags.FlagValues, argv: Sequence[str]) -> flags.FlagHolder:
    config = config_flags.DEFINE_config_file(
        "config",
        help_string="A config file, or the name of a shipped config; :ARGUMENT may follow.",
        flag_values=own_flags,
        lock_config=True,
        sys_argv=list(argv),
    )
    flags.DEFINE_string(
        "workdir", None, "The folder this command writes; runs/NAME if not given.", own_flags
    )
    flags.mark_flag_as_required("config", own_flags)
    own_flags["verbosity"] = flags.FLAGS["verbosity"]  # absl's: what libraries log
    return config


def _with_config_files(arguments: Sequence[str]) -> list[str]:
    """Put the file of a shipped config in the place of its name."""
    arguments = list(arguments)
    for i, (flag, following) in enumerate(pairwise([*arguments, ""])):
        if flag.startswith("--config="):
            arguments[i] = f"--config={config_file(flag.removeprefix('--config='))}"
        elif flag == "--config":
            arguments[i + 1] = config_file(following)
    return arguments


def config_file(name: str) -> str:
    """Return the path of a config, given as one or by the name of a shipped one; keep its argument.

    Raises:
      BadInput: if there is no such file.
    """
    stem, colon, argument = name.partition(":")
    if Path(stem).is_file():
        return name
    shipped = {path.stem: path for folder in _config_folders() for path in folder.glob("*.py")}
    if stem in shipped:
        return f"{shipped[stem]}{colon}{argument}"
    if stem.endswith(".py"):
        raise BadInput(f"--config={name}: no such file")
    raise BadInput(
        f"--config={name}: neither a file nor a shipped config ({', '.join(sorted(shipped))})"
    )


def _config_folders() -> list[Path]:
    """Find rrjax.configs: in a wheel inside the package, in a clone beside it."""
    spec = importlib.util.find_spec("rrjax.configs")
    return [Path(folder) for folder in spec.submodule_search_locations] if spec else []


def load_config(name: str) -> ConfigDict:
    """Return a shipped config as its file makes it, with no field replaced."""
    return parse(["", f"--config={name}"])[0]


def enable_compilation_cache() -> None:
    """Read from disk what was compiled before, in ~/.cache/rrjax or JAX_COMPILATION_CACHE_DIR.

    Processes share it: it is locked while it is read and written. It holds CACHE_BYTES at most, or
    JAX_COMPILATION_CACHE_MAX_SIZE. Without a home folder there is none.
    """
    if jax.config.jax_compilation_cache_dir is None:
        home = os.path.expanduser("~")  # noqa: PTH111  Path's raises where there is no home
        if not Path(home).is_absolute():
            return
        # Not ~/.cache/rrjax itself, where rrjax 0.1 left programs without the time of their use.
        jax.config.update("jax_compilation_cache_dir", str(Path(home, ".cache/rrjax/programs")))
    if jax.config.jax_compilation_cache_max_size == -1:
        jax.config.update("jax_compilation_cache_max_size", CACHE_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    _remove_half_written(Path(jax.config.jax_compilation_cache_dir))


def _remove_half_written(folder: Path) -> None:
    """Remove programs whose writer was killed, for which jax would warn at every later one."""
    try:
        with FileLock(folder / ".lockfile", timeout=10):
            for program in folder.glob("*-cache"):
                if not program.with_name(f"{program.name.removesuffix('-cache')}-atime").exists():
                    program.unlink()
    except (OSError, Timeout):  # no such folder yet, or one that this user may not write
        return


def run_chosen(package: str, field: str, names: Iterable[str]) -> Run:
    """Make the run(config, workdir) that calls `run` of the package's module config.`field` names.

    It raises BadInput, with the names, for one that is not there.
    """

    def run(config: ConfigDict, workdir: str) -> None:
        if config[field] not in names:
            raise BadInput(f"config.{field}={config[field]!r}: choose one of {', '.join(names)}")
        importlib.import_module(f"{package}.{config[field]}").run(config, workdir)

    return run
