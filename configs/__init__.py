"""One file per command a user types; `defaults.py` lists every training field once."""
