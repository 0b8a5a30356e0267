"""What every door shares: flags to a config, and bad input to one line and exit code 2."""

import importlib
import os
import pkgutil
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from rrjax.errors import BadInput
from rrjax.train.signals import EXIT_CODE, Stopped


def open_door(main: Callable[[ConfigDict, str], None], kind: str) -> None:
    """Parse --config and --workdir, then call `main(config, workdir)`.

    `kind` is a field that only this door's configs have. A typo, a wrong type, another door's
    config or any other `BadInput` is printed as one line, without a traceback; exit code 2.
    """
    config = config_flags.DEFINE_config_file("config", lock_config=True)
    workdir = flags.DEFINE_string("workdir", None, "The folder this command writes.")
    flags.mark_flags_as_required(["config", "workdir"])

    def guarded(_):
        if not flags.FLAGS["verbosity"].present:
            # Orbax tells of every file it moves, and of one failure many times over.
            logging.set_verbosity(logging.FATAL)
        _keep_programs()
        try:
            if kind not in config.value:
                raise BadInput(f"--config has no field {kind!r}: it is another command's config")
            # A shell leaves the ~ of --workdir=~/x. Path's expanduser would make "" a ".".
            main(config.value, os.path.expanduser(workdir.value))  # noqa: PTH111
        except BadInput as error:
            _refuse(error)
        except Stopped as stopped:
            print(stopped, file=sys.stderr)
            sys.exit(EXIT_CODE)

    app.run(guarded, flags_parser=_parse)


def _keep_programs() -> None:
    """Read from disk what was compiled before, in ~/.cache/rrjax or JAX_COMPILATION_CACHE_DIR."""
    if jax.config.jax_compilation_cache_dir is None:
        folder = Path("~/.cache/rrjax").expanduser()
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def chosen(package: ModuleType, field: str) -> Callable[[ConfigDict, str], None]:
    """Make the main(config, workdir) that calls `run` of the package's module config.`field` names.

    It raises BadInput, with the modules' names, for one that is not there.
    """

    def main(config: ConfigDict, workdir: str) -> None:
        names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
        if config[field] not in names:
            raise BadInput(f"config.{field}={config[field]!r}: choose one of {', '.join(names)}")
        importlib.import_module(f"{package.__name__}.{config[field]}").run(config, workdir)

    return main


def _parse(argv: list[str]) -> list[str]:
    named = [a.removeprefix("--config=") for a in argv if a.startswith("--config=")]
    named += [path for flag, path in pairwise(argv) if flag == "--config"]
    for path in named:
        if not Path(path.split(":")[0]).is_file():
            _refuse(BadInput(f"--config={path}: no such file"))
    # What ml_collections raises for a config file or an override that does not fit.
    try:
        rest = flags.FLAGS(argv)
        _ = flags.FLAGS.config  # here a file that cannot be run is found out
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        _refuse(error)
    except (OSError, ImportError, SyntaxError, NameError) as error:
        _refuse(BadInput(f"--config cannot be loaded: {str(error).strip().splitlines()[-1]}"))
    if rest[1:]:
        _refuse(BadInput(f"unexpected argument {rest[1]!r}: flags are written --name=value"))
    return rest


def _refuse(error: Exception) -> None:
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    print("error:", " ".join(str(text).split()), file=sys.stderr)
    sys.exit(2)
