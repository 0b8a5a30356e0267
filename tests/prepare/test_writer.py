"""Writing a set: whole or not at all, one process at a time, and a full disk is reported."""

import os
import re
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from golden.pets import assert_same, write_tree
from paths import ROOT
from rrjax import BadInput
from rrjax.data import records
from rrjax.prepare import writer
from rrjax.prepare.folder import prepare_folder


@pytest.fixture
def tree(tmp_path):
    """A tree of images of several formats and sizes."""
    return write_tree(tmp_path / "tree")


def test_two_at_a_time_are_refused(tree, tmp_path):
    with writer.building(str(tmp_path), "birds", "1.0.0") as part:
        with pytest.raises(BadInput, match=r"another process prepares a set in .*: wait for it"):
            prepare_folder(str(tree), str(tmp_path), "pets")
        assert part.is_dir()
    prepare_folder(str(tree), str(tmp_path), "pets")


def test_a_disk_too_small_is_refused_before_work(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    message = r"pets/1.0.0 cannot be written \(it takes \S+ bytes and 1,000 are free\): free some"
    with pytest.raises(BadInput, match=message):
        prepare_folder(str(tree), str(tmp_path), "pets")
    assert not [*(tmp_path / "pets").iterdir()]


def run_python(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)


KILLED = """
import os, signal, sys
from rrjax.prepare import folder
decode = folder.decode
def until_the_last(content, name):
    if name.endswith("2.ppm"):
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(content, name)
folder.decode = until_the_last
folder.prepare_folder(*sys.argv[1:])
"""


def test_a_killed_run_is_begun_again(tree, tmp_path):
    data_dir = tmp_path / "data"
    result = run_python(KILLED, tree, data_dir, "pets")
    assert result.returncode == -signal.SIGKILL, result.stderr
    left = data_dir / "pets/incomplete.1.0.0"
    assert [*left.glob("pets-train*")] and [*left.parent.iterdir()] == [left]
    with pytest.raises(BadInput, match="no data set is called 'pets'"):
        records.records("pets", str(data_dir), "train")
    (left / "stray").touch()
    prepare_folder(str(tree), str(data_dir), "pets")
    assert [path.name for path in (data_dir / "pets").iterdir()] == ["1.0.0"]
    assert not (data_dir / "pets/1.0.0/stray").exists()
    assert_same(tree, data_dir)


FULL = """
import resource, sys
from rrjax.prepare import folder
from rrjax import BadInput
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    folder.prepare_folder(*sys.argv[1:])
except BadInput as error:
    print(error)
"""


def test_a_full_disk_is_said_in_one_line(tree, tmp_path):
    result = run_python(FULL, tree, tmp_path / "data", "pets")
    assert re.fullmatch(
        r"\S+/pets/1.0.0 cannot be written \(.*File too large.*\): free some space, or .*\n",
        result.stdout,
    ), result
    assert not [*(tmp_path / "data/pets").iterdir()]
