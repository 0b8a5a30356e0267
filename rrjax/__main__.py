"""One command for everything: rrjax invert, rrjax train, rrjax list, ... (python -m rrjax)."""

import argparse
import importlib
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import NoReturn

import rrjax
from rrjax import BadInput, cli

# Commands with --config, each `python -m rrjax.NAME`.
MODULES = {
    "train": "train a network",
    "evaluate": "measure accuracy under attack",
    "study": "ask a question of trained networks",
    "convert": "read and write other programs' networks",
    "prepare": "write a data set for fast reading",
    "bench": "measure speed",
}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as every command's."""

    def error(self, message: str) -> NoReturn:
        """Say what does not fit."""
        raise BadInput(f"{message} ({self.prog} --help says more)")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with `argv`, its name first."""
    argv = list(sys.argv if argv is None else argv)
    # As `python -m rrjax` does, for networks of the user's own: package.file:NAME.
    if "" not in sys.path:
        sys.path.insert(0, "")
    if argv[1:] and argv[1] in MODULES:
        command = importlib.import_module(f"rrjax.{argv[1]}.__main__")
        command.main([f"rrjax {argv[1]}", *argv[2:]])
        return
    try:
        given = _parser().parse_args(argv[1:])
        given.run(given)
        sys.stdout.flush()
    except BadInput as error:
        cli.exit_with_error(error)
    except BrokenPipeError:  # rrjax list | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    from rrjax.runs import commands

    plain = argparse.RawDescriptionHelpFormatter
    parser = _Parser("rrjax", description=__doc__, formatter_class=plain, epilog=_epilog())
    parser.add_argument("--version", action="version", version=rrjax.__version__)
    added = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.define(added)
    listing = added.add_parser("list", help="name networks, configs and studies")
    listing.add_argument("--published", action="store_true", help="networks that are downloaded")
    listing.set_defaults(run=_list)
    about = added.add_parser("info", help="say what a run or a network is")
    about.add_argument("network", metavar="RUN", help="a run folder, a name or a file")
    about.set_defaults(run=_info)
    doctor = added.add_parser("doctor", help="say what this machine has, and what is missing")
    doctor.set_defaults(run=_doctor)
    for name, line in MODULES.items():
        added.add_parser(name, help=line)
    return parser


def _epilog() -> str:
    """Name the configs of each command, of which each study has one."""
    lines = ["configs (rrjax list describes them, rrjax COMMAND --config=NAME --help has fields):"]
    for name in MODULES:
        names = ", ".join(cli.shipped_configs(f"rrjax.{name}"))
        lines += textwrap.wrap(f"  {name}: {names}", 96, subsequent_indent="    ")
    return "\n".join(lines)


def _list(given: argparse.Namespace) -> None:
    from rrjax.runs import about, published

    if given.published:
        print(published.table())
        return
    print(about.shipped(), f"and {len(published.NETWORKS)} more: rrjax list --published", sep="\n")
    for name in MODULES:
        print(f"\nrrjax {name} --config=")
        for config, line in cli.shipped_configs(f"rrjax.{name}").items():
            print(f"  {config:22} {line}")


def _info(given: argparse.Namespace) -> None:
    from rrjax.runs import about

    print(about.of_run(given.network))


def _doctor(_given: argparse.Namespace) -> None:
    from rrjax.runs import about

    print(f"rrjax {rrjax.__version__}", about.doctor(), sep="\n")


if __name__ == "__main__":
    main()
