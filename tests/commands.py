"""Commands as a user starts them, each in a process of its own.

It is forked from one that has imported the libraries: that takes seconds, and the suite starts
commands by the hundred.
"""

import multiprocessing
import os
import runpy
import sys
from functools import cache
from subprocess import CompletedProcess
from tempfile import NamedTemporaryFile

from paths import ROOT

# Not the commands themselves: each defines its flags when it is run.
LIBRARIES = [
    "rrjax.convert.model_card",
    "rrjax.train.loop",
    "rrjax.study.regularized",
    "rrjax.train.tasks.choice",
    "tensorflow_datasets",
]


@cache
def _server():
    # A thread of its own that held a lock would hang what is forked. The suite needs no other.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    multiprocessing.forkserver.ensure_running()
    return context


def door(name, *arguments) -> CompletedProcess:
    """Run `python -m rrjax.NAME ARGUMENTS` at the root; return its exit code and its output."""
    command = [f"rrjax.{name}", *map(str, arguments)]
    with NamedTemporaryFile() as out, NamedTemporaryFile() as err:
        process = _server().Process(target=_run, args=(command, out.name, err.name))
        process.start()
        process.join()
        return CompletedProcess(command, process.exitcode, *(_text(file) for file in (out, err)))


def _run(command, out, err):
    os.chdir(ROOT)
    # Programs as LLVM first writes them: a command here runs for seconds, and optimising took half.
    os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY), descriptor)
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


def _text(file) -> str:
    return file.read().decode()
