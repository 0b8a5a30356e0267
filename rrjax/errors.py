"""The one exception that means: the input is at fault, not the program."""


class BadInput(ValueError):
    """Name the offender and the mend in one line; the doors print it and exit with 2."""
