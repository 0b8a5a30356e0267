"""What every command shares: flags become a config, bad input one line and exit code 2."""

import difflib
import errno
import importlib.util
import io
import os
import re
import resource
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import jax
from absl import flags, logging
from filelock import FileLock
from ml_collections import ConfigDict, config_flags
from ml_collections.config_flags import tuple_parser

import rrjax
from rrjax.errors import EXIT_BAD_INPUT, EXIT_STOPPED, BadInput, Stopped

Run = Callable[[ConfigDict, str], None]
# What absl and Python say of a value of the wrong type, and what is wanted.
_WANTED = {
    r"\('Non-boolean argument to boolean flag', .*\)": "give true or false",
    r"invalid literal for int\(\) .*": "give a whole number",
    r"could not convert string to float: .*": "give a number",
}
# What ml_collections raises for flags, and Python for a config file.
_BAD_FLAGS = (flags.Error, AttributeError, KeyError, TypeError, ValueError)
_BAD_FILES = (OSError, ImportError, SyntaxError, NameError)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a disk, a quota, a limit
PRECISIONS = ("default", "high", "highest")
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
            _define(own_flags, argv)
            print(usage, own_flags.get_help(), sep="\n")
            return
        config, workdir = parse(argv, own_flags)
        if kind not in config:
            raise BadInput(f"--config has no field {kind!r}: it is another command's config")
        enable_compilation_cache()
        if "distributed" in own_flags and (own_flags.distributed or own_flags.coordinator):
            join(own_flags.coordinator, own_flags.processes, own_flags.process)
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
    check_devices()
    say = print if not jax.process_index() else lambda _: None
    say(_devices())
    with _precision(config):
        run(config, workdir)
    say(_peak_memory())


def _devices() -> str:
    processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    kind = jax.devices()[0].device_kind
    return f"rrjax {rrjax.__version__} on {jax.device_count()} x {kind}{processes}"


def _peak_memory() -> str:
    """Say how much memory a device, or where it does not count a process, has used at most."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return f"peak memory of a device: {stats['peak_bytes_in_use'] / 2**30:.2f} GiB"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"peak memory of the process: {peak / 2**20:.2f} GiB"  # Linux counts KiB


def _precision(config: ConfigDict) -> AbstractContextManager:
    """Make the context in which products and convolutions are as precise as a config says."""
    if "matmul_precision" not in config:
        return nullcontext()
    if config.matmul_precision not in PRECISIONS:
        raise BadInput(
            f"matmul_precision={config.matmul_precision!r}: choose from {', '.join(PRECISIONS)}"
        )
    return jax.default_matmul_precision(config.matmul_precision)


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


def exit_with_error(error: Exception) -> NoReturn:
    """Print an error as one line and end the process with exit code 2."""
    # One write: what threads of a library print meanwhile cannot come in between.
    print(f"error: {' '.join(str(error).split())}\n", end="", file=sys.stderr)
    sys.exit(EXIT_BAD_INPUT)


def parse(argv: Sequence[str], own_flags: flags.FlagValues | None = None) -> tuple[ConfigDict, str]:
    """Return the config and the workdir that a command line describes.

    --config is a file, or the name of a shipped config; either may have an argument behind a colon.
    --config.FIELD=VALUE replaces a field. --workdir is runs/NAME by default, where NAME is the
    config's.

    Args:
      argv: the command's name and its arguments.
      own_flags: the command's own, defined and not parsed; None if it has none.

    Raises:
      BadInput: for a file that does not exist or cannot be executed, a field that the config does
        not have, a value of the wrong type, and an argument that is not a flag.
    """
    own_flags = own_flags or flags.FlagValues()
    argv = [argv[0], *_with_config_files(argv[1:])]
    config = _define(own_flags, argv)
    try:
        rest = own_flags(argv)
        value = config.value  # executes the file
    except _BAD_FLAGS as error:
        raise BadInput(_unknown_field(argv) or _reason(error)) from error
    except _BAD_FILES as error:
        raise BadInput(
            f"--config cannot be loaded: {str(error).strip().splitlines()[-1]}"
        ) from error
    if rest[1:]:
        raise BadInput(f"unexpected argument {rest[1]!r}: flags are written --name=value")
    if not own_flags["verbosity"].present:
        # Orbax logs every file it moves, and one failure many times.
        logging.set_verbosity(logging.FATAL)
    workdir = own_flags["workdir"].value
    _check_paths({"--workdir": workdir, "--config": value.to_dict()})
    if workdir is None:
        path = config_flags.get_config_filename(own_flags["config"])
        name = Path(path.split(":")[0]).stem
        return value, str(Path("runs") / name)
    # A shell leaves the ~ of --workdir=~/x. Path's expanduser would make "" a ".".
    return value, os.path.expanduser(workdir)  # noqa: PTH111


def _check_paths(values: Mapping[str, Any]) -> None:
    """Refuse the address of another machine, which would become a folder of this one."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            _check_paths({f"{name}.{field}": inner for field, inner in value.items()})
        for path in value if isinstance(value, list | tuple) else (value,):
            if isinstance(path, str) and re.match(r"[A-Za-z][\w+.-]*://", path):
                raise BadInput(
                    f"{name}={path}: rrjax reads and writes folders of this machine; mount that "
                    "one, or copy it"
                )


def _reason(error: Exception) -> str:
    """Return the text of an error of ml_collections, which may hold another error."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    text = str(error.args[0]) if error.args else str(error)
    for theirs, ours in _WANTED.items():
        text = re.sub(theirs, ours, text)
    # A KeyError of theirs is a quoted field, and perhaps one that has nearly its name.
    return f"the config has no field {text}" if text.startswith("'") else text


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


class _Float(flags.FloatParser):
    """Parses fractions too: 8/255."""

    def parse(self, argument: Any) -> float:
        """Return the number that a text is."""
        return super().parse(_divided(argument))


class _Tuple(tuple_parser.TupleParser):
    """Parses tuples of fractions too: (0, 8/255)."""

    def parse(self, argument: Any) -> tuple:
        """Return the tuple that a text is."""
        return super().parse(_divided(argument))


config_flags.register_flag_parser_for_type(float, _Float())
config_flags.register_flag_parser_for_type(tuple, _Tuple())


def _divided(argument: Any) -> Any:
    """Replace fractions by decimals in a text that quotes nothing, such as a path."""
    if not isinstance(argument, str) or {"'", '"'} & set(argument):
        return argument
    number = r"(\d+\.?\d*)"
    return re.sub(rf"{number}\s*/\s*{number}", lambda m: repr(float(m[1]) / float(m[2])), argument)


def _unknown_field(argv: Sequence[str]) -> str:
    """Say which field was meant by the first flag that is none, if that is the error; else ""."""
    given = [flag for flag in argv[1:] if flag.startswith("--config=")]
    bare = flags.FlagValues()
    config = _define(bare, [argv[0], *given])
    try:
        bare([argv[0], *given])
        fields = _names(config.value)
    except (*_BAD_FLAGS, *_BAD_FILES):  # that is another error
        return ""
    for flag in argv[1:]:
        name = flag.split("=")[0].removeprefix("--")
        field = name.removeprefix("config.")
        if name == field and field in fields:
            return f"--{name}: there is no such flag; did you mean --config.{field}?"
        if name != field and field not in fields:
            (nearest, *_) = difflib.get_close_matches(field, fields, 1, 0.6) or [""]
            own = ", ".join(each for each in fields if "." not in each)
            meant = f"did you mean {nearest}?" if nearest else f"choose from {own}"
            return f"--{name}: the config has no field {field}; {meant}"
    return ""


def _names(config: ConfigDict, prefix: str = "") -> list[str]:
    """Return the dotted names of a config's fields, sections among them."""
    names = []
    for key, value in config.items():
        names.append(f"{prefix}{key}")
        if isinstance(value, ConfigDict):
            names += _names(value, f"{prefix}{key}.")
    return names


def _with_config_files(arguments: Sequence[str]) -> list[str]:
    """Replace the name of a shipped config by its path."""
    arguments = list(arguments)
    for i, (flag, following) in enumerate(pairwise([*arguments, ""])):
        if flag.startswith("--config="):
            arguments[i] = f"--config={config_file(flag.removeprefix('--config='))}"
        elif flag == "--config":
            arguments[i + 1] = config_file(following)
    return arguments


def config_file(name: str) -> str:
    """Return the path of a config that is given as a path or as the name of a shipped one.

    An argument behind a colon stays: "kim_cifar10:l2,0.4" -> ".../kim_cifar10.py:l2,0.4".

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
    """Return where rrjax.configs lies: in a wheel inside the package, in a clone beside it."""
    spec = importlib.util.find_spec("rrjax.configs")
    folders = spec.submodule_search_locations if spec else None
    return [Path(folder) for folder in folders or ()]


def load_config(name: str) -> ConfigDict:
    """Return the shipped config `name` with the values of its file."""
    return parse(["", f"--config={name}"])[0]


def enable_compilation_cache() -> None:
    """Keep compiled programs in ~/.cache/rrjax or JAX_COMPILATION_CACHE_DIR, and read them there.

    Processes share this folder: it is locked while it is read and written. It holds CACHE_BYTES at
    most, or JAX_COMPILATION_CACHE_MAX_SIZE. Without a home folder that can be written there is no
    cache.
    """
    folder = jax.config.values["jax_compilation_cache_dir"] or _default_cache()
    if folder is None:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if jax.config.values["jax_compilation_cache_max_size"] == -1:
        jax.config.update("jax_compilation_cache_max_size", CACHE_BYTES)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    _remove_half_written(Path(folder))


def _default_cache() -> Path | None:
    try:
        # Not ~/.cache/rrjax itself, where rrjax 0.1 left programs without the time of their use.
        folder = Path.home() / ".cache/rrjax/programs"
        folder.mkdir(parents=True, exist_ok=True)
    except (RuntimeError, OSError):  # no home folder, or one that this user may not write
        return None
    return folder if os.access(folder, os.W_OK) else None


def _remove_half_written(folder: Path) -> None:
    """Remove the programs of writers that were killed: jax would warn about them at every use."""
    try:
        with FileLock(folder / ".lockfile", timeout=10):
            for program in folder.glob("*-cache"):
                if not program.with_name(f"{program.name.removesuffix('-cache')}-atime").exists():
                    program.unlink()
    except (OSError, NotImplementedError):  # no such folder, not this user's, or without locks
        return


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
