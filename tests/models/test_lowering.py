"""Training, evaluation and inversion lower for the accelerators too, from a CPU."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax import export, lax

from golden.weights import SMALL
from rrjax import models
from rrjax.core import vmapped
from rrjax.models import convolution, layers
from rrjax.runs import defaults
from rrjax.train import parallel
from rrjax.train.tasks import classifier

PLATFORMS = ("cuda", "tpu")


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


def test_a_max_pool_of_3x3_is_xla_s_own_on_a_tpu_alone():
    slope = jax.jit(jax.grad(lambda x: layers.overlapping_max_pool(x, 1).sum()))
    for platform in ("cpu", *PLATFORMS):
        text = export.export(slope, platforms=(platform,))(jnp.zeros((2, 8, 8, 4))).mlir_module()
        assert ("select_and_scatter" in text) == (platform == "tpu"), platform


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnext50_32x4d"])
def test_a_step_of_grouped_convolutions(name):
    c = config().model
    c.update(name=name, variant="imagenet", width=16 if "resnext" in name else 64)
    model = models.create(c).clone(**SMALL.get(name, {"stage_sizes": (1, 1, 1, 1)}))
    rngs = {"dropout": jax.random.key(0)}
    shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0), (32, 32, 3)))

    def step(variables, images):
        def loss(params, images):
            trained = variables | {"params": params}
            apply = partial(model.apply, train=True, rngs=rngs, mutable=["batch_stats"])
            (logits, _), _ = apply(trained, images)
            return jnp.sum(logits**2)

        return jax.grad(loss, (0, 1))(variables["params"], images)

    lowered(step, shapes, jax.ShapeDtypeStruct((4, 32, 32, 3), jnp.float32))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("size", [1, 3])
def test_a_convolution_off_the_cpu_is_the_stock_one_in_every_derivative(platform, size):
    """A program traced here for an accelerator is the program that its host would trace."""

    def program(convolve):
        def loss(x, w):
            y = convolve(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return jnp.sum(jnp.sin(y))

        def second(x, w):
            return jnp.sum(jax.grad(loss, 0)(x, w) ** 2)

        x, w = jnp.ones((3, 1, 8, 8, 5)), jnp.ones((size, size, 5, 20))
        gradients = jax.jit(jax.vmap(jax.grad(second, (0, 1)), (0, None)))
        text = gradients.trace(x, w).lower(lowering_platforms=(platform,)).as_text()
        return re.findall(r"stablehlo\.(convolution|dot_general|optimization_barrier|while)", text)

    assert program(convolution.convolution) == program(lax.conv_general_dilated)
