"""The speed benchmark: what it writes, and the few packages that it needs."""

import os
import re
import subprocess
import sys
import time
from importlib import metadata

import jax
import pytest

from commands import results, works
from paths import ROOT
from rrjax import BadInput
from rrjax.bench import speed

pytestmark = pytest.mark.slow


def once(program, argument):
    """Time a product or a copy once: ten products of bfloat16 take ten seconds on a CPU."""
    start = time.perf_counter()
    jax.block_until_ready(program(argument))
    return time.perf_counter() - start


@pytest.mark.parametrize(
    ("name", "kinds", "compiled"),
    [
        ("bench_cpu", ("adversarial", "standard", "evaluation", "inversion"), (1, 2)),
        ("bench_gpu", ("adversarial",), ()),
    ],
)
def test_cases_and_compilation(name, kinds, compiled, tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "_best", once)
    cases = tuple((kind, "tiny", "cifar", 8, 2) for kind in kinds)
    small = ["--config.rounds=2", "--config.warmup=1", f"--config.cases={cases}"]
    small += ["--config.training.attack.steps=1", f"--config.compiled_steps={compiled}"]
    small += ["--config.evaluation_steps=2", "--config.inversion_steps=2"]
    command = ["bench", f"--config=configs/{name}.py", f"--workdir={tmp_path}", *small]
    shown = works(*command, "--config.peers=False").stdout
    section = results(tmp_path)[f"speed_{name[-3:]}"]
    assert [row["kind"] for row in section["cases"]] == list(kinds)
    for row in section["cases"]:
        assert 0 < row["seconds"]["low"] <= row["seconds"]["median"] <= row["seconds"]["high"]
        assert row["images_per_second"] == pytest.approx(2 / row["seconds"]["median"])
        assert row["time_ratio"] == {"median": 1, "low": 1, "high": 1}
        assert row["share_of_ceiling"] > 0 and row["bytes"] > 0
    assert [row["steps"] for row in section["compilation"]] == [*compiled]
    assert "| adversarial tiny 8, 2 | rrjax " in shown


def test_a_case_that_does_not_fit_is_refused():
    case = {"kind": "adversarial", "name": "tiny", "variant": "cifar", "size": 8, "n": 2}
    speed._check_memory(case, 1000)
    with pytest.raises(BadInput, match=r"'tiny', 'cifar', 8, 2\) takes 1000000.0 GB of a device"):
        speed._check_memory(case, 10**15)


# What the benchmark needs, and each distribution that these require.
PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "numpy", "ml-collections", "filelock")


def distributions(*names):
    """Return distributions and all that they require, extras aside."""
    installed, left = set(), list(names)
    while left:
        name = left.pop()
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # of another platform or Python
            continue
        if name not in installed:
            installed.add(name)
            left += [re.match(r"[\w.-]+", n)[0] for n in needs if "extra ==" not in n]
    return installed


def test_a_process_with_few_packages(tmp_path):
    """Speed is measured where there is JAX and little else: no library of data or pictures."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in distributions(*PACKAGES):
        files = metadata.distribution(name).files
        for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            link = packages / top
            if not link.exists():
                link.symlink_to(metadata.distribution(name).locate_file(top))
    for name in ("grain", "matplotlib", "PIL", "sklearn", "tensorflow_datasets"):
        assert not (packages / name).exists()
    command = [sys.executable, "-S", "-m", "rrjax.bench", "--config=configs/bench_cpu.py"]
    command += ["--config.cases=(('adversarial', 'tiny', 'cifar', 8, 2),)", "--config.rounds=1"]
    command += ["--config.compiled_steps=()", "--config.training.attack.steps=1"]
    environment = os.environ | {"PYTHONPATH": str(packages)}
    result = subprocess.run(
        [*command, f"--workdir={tmp_path / 'bench'}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "| adversarial tiny 8, 2 | rrjax " in result.stdout
