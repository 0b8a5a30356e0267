"""A command line becomes a config and a workdir; what does not fit is said in one line."""

import ast
import importlib.util
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict, config_flags
from ml_collections.config_flags import tuple_parser

from rrjax import BadInput, did_you_mean

# What absl and Python say of a value of the wrong type, and what is wanted.
_WANTED = {
    r"\('Non-boolean argument to boolean flag', .*\)": "give true or false",
    r"invalid literal for int\(\) .*": "give a whole number",
    r"could not convert string to float: .*": "give a number",
    r"flag --config=None: .*": "give --config=NAME; `rrjax list` names the shipped configs",
}
# What ml_collections raises for flags, and Python for a config file.
_BAD_FLAGS = (flags.Error, AttributeError, KeyError, TypeError, ValueError)
_BAD_FILES = (OSError, ImportError, SyntaxError, NameError)


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
    config = define(own_flags, argv)
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


def define(own_flags: flags.FlagValues, argv: Sequence[str]) -> flags.FlagHolder:
    """Define the flags that every command has, and return that of the config."""
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
    config = define(bare, [argv[0], *given])
    try:
        bare([argv[0], *given])
        fields = _fields(config.value)
    except (*_BAD_FLAGS, *_BAD_FILES):  # that is another error
        return ""
    for flag in argv[1:]:
        name = flag.split("=")[0].removeprefix("--")
        field = name.removeprefix("config.")
        if name == field and field in fields:
            return f"--{name}: there is no such flag; did you mean --config.{field}?"
        if name != field and field not in fields:
            own = ", ".join(each for each in fields if "." not in each)
            meant = did_you_mean(field, fields, most=1) or f"choose from {own}"
            return f"--{name}: the config has no field {field}; {meant}"
    return ""


def _fields(config: ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Return a config's fields by their dotted names, sections among them."""
    fields = {}
    for key, value in config.items():
        fields[f"{prefix}{key}"] = value
        if isinstance(value, ConfigDict):
            fields |= _fields(value, f"{prefix}{key}.")
    return fields


def _with_config_files(arguments: Sequence[str]) -> list[str]:
    """Replace the name of a shipped config by its path: --config NAME becomes --config=PATH."""
    replaced, following = [], iter(arguments)
    for argument in following:
        flag, equals, name = argument.partition("=")
        if flag == "--config":
            argument = f"--config={config_file(name if equals else next(following, ''))}"
        replaced.append(argument)
    return replaced


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
    meant = did_you_mean(stem, shipped) or ", ".join(sorted(shipped))
    raise BadInput(f"--config={name}: neither a file nor a shipped config; {meant}")


def shipped_configs(command: str = "") -> dict[str, str]:
    """Return the first line of each shipped config's docstring, by its name.

    command: such as "rrjax.study": those that their docstrings run with it; "": all.
    """
    lines = {}
    for path in sorted(path for folder in _config_folders() for path in folder.glob("[a-z]*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        words = " ".join(text.replace("\\", " ").split())  # a command may take several lines
        if re.search(rf"{re.escape(command)} --config=(configs/)?{path.stem}\b", words):
            lines[path.stem] = text.partition("\n")[0]
    return lines


def help_text(usage: str, own_flags: flags.FlagValues, argv: Sequence[str]) -> str:
    """Return what --help prints: usage, flags, and the fields of the config that is given.

    Without one it lists the shipped configs of the command that the usage names.
    """
    given = [flag for flag in _with_config_files(argv[1:]) if flag.startswith("--config=")]
    define(own_flags, [argv[0], *given])
    shown = f"{usage}\n{own_flags.get_help()}\n"
    if given:
        config, _ = parse([argv[0], *given])
        lines = [
            f"  --config.{name}={value!r}"
            for name, value in _fields(config).items()
            if not isinstance(value, ConfigDict)
        ]
        return "\n".join((f"{shown}\nFields of {given[0].removeprefix('--')}:", *lines))
    command = re.search(r"rrjax\.[a-z]+", usage)
    configs = shipped_configs(command[0] if command else "")
    lines = [f"  {name:20} {line}" for name, line in configs.items()]
    return "\n".join((f"{shown}\nConfigs, whose fields --config=NAME --help lists:", *lines))


def _config_folders() -> list[Path]:
    """Return where rrjax.configs lies: in a wheel inside the package, in a clone beside it."""
    spec = importlib.util.find_spec("rrjax.configs")
    folders = spec.submodule_search_locations if spec else None
    return [Path(folder) for folder in folders or ()]


def load_config(name: str) -> ConfigDict:
    """Return the shipped config `name` with the values of its file."""
    return parse(["", f"--config={name}"])[0]
