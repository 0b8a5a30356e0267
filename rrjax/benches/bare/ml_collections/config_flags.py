"""--config=FILE and --config.any.field=value, as ml_collections' own, through absl."""

import ast
import runpy
import sys
from functools import cached_property
from pathlib import Path

from absl import flags


class _Holder:
    def __init__(self, name):
        self.name = name

    @cached_property
    def value(self):
        sys.path.insert(0, str(Path.cwd()))  # config files import each other
        config = runpy.run_path(flags.FLAGS[self.name].value)["get_config"]()
        for override in _overrides(self.name):
            *parents, field = override.split(".")[1:]
            node = config
            for parent in parents:
                node = getattr(node, parent)
            node[field] = _parsed(flags.FLAGS[override].value, getattr(node, field))
        return config


def DEFINE_config_file(name, lock_config):
    """Define the flags of a config and of what overrides its fields."""
    flags.DEFINE_string(name, None, "The config file.")
    for override in _overrides(name):
        flags.DEFINE_string(override, None, "A field.")
    return _Holder(name)


def _overrides(name):
    return [a[2:].split("=")[0] for a in sys.argv if a.startswith(f"--{name}.") and "=" in a]


def _parsed(text, old):
    value = text if isinstance(old, str) else ast.literal_eval(text)
    if isinstance(old, float):
        value = float(value)
    if not isinstance(value, type(old)):
        raise TypeError(f"{text!r} is no {type(old).__name__}")
    return value
