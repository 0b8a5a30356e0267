"""What a command can end with that is not a fault of the program, and how it is said."""

import difflib
from collections.abc import Iterable

EXIT_BAD_INPUT = 2
EXIT_STOPPED = 75  # sysexits' EX_TEMPFAIL, "try again": the launch scripts requeue on it


class BadInput(ValueError):
    """Say in one line which value is invalid and how to fix it; commands print it, exit code 2."""


class Stopped(Exception):
    """Say that the run was interrupted and has saved: the same command resumes it, exit code 75."""


def did_you_mean(name: str, choices: Iterable[str], most: int = 3) -> str:
    """Return "did you mean A or B?" for the choices that are nearly `name`; "" without any."""
    near = difflib.get_close_matches(name, list(choices), most)
    return f"did you mean {' or '.join(near)}?" if near else ""
