"""What a command can end with that is not a fault of the program."""

EXIT_BAD_INPUT = 2
EXIT_STOPPED = 75  # sysexits' EX_TEMPFAIL, "try again": the launch scripts requeue on it


class BadInput(ValueError):
    """Say in one line which value is invalid and how to fix it; commands print it, exit code 2."""


class Stopped(Exception):
    """Say that the run was interrupted and has saved: the same command resumes it, exit code 75."""
