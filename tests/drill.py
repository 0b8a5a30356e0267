"""A fault drill: one training, interrupted at random moments, ends as one that never was.

python -m tests.drill --kills=30 --terms=30 --epochs=60 --workdir=runs/drill

Trains digits adversarially twice: once undisturbed, once sent SIGKILL and SIGTERM in random order,
each a random time after the process was started, while it imports, compiles, steps, evaluates or
saves. Prints the result of every signal, and fails unless both runs hold the same bits.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import jax
import numpy as np

from rrjax import runs
from rrjax.cli.command import EXIT_STOPPED
from rrjax.runs import checkpoints
from rrjax.train import loop
from rrjax.train.tasks import classifier

ROOT = Path(__file__).parents[1]
OVERRIDES = {
    "model.name": "tiny",
    "model.width": 64,
    "attack.steps": 2,
    "attack.random_start": "sphere",
    "data.crop_padding": 1,
    "data.jitter": 0.2,
    "eval_every": 1,
    "save_every": 5,
    "log_every": 1,
}


def command(workdir, epochs):
    """Give the command line of the run."""
    start = [sys.executable, "-m", "rrjax.train", "--config=configs/robust_digits.py"]
    fields = {**OVERRIDES, "epochs": epochs}
    return [*start, f"--workdir={workdir}", *(f"--config.{k}={v}" for k, v in fields.items())]


def environment(workdir):
    """Give the environment of a run: its compiled programs lie beside it, as it may be killed."""
    return os.environ | {"JAX_COMPILATION_CACHE_DIR": str(Path(workdir).parent / "programs")}


def disturb(workdir, epochs, number, longest):
    """Start the run, send it a signal within `longest` seconds, and return its exit code."""
    run = subprocess.Popen(command(workdir, epochs), cwd=ROOT, env=environment(workdir))
    time.sleep(random.uniform(0, longest))
    run.send_signal(number)
    return run.wait()


def steps_logged(workdir):
    """Give the number of the last step in the run's log; 0 if there is none."""
    path = Path(workdir, "metrics.jsonl")
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def saved(workdir):
    """Return the step of a run's last checkpoint and every array in it."""
    config = runs.read_config(workdir)
    like = jax.eval_shape(classifier.create(config, 1).init)
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with checkpoints.open_manager(workdir) as manager:
        step = manager.latest_step()
        return step, checkpoints.restore(manager, step, device, **loop.checkpoint_items(like))


def same(one, other):
    """Raise AssertionError unless two runs ended at the same step with the same bits."""
    (step, arrays), (other_step, other_arrays) = saved(one), saved(other)
    assert step == other_step, (step, other_step)
    jax.tree.map(np.testing.assert_array_equal, arrays, other_arrays)


def drill(root, epochs, signals, longest=None):
    """Disturb one run by all of `signals` and another by none; count exit codes by signal.

    longest: seconds to a signal, at most; None: as long as the undisturbed run took.
    """
    root, start = Path(root), time.monotonic()
    env = environment(root / "undisturbed")
    subprocess.run(command(root / "undisturbed", epochs), cwd=ROOT, env=env, check=True)
    longest = longest or time.monotonic() - start
    codes = Counter()
    for number in signals:
        code = disturb(root / "disturbed", epochs, number, longest)
        # 0: it was done before; -SIGTERM: it came before training had begun.
        assert code in (0, EXIT_STOPPED, -number), (
            f"{signal.Signals(number).name}: exit code {code}"
        )
        name, step = signal.Signals(number).name, steps_logged(root / "disturbed")
        codes[name, code] += 1
        print(name, "exit", code, "at step", step, flush=True)
    subprocess.run(command(root / "disturbed", epochs), cwd=ROOT, env=env, check=True)
    same(root / "undisturbed", root / "disturbed")
    return codes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("kills", 30), ("terms", 30), ("epochs", 60)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--longest", type=float, help="seconds to a signal, at most")
    parser.add_argument("--workdir", required=True)
    options = parser.parse_args()
    signals = [signal.SIGKILL] * options.kills + [signal.SIGTERM] * options.terms
    random.shuffle(signals)
    codes = drill(options.workdir, options.epochs, signals, options.longest)
    for (name, code), count in sorted(codes.items()):
        print(f"{name}: exit code {code}, {count} times")
    print("the same bits at the end")


if __name__ == "__main__":
    main()
