"""Several processes train as one does, end when one of them dies, and go on together."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from commands import QUICK_TO_COMPILE, free_address
from drill import saved
from paths import ROOT

pytestmark = pytest.mark.slow


def start(workdir, devices, *flags, fields=()):
    """Start one process of a training of the tiny network on digits."""
    fields = ["model.name=tiny", "model.width=64", "attack.steps=2", "log_every=1", *fields]
    command = [sys.executable, "-m", "rrjax.train", "--config=configs/robust_digits.py"]
    command += [f"--workdir={workdir}", *(f"--config.{field}" for field in fields), *flags]
    flags = f"--xla_force_host_platform_device_count={devices} {QUICK_TO_COMPILE}"
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"XLA_FLAGS": flags}, stderr=subprocess.PIPE, text=True
    )


def start_pair(workdir, fields=()):
    common = [f"--coordinator={free_address()}", "--processes=2"]
    return [start(workdir, 2, *common, f"--process={i}", fields=fields) for i in range(2)]


def finish(processes):
    errors = [process.communicate(timeout=300)[1] for process in processes]
    return [process.returncode for process in processes], errors


def wait_for_step(pair, workdir, step):
    log = workdir / "metrics.jsonl"
    while not (log.exists() and f'"step": {step},' in log.read_text()):
        assert all(process.poll() is None for process in pair), finish(pair)
        time.sleep(0.1)


def test_two_processes_of_two_devices_equal_one_of_four(tmp_path):
    # Without an adversary: the collectives add up in another order, and from this rounding PGD's
    # trajectories part (by 1e-2 after these steps, on a CPU without AVX-512; so by 1e-6).
    fields = ["epochs=2", "eval_every=1", "attack.eps=0", "batch_size=128"]
    codes, errors = finish(start_pair(tmp_path / "pair", fields))
    assert codes == [0, 0], errors
    codes, errors = finish([start(tmp_path / "one", 4, fields=fields)])
    assert codes == [0], errors
    (step, pair), (same_step, one) = saved(tmp_path / "pair"), saved(tmp_path / "one")
    assert step == same_step == 22
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        pair["variables"],
        one["variables"],
    )
    logs = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("pair", "one")]
    scores = [[json.loads(x) for x in log.splitlines() if "test_loss" in x] for log in logs]
    assert [x["step"] for x in scores[0]] == [x["step"] for x in scores[1]] == [11, 22]
    np.testing.assert_allclose(scores[0][1]["test_loss"], scores[1][1]["test_loss"], rtol=1e-3)


def test_a_pair_ends_when_one_dies_and_goes_on_together(tmp_path):
    fields = ["epochs=400", "save_every=10"]
    pair = start_pair(tmp_path / "run", fields)
    wait_for_step(pair, tmp_path / "run", 15)
    pair[1].kill()
    codes, errors = finish(pair)
    assert codes[0] not in (0, 2) and codes[1] == -signal.SIGKILL
    # The coordinator says it in half a minute; the CPU's collectives (gloo) may fail before that.
    assert "another task died" in errors[0] or "gloo" in errors[0], errors[0]
    assert "Thread 0x" not in errors[0]
    pair = start_pair(tmp_path / "run", fields)
    wait_for_step(pair, tmp_path / "run", 60)
    pair[0].terminate()  # either of them tells both
    codes, errors = finish(pair)
    assert codes == [75, 75], errors
    assert all("interrupted at step" in error for error in errors), errors
    assert saved(tmp_path / "run")[0] >= 60
