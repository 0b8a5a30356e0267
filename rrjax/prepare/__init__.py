"""Data sets written to disk: the command `python -m rrjax.prepare`."""
