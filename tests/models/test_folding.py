"""A folded network is the unfolded one in eval mode: values and gradients of the image."""

import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax import models
from rrjax.runs import defaults


def drawn(rng, path, shape):
    low, high = (-0.1, 0.1) if path[-1].key in ("kernel", "mean", "bias") else (0.5, 1.5)
    return jnp.asarray(rng.uniform(low, high, shape.shape))


@pytest.mark.parametrize(
    ("name", "variant", "width", "size"),
    [
        ("resnet8", "cifar", 4, 8),
        ("resnet50", "imagenet", 2, 32),
        ("vgg16_bn", "cifar", 64, 32),
    ],
)
def test_logits_every_stage_and_input_gradient_are_the_same(float64, name, variant, width, size):
    c = defaults.get_config().model
    c.update(name=name, variant=variant, width=width, classes=5)
    c.update(dtype="float64", param_dtype="float64")
    model = models.create(c)
    rng = np.random.default_rng(0)
    # Statistics, scales and shifts as no initialization has them.
    shapes = jax.eval_shape(lambda key: models.init(model, key, (size, size, 3)), jax.random.key(0))
    variables = jax.tree_util.tree_map_with_path(partial(drawn, rng), shapes)
    image = jnp.asarray(rng.uniform(size=(size, size, 3)))

    def unfolded(image, variables):
        return jax.tree.map(lambda x: x[0], model.apply(variables, image[None], train=False))

    def folded(image, variables):
        return models.frozen(model, variables)(image)

    def near(result, expected):
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-10 * np.abs(expected).max())

    # Variables that were constants would be folded by the compiler, in a minute.
    jax.tree.map(near, *(jax.jit(f)(image, variables) for f in (folded, unfolded)))
    gradients = [
        jax.jit(jax.grad(lambda *inputs, f=f: f(*inputs)[0][2]))(image, variables)
        for f in (folded, unfolded)
    ]
    near(*gradients)


def test_nothing_is_cast_in_a_loop_around_a_folded_network():
    """Under bfloat16 the folded parameters are bfloat16 already."""
    c = defaults.get_config().model
    c.update(name="resnet8", variant="cifar", width=4, classes=5, dtype="bfloat16")
    model = models.create(c)
    init = partial(models.init, model, image_shape=(8, 8, 3))
    apply = jax.eval_shape(lambda key: models.frozen(model, init(key)), jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(apply)} == {jnp.dtype("bfloat16")}


PROGRAM = """
import jax
from rrjax import models
from rrjax.runs import defaults
c = defaults.get_config().model
c.update(name="resnet8", variant="cifar", width=2, classes=5)
model = models.create(c)
shape = (8, 8, 3)
variables = jax.eval_shape(lambda: models.init(model, jax.random.key(0), shape))
image = jax.ShapeDtypeStruct(shape, "float32")
print(jax.jit(lambda v, x: models.frozen(model, v)(x)).lower(variables, image).as_text())
"""


def test_every_process_folds_in_one_order():
    """Or the collectives of a run's processes do not match, and no program is found on disk."""
    texts = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert texts[0] == texts[1] and "stablehlo.convolution" in texts[0]
