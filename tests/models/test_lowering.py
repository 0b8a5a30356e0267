"""Training, evaluation and inversion lower for the accelerators too, from a CPU."""

import jax
import jax.numpy as jnp
import pytest
from jax import export

from rrjax import models
from rrjax.core import vmapped
from rrjax.runs import defaults
from rrjax.train import parallel
from rrjax.train.tasks import classifier

PLATFORMS = ("cuda", "tpu")


@pytest.fixture(autouse=True)
def off_the_cpu(monkeypatch):
    """Convolutions take the form they have off the CPU."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


def config():
    c = defaults.get_config()
    c.dtype = "bfloat16"
    c.model.update(name="resnet8", width=4, classes=5)
    c.data.image_size = 32
    return c


def lowered(program, *arguments):
    assert export.export(jax.jit(program), platforms=PLATFORMS)(*arguments).platforms == PLATFORMS


def batch(n, **more):
    shapes = {"image": ((n, 32, 32, 3), jnp.uint8), "label": ((n,), jnp.int32), **more}
    return {
        name: jax.ShapeDtypeStruct((1, *shape), dtype) for name, (shape, dtype) in shapes.items()
    }


@pytest.mark.parametrize("trainer", ["pgd", "free"])
def test_a_training_step(trainer):
    c = config()
    c.batch_size = 4
    c.replays = 2 if trainer == "free" else 0
    task = classifier.create(c, 10)
    colors = {"jitter": ((4, 3), jnp.float32), "order": ((4, 3), jnp.int32)}
    step = parallel.data_parallel(task.train_step)
    lowered(step, jax.eval_shape(task.init), batch(4, **colors))


def test_an_evaluation():
    task = classifier.create(config(), 10)
    more = {"index": ((4,), jnp.int32), "mask": ((4,), jnp.float32)}
    step = parallel.data_parallel(task.eval_step)
    lowered(step, jax.eval_shape(task.init), batch(4, **more))


def test_an_inversion():
    model = models.create(config().model)
    images = jnp.zeros((2, 32, 32, 3))
    apply = models.frozen(model, models.init(model, jax.random.key(0), (32, 32, 3)))

    def invert(apply, starts, targets):
        return vmapped.invert_images(
            apply, apply, starts, targets, eps=1000.0, step_size=1.0, steps=100
        )

    lowered(invert, apply, images, images)
