"""Other programs' files, read and written: the command `python -m rrjax.convert`."""
