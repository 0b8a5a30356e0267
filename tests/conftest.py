"""Strict by default: two CPU devices, no silent rank promotion, warnings are errors."""

import gc
import importlib
import os
import shutil

from commands import QUICK_TO_COMPILE, RAN, SHRUNK, results, works
from paths import ROOT

# Before jax starts its backend: two fake devices, so every data-parallel test is a real one.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = " ".join(
    (os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=2", QUICK_TO_COMPILE)
)
# One cache of compiled programs for both workers, and for the processes that tests start.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(ROOT / ".pytest_cache/programs")
os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**30)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

import jax
import numpy as np
import pytest
from filelock import FileLock

from rrjax import cli

cli.enable_compilation_cache()
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_sessionstart(session):
    """Forget which configs the last session ran; the workers of this one share the folder."""
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(RAN, ignore_errors=True)


def pytest_collection_modifyitems(items):
    """Put files with slow tests first, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module", autouse=True)
def collected():
    """Collect what the last file of tests left, and keep the collector from what stays.

    JAX keeps all that it traced and compiled. To walk through it took a fifth of the suite's time.
    """
    gc.collect()
    gc.freeze()


def shipped_configs():
    """Return the names of all configs, and of their settings: the words behind a colon."""
    names = {path.stem for path in (ROOT / "configs").glob("*.py")} - {"__init__"}
    modules = {name: importlib.import_module(f"configs.{name}") for name in names}
    words = {
        f"{name}:{word}"
        for name, module in modules.items()
        for word in getattr(module, "SETTINGS", ())
        if word != "small"  # what it is without a word
    }
    return names | words


def pytest_sessionfinish(session, exitstatus):
    """Fail if all tests ran, and a config of configs/ in none of them."""
    option = session.config.option
    some = option.file_or_dir or option.markexpr or option.keyword or option.collectonly
    some = some or getattr(option, "lf", False)  # without the plugin that counts failures: no lf
    if hasattr(session.config, "workerinput") or some or exitstatus != 0:
        return
    left = shipped_configs() - {path.name for path in RAN.glob("*")}
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(f"\nno test runs a command with configs/ {sorted(left)}", red=True)


@pytest.fixture
def float64():
    """Run one test in float64, where two implementations can be compared tightly."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Return (name, make) -> the folder `name` that make(folder) fills, once for all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name, make):
        folder = shared / name
        with FileLock(shared / f"{name}.lock"):
            if not (folder / "made").exists():
                folder.mkdir()
                make(folder)
                (folder / "made").touch()
        return folder

    return once


@pytest.fixture(scope="session")
def trained(made_once):
    """A folder of two runs, "standard" and "robust": the tiny network, two steps on digits.

    Tests read them, and write somewhere else.
    """

    def make(root):
        for name in ("standard", "robust"):
            command = [f"--config=configs/{name}_digits.py", f"--workdir={root / name}"]
            works("train", *command, *SHRUNK)

    return made_once("trained", make)


@pytest.fixture(scope="session")
def one_class(made_once, trained):
    """The run of an autoencoder that saw the digit 3 only, with noise."""

    def make(root):
        small = ["--config.epochs=1", "--config.batch_size=70", "--config.noise=50"]
        small += ["--config.data.groups=(('3',),)", "--config.data.group_names=('3',)"]
        small += ["--config.model.classes=1", "--config.loss.feature=0.0"]
        small += [f"--config.model.encoder={trained / 'robust'}", "--config.model.stage=block1"]
        small += ["--config.loss.stage=block1", f"--workdir={root / 'standard_3'}"]
        works("train", "--config=configs/autoencoder_digits.py", *small)

    return made_once("one_class", make) / "standard_3"


@pytest.fixture(scope="session")
def vaegan(made_once):
    """The run of a narrow VAE-GAN, two steps on digits."""

    def make(root):
        small = ["--config.epochs=1", "--config.batch_size=718", "--config.model.width=2"]
        works("train", "--config=configs/vaegan_digits.py", f"--workdir={root / 'run'}", *small)

    return made_once("vaegan", make) / "run"


class Killed(BaseException):
    """A kill: no handler of exceptions stops it."""


def _without(value, left_out):
    """Return plain values without the entries of a name."""
    if isinstance(value, dict):
        return {k: _without(v, left_out) for k, v in value.items() if k != left_out}
    return [_without(v, left_out) for v in value] if isinstance(value, list) else value


@pytest.fixture
def ends_as_one_left_alone(tmp_path, monkeypatch):
    """Return a check of a command: killed twice, it ends with the same bits, but for seconds.

    It is killed while it saves its second part, and then the fifth that it saves in all; at either
    it loses that part alone.
    """

    def check(*command):
        works(*command, f"--workdir={tmp_path / 'alone'}")
        saved = np.savez
        left = []

        def save(file, **arrays):
            saved(file, **arrays)
            left.append(None)
            if len(left) in (2, 5):
                raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(np, "savez", save)
            for _ in range(2):
                with pytest.raises(Killed):
                    works(*command, f"--workdir={tmp_path / 'killed'}")
            works(*command, f"--workdir={tmp_path / 'killed'}")
        alone, killed = (
            sorted(path.name for path in (tmp_path / name).glob("cells/*/*.npz"))
            for name in ("alone", "killed")
        )
        # What was being saved at a kill was made again; nothing else was.
        assert alone == killed and len(left) == len(alone) + 2
        one, other = (_without(results(tmp_path / each), "seconds") for each in ("alone", "killed"))
        assert one == other
        for picture in (tmp_path / "alone/figures").iterdir():
            assert picture.read_bytes() == (tmp_path / "killed/figures" / picture.name).read_bytes()

    return check
