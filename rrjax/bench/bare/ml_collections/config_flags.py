"""--config=FILE and --config.any.field=value, as ml_collections' own, through absl."""

import ast
import runpy
import sys
from pathlib import Path

from absl import flags


class _Config(flags.ArgumentParser):
    """From a file's path to its config, with the fields that the command line overrides."""

    def __init__(self, overrides):
        self.overrides = overrides

    def parse(self, path):
        sys.path.insert(0, str(Path.cwd()))  # config files import each other
        config = runpy.run_path(path)["get_config"]()
        for name, text in self.overrides.items():
            *parents, field = name.split(".")[1:]
            node = config
            for parent in parents:
                node = getattr(node, parent)
            node[field] = _parsed(text, getattr(node, field))
        return config


def DEFINE_config_file(name, lock_config):
    """Define the flags of a config and of what overrides its fields."""
    start = f"--{name}."
    overrides = dict(a[2:].split("=", 1) for a in sys.argv if a.startswith(start) and "=" in a)
    for override in overrides:
        flags.DEFINE_string(override, None, "A field.")
    return flags.DEFINE(_Config(overrides), name, None, "The config file.")


def _parsed(text, old):
    value = text if isinstance(old, str) else ast.literal_eval(text)
    if isinstance(old, float):
        value = float(value)
    if not isinstance(value, type(old)):
        raise TypeError(f"{text!r} is no {type(old).__name__}")
    return value
