"""An evaluation and every study give the same numbers on one device and by a pair of two; some on
two and four devices too.
"""

import math
import os
import subprocess
import sys

import pytest

from commands import QUICK_TO_COMPILE, free_address, results
from paths import ROOT

pytestmark = pytest.mark.slow

TIMES = ("seconds",)  # what differs from run to run


def start(devices, *arguments):
    flags = f"--xla_force_host_platform_device_count={devices} {QUICK_TO_COMPILE}"
    command = [sys.executable, "tests/everywhere.py", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"XLA_FLAGS": flags}, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    _, error = process.communicate(timeout=600)
    assert process.returncode == 0, error


def numbers(value, path=()):
    """Return every number of a tree of plain values, by its path."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {path: value}
    found = {}
    for key, inner in items:
        if key not in TIMES:
            found |= numbers(inner, (*path, key))
    return found


def test_the_numbers_do_not_depend_on_the_devices(trained, decoders, vaegan, tmp_path):
    networks = tmp_path / "networks"
    networks.mkdir()
    for name, folder in {
        "standard": trained / "standard",
        "robust": trained / "robust",
        "decoders": decoders,
        "vaegan": vaegan.parent,
    }.items():
        (networks / name).symlink_to(folder)
    finish(start(4, networks, tmp_path))
    address = free_address()
    for process in [start(2, networks, tmp_path, address, i) for i in range(2)]:
        finish(process)
    one, two, four, pair = (results(tmp_path / name) for name in ("1", "2", "4", "pair"))
    assert set(pair) == set(one) > set(two) == set(four) != set()
    for study, expected in ((study, numbers(one[study])) for study in one):
        for other in (each for each in (two, four, pair) if study in each):
            actual = numbers(other[study])
            assert set(actual) == set(expected), study
            for path, value in expected.items():
                same = actual[path] == value
                if isinstance(value, float):
                    same = math.isclose(actual[path], value, rel_tol=1e-3, abs_tol=1e-4)
                assert same, (study, path, value, actual[path])
