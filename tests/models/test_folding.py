"""A folded network is the unfolded one in eval mode: values and gradients of the image."""

import os
import subprocess
import sys
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from golden.weights import SMALL
from rrjax import BadInput, models, runs
from rrjax.models import folding, layers
from rrjax.runs import checkpoints, defaults
from rrjax.train.tasks import classifier


def drawn(rng, path, shape):
    low, high = (-0.1, 0.1) if path[-1].key in ("kernel", "mean", "bias") else (0.5, 1.5)
    return jnp.asarray(rng.uniform(low, high, shape.shape))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variant", "width", "size"),
    [
        ("resnet8", "cifar", 4, 8),
        ("resnet50", "imagenet", 2, 32),
        ("preact_resnet18", "fast_adversarial", 2, 8),
        ("wideresnet28_10", "cifar", 64, 8),
        ("vgg16_bn", "cifar", 64, 32),
        ("resnext50_32x4d", "imagenet", 16, 32),
        ("densenet161", "imagenet", 64, 32),
        ("mobilenet_v2", "imagenet", 64, 32),
        ("shufflenet_v2_x1_0", "imagenet", 64, 32),
        ("mnasnet1_0", "imagenet", 64, 32),
    ],
)
def test_logits_every_stage_and_input_gradient_are_the_same(float64, name, variant, width, size):
    c = defaults.get_config().model
    c.update(name=name, variant=variant, width=width, classes=5)
    c.update(dtype="float64", param_dtype="float64")
    model = models.create(c)
    if name.startswith("wide"):
        model = model.clone(depth=10, widen_factor=1)
    if name == "resnext50_32x4d":
        model = model.clone(stage_sizes=(2, 1, 1, 1))
    model = model.clone(**SMALL.get(name, {}))
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


class PreActivation(nn.Module):
    """A small pre-activation network: its bn2 follows its conv1, and no other BN a convolution."""

    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    last_act: Any = nn.relu
    norm: Any = layers.batch_norm

    @nn.compact
    def __call__(self, images, train):
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        norm = partial(self.norm, train, **types)
        conv = partial(layers.conv, 4, 3, 1, 1, use_bias=False, **types)
        x = layers.normalize(images, self.mean, self.std, self.dtype)
        x = conv(name="conv0")(x)
        y = conv(name="conv1")(nn.relu(norm(name="bn1")(x)))
        y = conv(name="conv2")(nn.relu(norm(name="bn2")(y)))
        x = self.last_act(norm(name="bn3")(x + y))
        representation = x.mean((1, 2))
        return nn.Dense(self.classes, **types)(representation), {"representation": representation}


class Declared(PreActivation):
    FOLDS: ClassVar = {"bn2": "conv1"}


class ByNumber(PreActivation):
    FOLDS: ClassVar = {"bn1": "conv1", "bn2": "conv2"}


class FromTheSkip(PreActivation):
    """bn1 takes conv0's output, and so does the sum."""

    FOLDS: ClassVar = {"bn1": "conv0", "bn2": "conv1"}


class Absent(PreActivation):
    FOLDS: ClassVar = {"bn2": "conv7"}


class OwnNames(nn.Module):
    """flax's own names and BN, another epsilon, and no field `norm`."""

    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    last_act: Any = nn.relu

    @nn.compact
    def __call__(self, images, train):
        x = layers.normalize(images, self.mean, self.std, self.dtype)
        x = nn.BatchNorm(not train, epsilon=1e-3)(nn.Conv(4, (3, 3))(x))
        representation = self.last_act(x).mean((1, 2))
        logits = nn.Dense(self.classes)(representation)
        return logits, {"representation": representation}


class OwnDeclared(OwnNames):
    FOLDS: ClassVar = {"BatchNorm_0": "Conv_0"}


class OwnThroughNorm(OwnDeclared):
    """A field `norm` that the network does not use."""

    norm: Any = layers.batch_norm


def small(network):
    return network(3, (0.5,), (0.25,))


def norms(arrays):
    """Return the names of the BNs that are left."""
    return {path[-2] for path in flatten_dict(arrays) if path[-1] == "var"}


@pytest.mark.parametrize(
    ("name", "stay"),
    [
        ("resnext50_32x4d", set()),
        ("densenet161", {"norm1", "norm", "norm5"}),
        ("mobilenet_v2", set()),
        ("shufflenet_v2_x1_0", set()),
        ("mnasnet1_0", set()),
    ],
)
def test_all_norms_fold_but_those_before_a_convolution(name, stay):
    c = defaults.get_config().model
    c.update(name=name, variant="imagenet", classes=5)
    model = models.create(c).clone(**SMALL.get(name, {}))
    shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0), (32, 32, 3)))
    assert norms(jax.eval_shape(lambda v: folding.fold(model, v)[1], shapes)) == stay


@pytest.mark.parametrize("network", [PreActivation, Declared, OwnNames])
def test_what_is_declared_folds_and_what_is_not_keeps_its_bn(network):
    model, image = small(network), np.random.default_rng(2).random((8, 8, 1), np.float32)
    folding.check(model, image.shape)
    variables = folding._noise(model, image.shape)
    folded, arrays = folding.fold(model, variables)
    names = norms(arrays)
    expected = {PreActivation: {"bn1", "bn2", "bn3"}, Declared: {"bn1", "bn3"}}
    assert names == expected.get(network, {"BatchNorm_0"})
    assert folding.fold(folded, arrays)[0] == folded  # once folded, nothing is left to fold
    outputs = jax.jit(models.frozen(model, variables))(image)
    for x, y in zip(outputs, model.apply(variables, image[None], train=False), strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[0], rtol=1e-5), x, y)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (ByNumber, "ByNumber.FOLDS says 'bn1': 'conv1', 'bn2': 'conv2': with it folded, the netw"),
        (FromTheSkip, "FromTheSkip.FOLDS says 'bn1': 'conv0': with it folded, the network is anot"),
        (Absent, "Absent.FOLDS says 'bn2': 'conv7', but the model has no conv7 with a kernel"),
        (OwnDeclared, "'BatchNorm_0': 'Conv_0', but .* no field `norm`: correct FOLDS"),
        (OwnThroughNorm, "says 'BatchNorm_0': 'Conv_0': with it folded, .* epsilon 1e-05; leave"),
    ],
)
def test_a_wrong_declaration_is_named(network, message):
    with pytest.raises(BadInput, match=message) as caught:
        folding.check(small(network), (8, 8, 1))
    assert "\n" not in str(caught.value)


def test_a_wrong_declaration_ends_a_training_and_a_load_before_any_attack(tmp_path, monkeypatch):
    """Trained before FOLDS was written, or after: neither goes on."""
    monkeypatch.setitem(models.MODELS, "mine", partial(PreActivation))
    monkeypatch.setitem(models._VARIANTS, "mine", ("cifar",))
    config = defaults.get_config()
    config.model.update(name="mine", variant="cifar", classes=3, mean=(0.5,), std=(0.25,))
    config.data.update(name="digits", image_size=8)
    runs.create_run_dir(tmp_path, config)
    variables = models.init(models.create(config.model), jax.random.key(0), (8, 8, 1))
    checkpoints.save_once(tmp_path, variables)
    classifier.create(config, steps_per_epoch=1)
    runs.load(tmp_path)
    monkeypatch.setitem(models.MODELS, "mine", partial(ByNumber))
    with pytest.raises(BadInput, match="with it folded, the network is another function"):
        classifier.create(config, steps_per_epoch=1)
    with pytest.raises(BadInput, match="with it folded, the network is another function"):
        runs.load(tmp_path)


PROGRAM = """
import jax
from rrjax import models
from rrjax.runs import defaults
c = defaults.get_config().model
c.update(name="resnet8", variant="cifar", width=2, classes=5)
model = models.create(c)
shape = (16, 16, 3)
variables = jax.eval_shape(lambda: models.init(model, jax.random.key(0), shape))
image = jax.ShapeDtypeStruct(shape, "float32")
print(jax.jit(lambda v, x: models.frozen(model, v)(x)).lower(variables, image).as_text())
"""


@pytest.mark.slow
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
