"""Commands as a user types them, run in the test's own process, where what is compiled stays."""

import contextlib
import importlib
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

from paths import ROOT

# Most of a test is the compilation of programs that run once or twice. With these flags of XLA it
# takes a third of its time: no optimization, the older emitter of loops, one thread a program.
QUICK_TO_COMPILE = (
    "--xla_backend_optimization_level=0"
    " --xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1"
)

# A training on digits of two steps, whose network compiles in a second.
SHRUNK = (
    "--config.epochs=1",
    "--config.batch_size=718",
    "--config.model.name=tiny",
    "--config.model.width=64",
    "--config.attack.steps=1",
)

# A file for each config that a command ran to its end in this session: see conftest.py.
RAN = ROOT / ".pytest_cache/configs_run"


def networks(root) -> list[str]:
    """Return the flags by which a study compares the runs `root`/standard and `root`/robust."""
    return [f"--config.standard={root / 'standard'}", f"--config.robust={root / 'robust'}"]


def run(name, *arguments) -> CompletedProcess:
    """Run `python -m rrjax.NAME ARGUMENTS` at the root, here; return its exit code and output."""
    argv = [f"rrjax.{name}", *map(str, arguments)]
    main = importlib.import_module(f"rrjax.{name}.__main__").main
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(ROOT),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main(argv)
        except SystemExit as end:
            code = end.code
    if code == 0:
        _record_config(argv)
    return CompletedProcess(argv, code, out.getvalue(), err.getvalue())


def _record_config(argv) -> None:
    (config,) = (a.removeprefix("--config=") for a in argv if a.startswith("--config="))
    file, colon, word = config.partition(":")
    RAN.mkdir(parents=True, exist_ok=True)
    (RAN / Path(file).stem).touch()
    if "/" not in word:  # a name of words, not of a path
        (RAN / f"{Path(file).stem}{colon}{word}").touch()


def spawn(name, *arguments, **environment) -> CompletedProcess:
    """Run the same command in a process of its own, as a shell does.

    It has the tests' XLA_FLAGS, so that it reads what they compiled.
    """
    argv = [sys.executable, "-m", f"rrjax.{name}", *map(str, arguments)]
    environment = os.environ | environment
    return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True)


def free_address() -> str:
    """Return a HOST:PORT of this machine that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def works(name, *arguments) -> CompletedProcess:
    """Run a command here that must end well."""
    result = run(name, *arguments)
    assert result.returncode == 0, result.stderr
    return result


def refused(name, *arguments) -> str:
    """Run a command here that must refuse its input; return the one line it says."""
    result = run(name, *arguments)
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0]


def results(workdir) -> dict:
    """Return what commands wrote to `workdir`/results.json, by section."""
    return json.loads((workdir / "results.json").read_text())


def logged(workdir) -> list[dict]:
    """Return the lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
