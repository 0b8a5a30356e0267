"""What the devices of a training step send each other: eight fake ones, their compiled program."""

import os
import re
import subprocess
import sys
from math import prod

import jax
import pytest

from commands import QUICK_TO_COMPILE
from paths import ROOT
from rrjax.runs import defaults
from rrjax.train.tasks import classifier

pytestmark = pytest.mark.slow

DEVICES, IMAGES = 8, 2
PROGRAM = """
import jax, jax.numpy as jnp
from rrjax.train import parallel
from rrjax.train.tasks import classifier
from tests.train import test_collectives as test

shapes = {"image": ((32, 32, 3), jnp.uint8), "label": ((), jnp.int32)}
batch = {
    name: jax.ShapeDtypeStruct((test.DEVICES, test.IMAGES, *shape), dtype)
    for name, (shape, dtype) in shapes.items()
}
task = classifier.create(test.config(), 10)
step = parallel.data_parallel(task.train_step, donate=True)
print(step.lower(jax.eval_shape(task.init), batch).compile().as_text())
"""


def config():
    c = defaults.get_config()
    c.batch_size = DEVICES * IMAGES
    c.model.update(name="resnet8", width=4, classes=5)
    c.data.update(image_size=32, jitter=0.0, lighting=0.0)
    return c


@pytest.fixture(scope="module")
def program():
    flags = f"--xla_force_host_platform_device_count={DEVICES} {QUICK_TO_COMPILE}"
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        check=True,
        text=True,
    ).stdout


def test_one_all_reduce_a_step_and_it_is_outside_the_attack(program):
    collectives = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
    operations = re.findall(rf" ((?:{collectives}|collective-broadcast)(?:-start)?)\(", program)
    assert operations == ["all-reduce"]
    entry = program[program.index("\nENTRY ") :]
    assert " while(" in entry and " all-reduce(" in entry


def test_it_carries_the_gradient_once_with_the_statistics_and_two_metrics(program):
    shapes = re.search(r"= \(([^()]*)\) all-reduce\(", program)[1]
    shapes = re.sub(r"/\*.*?\*/", "", shapes)
    sent = [
        prod(map(int, filter(None, s.split(",")))) for s in re.findall(r"f32\[([\d,]*)\]", shapes)
    ]
    state = jax.eval_shape(classifier.create(config(), 10).init)
    leaves = jax.tree_util.tree_leaves_with_path((state.params, state.batch_stats))
    # A shortcut's shift has the gradient of the shift it is added to: XLA sends that once.
    twice = "['downsample_1']['bias']"
    expected = [x.size for path, x in leaves if not jax.tree_util.keystr(path).endswith(twice)]
    assert sorted(sent) == sorted([1, 1, *expected])
