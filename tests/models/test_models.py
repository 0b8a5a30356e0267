"""The models against PyTorch's golden files, and the laws of the parts they share."""

import ast
import itertools
from collections import Counter
from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from jax import lax
from ml_collections import ConfigDict

from golden.weights import SMALL, WIDTH, draw
from paths import GOLDEN
from rrjax import BadInput, models
from rrjax.models import convolution, layers
from rrjax.runs import torch_checkpoint

NHWC = ("NHWC", "HWIO", "NHWC")
# Families with a field for the units of their hidden layers.
HIDDEN = [("vgg16", "imagenet"), ("alexnet", "imagenet")]
MEAN, STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)


def config(**fields):
    return ConfigDict(
        {
            "name": "resnet8",
            "variant": "cifar",
            "width": 64,
            "classes": 9,
            "mean": MEAN,
            "std": STD,
            "dtype": "float32",
            "param_dtype": "float32",
            "sync_batch_norm": False,
        }
        | fields
    )


def create(name, variant="cifar", **fields):
    return models.create(config(name=name, variant=variant, **fields))


def narrow(name, variant, **fields):
    """Create a network with as few units and channels as its family allows."""
    if name.startswith("wideresnet"):
        return create(name, variant, **fields).clone(depth=10, widen_factor=2)
    if "resnet" in name:
        return create(name, variant, width=4, **fields)
    model = create(name, variant, **fields)
    if name in SMALL:
        return model.clone(**SMALL[name])
    if name == "resnext50_32x4d":
        return model.clone(width=WIDTH, stage_sizes=(2, 1, 1, 1))
    return model.clone(hidden=8) if (name, variant) in HIDDEN else model


def shapes(model, size):
    return jax.eval_shape(lambda key: models.init(model, key, (size, size, 3)), jax.random.key(0))


def drawn(model, size):
    """Variables of the model's shapes from numpy: no draw to compile, statistics not 0 and 1."""
    rng = np.random.default_rng(0)

    def leaf(shape):
        values = rng.standard_normal(shape.shape, np.float32)
        return jnp.array(values * np.float32(np.sqrt(2 / np.prod(shape.shape[:-1]))))

    variables = jax.tree.map(leaf, shapes(model, size))
    return variables | {"batch_stats": jax.tree.map(jnp.abs, variables.get("batch_stats", {}))}


def images(size, batch=2):
    return jnp.array(np.random.default_rng(1).random((batch, size, size, 3), np.float32))


# Parity with PyTorch.


def blocks(named):
    """Return the number of blocks in each stage of a torch ResNet."""
    names = {tuple(key.split(".")[:2]) for key in named if key.startswith("layer")}
    stages = Counter(stage for stage, _ in names)
    return tuple(stages[f"layer{i}"] for i in range(1, 5))


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    [
        "resnet50_imagenet",
        "resnet50_cifar",
        "preact_resnet18_pytorch_cifar",
        "preact_resnet18_robustbench",
        "preact_resnet18_fast_adversarial",
        "preact_resnet18_robust_overfitting",
        "wideresnet28_10_cifar",
        "vgg16_imagenet",
        "vgg16_bn_imagenet",
        "alexnet_imagenet",
        "wide_resnet50_2_imagenet",
        "wide_resnet50_4_imagenet",
        "resnext50_32x4d_imagenet",
        "densenet161_imagenet",
        "mobilenet_v2_imagenet",
        "shufflenet_v2_x1_0_imagenet",
        "mnasnet1_0_imagenet",
    ],
)
def test_logits_representation_and_input_gradient_are_torchs(file, float64):
    golden = np.load(GOLDEN / f"{file}.npz")
    name = max((name for name in models.MODELS if file.startswith(f"{name}_")), key=len)
    variant = file.removeprefix(f"{name}_")
    named = {key: tuple(map(int, shape)) for key, *shape in map(str.split, golden["keys"])}
    # Narrower than the published ones: see tests/golden/make_models.py.
    fields = {"classes": golden["logits"].shape[1], "dtype": "float64", "param_dtype": "float64"}
    model = create(name, variant, **fields)
    if name in SMALL:
        model = model.clone(**SMALL[name])
    elif "hidden" in model.__dataclass_fields__:
        model = model.clone(hidden=golden["representation"].shape[1])
    elif "depth" in model.__dataclass_fields__:
        model = model.clone(depth=16, widen_factor=named["fc.weight"][1] // 64)
    else:
        model = model.clone(stage_sizes=blocks(named), width=named["conv1.weight"][0])
    x = jnp.asarray(golden["images"] / 255)
    template = jax.eval_shape(lambda k: models.init(model, k, x.shape[1:]), jax.random.key(0))
    variables = torch_checkpoint.from_state_dict(draw(named), template)

    def objective(x, variables):
        logits, reps = model.apply(variables, x, False)
        return jnp.sum(logits * golden["direction"]), (logits, reps["representation"])

    gradient, (logits, representation) = jax.jit(jax.grad(objective, has_aux=True))(x, variables)
    outputs = {"logits": logits, "representation": representation, "gradient": gradient}
    for key, value in outputs.items():
        assert value.dtype == jnp.float64
        assert np.max(np.abs(value - golden[key])) <= 1e-9 * np.max(np.abs(golden[key])), key


@pytest.mark.parametrize(
    ("name", "variant", "classes", "count"),
    [
        ("resnet50", "imagenet", 1000, 25_557_032),
        ("resnet50", "imagenet", 9, 23_526_473),
        ("resnet50", "cifar", 10, 23_520_842),
        ("resnet18", "imagenet", 1000, 11_689_512),
        ("resnet34", "imagenet", 1000, 21_797_672),
        ("preact_resnet18", "pytorch_cifar", 10, 11_171_146),
        ("preact_resnet18", "fast_adversarial", 10, 11_172_170),
        ("wideresnet28_10", "cifar", 10, 36_479_194),
        ("wideresnet34_10", "cifar", 10, 46_160_474),
        ("vgg16", "imagenet", 9, 134_297_417),
        ("alexnet", "imagenet", 1000, 61_100_840),
        ("wide_resnet50_2", "imagenet", 1000, 68_883_240),
        ("wide_resnet50_4", "imagenet", 1000, 223_439_144),
        ("resnext50_32x4d", "imagenet", 1000, 25_028_904),
        ("densenet161", "imagenet", 1000, 28_681_000),
        ("mobilenet_v2", "imagenet", 1000, 3_504_872),
        ("shufflenet_v2_x1_0", "imagenet", 1000, 2_278_604),
        ("mnasnet1_0", "imagenet", 1000, 4_383_312),
    ],
)
def test_parameter_counts_are_the_published_ones(name, variant, classes, count):
    params = shapes(create(name, variant, classes=classes), 224)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


# What every model promises.

FAMILIES = [
    ("resnet8", "cifar", 8, ["stem", "layer1", "layer2", "layer3"], 256),
    ("resnet8", "imagenet", 32, ["stem", "layer1", "layer2", "layer3"], 256),
    ("preact_resnet18", "robustbench", 8, ["stem", *(f"layer{i}" for i in range(1, 5))], 512),
    ("preact_resnet18", "fast_adversarial", 8, ["stem", *(f"layer{i}" for i in range(1, 5))], 512),
    ("wideresnet28_10", "cifar", 8, ["stem", "block1", "block2", "block3"], 640),
    ("vgg16_bn", "cifar", 32, ["block1", "block2", "block3", "block4", "block5"], 512),
    ("vgg16", "imagenet", 32, [*(f"block{i}" for i in range(1, 6)), "hidden"], 4096),
    ("alexnet", "imagenet", 64, [*(f"conv{i}" for i in range(1, 6)), "hidden"], 4096),
    ("resnext50_32x4d", "imagenet", 32, ["stem", *(f"layer{i}" for i in range(1, 5))], 2048),
    ("densenet161", "imagenet", 32, ["stem", *(f"denseblock{i}" for i in range(1, 5))], 2208),
    (
        "mobilenet_v2",
        "imagenet",
        32,
        [f"features_{i}" for i in (0, 1, 3, 6, 10, 13, 16, 17, 18)],
        1280,
    ),
    ("shufflenet_v2_x1_0", "imagenet", 32, ["stem", "stage2", "stage3", "stage4", "conv5"], 1024),
    ("mnasnet1_0", "imagenet", 32, ["stem", *(f"layers_{i}" for i in (*range(8, 14), 16))], 1280),
    ("mnist_cnn", "cifar", 8, ["block1"], 1024),
    ("cifar_cnn", "cifar", 8, ["block1", "block2"], 512),
    ("tiny", "cifar", 8, ["block1", "block2"], 32),
]


@pytest.mark.parametrize(("name", "variant", "size", "stages", "dimension"), FAMILIES)
def test_every_stage_is_named_and_r_is_last(name, variant, size, stages, dimension):
    model = create(name, variant)
    x = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    apply = partial(model.apply, train=False)
    logits, reps = jax.eval_shape(apply, shapes(model, size), x)
    assert logits.shape == (2, 9)
    assert sorted(reps) == sorted([*stages, "representation"])
    assert reps["representation"].shape == (2, dimension)


# Some last stages are pooled without a ReLU.
WITH_LAST_RELU = [family[:3] for family in FAMILIES if family[1] != "robustbench"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant", "size"), WITH_LAST_RELU)
def test_straight_through_keeps_values_and_changes_the_gradient(name, variant, size):
    model, x = narrow(name, variant), images(size, 1)
    variables = drawn(model, size)

    @jax.jit
    def gradient_and_values(straight, variables, x):
        # One program for both: compiling is most of this test.
        def last_act(x):
            return jnp.where(
                straight, layers.straight_through(model.last_act)(x), model.last_act(x)
            )

        def total(x):
            logits, reps = model.clone(last_act=last_act).apply(variables, x, False)
            return jnp.sum(reps["representation"]), (logits, reps["representation"])

        return jax.grad(total, has_aux=True)(x)

    gradient, values = gradient_and_values(False, variables, x)
    straight, same = gradient_and_values(True, variables, x)
    for a, b in zip(same, values, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * jnp.max(jnp.abs(b)))
    assert jnp.min(values[1]) == 0.0
    assert jnp.linalg.norm(straight - gradient) > 0.1 * jnp.linalg.norm(gradient)


@pytest.mark.parametrize("name", ["resnet8", "vgg16_bn", "cifar_cnn"])
def test_bfloat16_computes_narrow_and_keeps_variables_and_logits_float32(name):
    model = create(name, dtype="bfloat16")
    x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    variables = shapes(model, 32)
    step = partial(model.apply, train=True, mutable=["batch_stats"])
    (logits, reps), changed = jax.eval_shape(step, variables, x)
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, changed))} == {np.dtype("float32")}
    assert {leaf.dtype for leaf in reps.values()} == {jnp.dtype("bfloat16")}
    assert logits.dtype == jnp.float32


def test_float64_is_float64_throughout(float64):
    model = create("resnet8", dtype="float64", param_dtype="float64")
    x = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float64)
    variables = shapes(model, 8)
    step = partial(model.apply, train=True, mutable=["batch_stats"])
    everything = (variables, jax.eval_shape(step, variables, x))
    assert {leaf.dtype for leaf in jax.tree.leaves(everything)} == {np.dtype("float64")}


@pytest.mark.parametrize(
    ("name", "size"), [("alexnet", 64), ("mobilenet_v2", 32), ("mnasnet1_0", 32)]
)
def test_dropout_only_when_training(name, size):
    model, x = narrow(name, "imagenet"), images(size, 1)
    variables = drawn(model, size)

    @partial(jax.jit, static_argnums=1)
    def logits(variables, train, key):
        (logits, _), _ = model.apply(
            variables, x, train, rngs={"dropout": key}, mutable=["batch_stats"]
        )
        return logits

    one, two = jax.random.key(1), jax.random.key(2)
    np.testing.assert_array_equal(logits(variables, False, one), logits(variables, False, two))
    assert jnp.any(logits(variables, True, one) != logits(variables, True, two))


def test_training_updates_the_statistics_and_evaluation_reads_them():
    model, x = narrow("resnet8", "cifar"), images(8, 3)
    variables = drawn(model, 8)
    train = jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))
    evaluate = jax.jit(partial(model.apply, train=False))
    (trained, _), new = train(variables, x[:2])
    old = variables["batch_stats"]
    changed = jax.tree.map(lambda a, b: np.any(a != b), old, new["batch_stats"])
    assert all(jax.tree.leaves(changed))
    logits = evaluate(variables, x[:2])[0]
    assert not np.allclose(logits, trained)
    # One image's logits do not depend on the others of its batch.
    same = evaluate(variables, x[::2])[0][0]
    np.testing.assert_allclose(same, logits[0], rtol=1e-5, atol=1e-5)


# How they start.


# Of each network some parameters: path, law and scale.
LAWS = {
    ("resnet50", "imagenet"): [
        (("layer4_0", "conv2", "kernel"), "normal", (2 / 4608) ** 0.5),
        (("fc", "kernel"), "uniform", 2048**-0.5),
    ],
    ("resnet50", "cifar"): [
        (("layer4_0", "conv2", "kernel"), "uniform", 4608**-0.5),
        (("linear", "bias"), "uniform", 2048**-0.5),
    ],
    ("vgg16", "imagenet"): [
        (("features_5", "kernel"), "normal", (2 / 1152) ** 0.5),
        (("classifier_6", "kernel"), "normal", 0.01),
    ],
    ("vgg16_bn", "cifar"): [
        (("features_3", "kernel"), "uniform", 576**-0.5),
        (("features_40", "bias"), "uniform", 4608**-0.5),
    ],
    ("preact_resnet18", "fast_adversarial"): [
        (("layer2_0", "shortcut_0", "kernel"), "uniform", 64**-0.5),
        (("linear", "bias"), "uniform", 512**-0.5),
    ],
    ("wideresnet28_10", "cifar"): [
        (("block3", "layer_0", "conv1", "kernel"), "normal", (2 / 5760) ** 0.5),
        (("fc", "kernel"), "uniform", 640**-0.5),
    ],
    ("alexnet", "imagenet"): [
        (("features_3", "kernel"), "uniform", 1600**-0.5),
        (("classifier_4", "bias"), "uniform", 4096**-0.5),
    ],
    ("resnext50_32x4d", "imagenet"): [
        (("layer4_0", "conv2", "kernel"), "normal", (2 / 9216) ** 0.5),  # of 1024 outputs
        (("fc", "kernel"), "uniform", 2048**-0.5),
    ],
    ("densenet161", "imagenet"): [
        (("features", "denseblock1", "denselayer2", "conv1", "kernel"), "normal", (2 / 144) ** 0.5),
        (("classifier", "kernel"), "uniform", 2208**-0.5),
    ],
    ("mobilenet_v2", "imagenet"): [
        (("features_17", "conv_1_0", "kernel"), "normal", (2 / 8640) ** 0.5),
        (("classifier_1", "kernel"), "normal", 0.01),
    ],
    ("shufflenet_v2_x1_0", "imagenet"): [
        (("stage4_0", "branch1_0", "kernel"), "uniform", 9**-0.5),
        (("conv5_0", "kernel"), "uniform", 464**-0.5),
        (("fc", "bias"), "uniform", 1024**-0.5),
    ],
    ("mnasnet1_0", "imagenet"): [
        (("layers_12_1", "layers_3", "kernel"), "normal", (2 / 28800) ** 0.5),
        (("classifier_1", "kernel"), "uniform", (3 / 1000) ** 0.5),
    ],
    ("cifar_cnn", "cifar"): [(("conv2", "kernel"), "uniform", (6 / 576) ** 0.5)],
}


@pytest.mark.parametrize(("name", "variant"), LAWS)
def test_initial_weights_follow_their_law(name, variant):
    model = create(name, variant, classes=1000)

    @jax.jit
    def draw_some(key):
        params = flatten_dict(models.init(model, key, (64, 64, 3))["params"])
        return [params[path] for path, _, _ in LAWS[name, variant]]

    leaves = jax.device_get(draw_some(jax.random.key(0)))
    for leaf, (_, law, scale) in zip(leaves, LAWS[name, variant], strict=True):
        spread = scale if law == "normal" else scale / 3**0.5
        tolerance = 3 / leaf.size**0.5
        assert abs(leaf.std() / spread - 1) < tolerance
        assert abs(leaf.mean()) < tolerance * spread
        assert (np.abs(leaf).max() <= scale) == (law == "uniform")


# The parts they share.


# Kernel, strides, padding and the image's dilation: of one form, however many outputs there are,
ONE_FORM = [
    ((4, 4), (1, 1), ((2, 2), (2, 2)), (2, 2)),
    ((3, 2), (1, 1), ((0, 3), (1, 0)), (2, 3)),
    ((1, 1), (1, 1), ((0, 0), (0, 0)), (2, 2)),
    ((3, 3), (2, 2), ((1, 1), (1, 1)), (2, 2)),
    ((11, 11), (1, 1), ((5, 5), (4, 6)), (2, 1)),
    ((20, 3), (1, 1), ((2, 2), (1, 1)), (2, 1)),
    ((1, 1), (1, 1), "VALID", None),
    ((1, 1), (2, 2), ((0, 0), (0, 0)), None),
    ((1, 1), (3, 2), "SAME", None),
    ((1, 1), (1, 1), ((1, 0), (0, 2)), None),
]
# ... and of a product for few outputs, parts for more, and places where they are called many.
FOUR_FORMS = [
    ((2, 2), (1, 1), "VALID", None),
    ((2, 4), (2, 2), "SAME", None),
    ((3, 3), (1, 1), ((1, 1), (1, 1)), None),
    ((3, 3), (2, 2), [(1, 1), (1, 1)], None),
    ((3, 3), (2, 2), "SAME", None),
    ((3, 2), (3, 2), ((2, 0), (1, 3)), None),
    ((5, 5), (1, 1), ((2, 2), (2, 2)), None),
    ((7, 7), (2, 2), ((3, 3), (3, 3)), None),
    ((6, 6), (4, 4), ((2, 2), (2, 2)), None),
]
# Inputs, outputs, the most numbers of a part, and how many channels are many.
CHANNELS = [(3, 4, 2**17, 2**15), (3, 17, 2**17, 2**15), (3, 17, 1, 2**15), (5, 16, 1, 1)]
CONVOLUTIONS = [
    *itertools.product(ONE_FORM, CHANNELS[:2]),
    *itertools.product(FOUR_FORMS, CHANNELS),
]


@pytest.mark.slow
@pytest.mark.parametrize(("geometry", "channels"), CONVOLUTIONS)
def test_convolution_is_the_stock_one_to_the_second_derivative(
    geometry, channels, float64, monkeypatch
):
    inputs, outputs, part, many = channels
    monkeypatch.setattr(convolution, "_PART", part)
    monkeypatch.setattr(convolution, "_MANY_CHANNELS", many)
    convolution._on_cpu.cache_clear()  # what it has made may be traced, with another _PART
    actual = derivatives(convolution.convolution, geometry, inputs, outputs)
    expected = stock_derivatives(repr(geometry), inputs, outputs)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    "geometry",
    [
        ((3, 3), (1, 1), ((1, 1), (1, 1)), None),
        ((3, 3), (2, 2), ((1, 1), (1, 1)), None),
        ((5, 3), (2, 1), ((2, 2), (0, 1)), None),
        ((2, 4), (3, 2), ((0, 1), (5, 2)), None),
        ((1, 1), (2, 2), "VALID", None),
        ((3, 3), (2, 2), "SAME", None),
    ],
)
def test_depthwise_convolution_is_the_stock_one_to_the_second_derivative(geometry, float64):
    fast, stock = (
        derivatives(partial(conv, feature_group_count=4), geometry, 4, 4, 1)
        for conv in (convolution.convolution, lax.conv_general_dilated)
    )
    for a, b in zip(jax.tree.leaves(fast), jax.tree.leaves(stock), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())


@pytest.mark.parametrize(("groups", "outputs"), [(4, 4), (2, 4), (4, 8)])
def test_only_a_depthwise_convolution_is_a_sum_on_a_cpu(groups, outputs):
    def f(x, w):
        options = {"dimension_numbers": NHWC, "feature_group_count": groups}
        return jnp.sum(convolution.convolution(x, w, (2, 2), "SAME", **options) ** 2)

    w = jnp.ones((3, 3, 4 // groups, outputs))
    program = on_a_cpu(jax.grad(f, (0, 1)), jnp.ones((2, 8, 8, 4)), w)
    assert ("stablehlo.convolution" not in program) == (groups == outputs)


@cache  # in the cases that differ in what is called a part, or many
def stock_derivatives(geometry, inputs, outputs):
    return derivatives(lax.conv_general_dilated, ast.literal_eval(geometry), inputs, outputs)


def derivatives(conv, geometry, inputs, outputs, kernel_inputs=None):
    """Return the value of a convolution's sine, its first two gradients, and its tangent."""
    kernel, strides, padding, dilation = geometry
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 9, 8, inputs))
    w = rng.standard_normal((*kernel, kernel_inputs or inputs, outputs))
    dx, dw = rng.standard_normal(x.shape), rng.standard_normal(w.shape)

    def f(x, w):
        return jnp.sin(conv(x, w, strides, padding, dilation, dimension_numbers=NHWC))

    gradient = jax.grad(lambda x, w: jnp.sum(f(x, w)), (0, 1))

    def square(x, w):
        gradients = gradient(x, w)
        return sum(jnp.sum(g**2) for g in gradients), gradients

    @jax.jit
    def everything(x, w, dx, dw):
        second, first = jax.grad(square, (0, 1), has_aux=True)(x, w)
        return first, second, jax.jvp(f, (x, w), (dx, dw))

    return everything(x, w, dx, dw)


@pytest.mark.parametrize(
    ("size", "inputs", "outputs", "product"),
    [(1, 64, 64, True), (3, 3, 16, True), (3, 5, 16, False), (3, 3, 32, False)],
)
def test_convolution_takes_its_two_fast_forms_on_a_cpu(size, inputs, outputs, product):
    def f(x, w):
        return jnp.sum(convolution.convolution(x, w, (1, 1), "VALID", dimension_numbers=NHWC))

    x, w = jnp.ones((1, 5, 5, inputs)), jnp.ones((size, size, inputs, outputs))
    program = on_a_cpu(jax.value_and_grad(f, (0, 1)), x, w)
    assert ("dot_general" in program) == product
    # Forward, image's gradient, kernel's gradient: all in the layout that is fast in a loop too.
    fast = "dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"
    assert program.count(fast) == (0 if product else 3)
    assert program.count("stablehlo.convolution") == (0 if product else 3)


def on_a_cpu(f, *arguments):
    """Return the program that a CPU runs: a trace holds other platforms' forms too."""
    return jax.jit(f).lower(*arguments).as_text()


def test_convolution_of_an_image_smaller_than_the_kernel_is_a_product_on_a_cpu():
    def f(x, w):
        return jnp.sum(convolution.convolution(x, w, (1, 1), "SAME", dimension_numbers=NHWC))

    w = jnp.ones((3, 3, 64, 64))
    for side, product in ((2, True), (4, False)):
        program = on_a_cpu(jax.grad(f, (0, 1)), jnp.ones((5, side, side, 64)), w)
        assert ("stablehlo.convolution" not in program) == product


@pytest.mark.parametrize(("inputs", "dilated"), [(3, False), (5, True)])
def test_gradient_of_images_of_few_channels_is_of_blocks_on_a_cpu(inputs, dilated):
    def f(x, w):
        y = convolution.convolution(x, w, (2, 2), "SAME", dimension_numbers=NHWC)
        return jnp.sum(y**2)

    program = on_a_cpu(jax.grad(f), jnp.ones((2, 16, 16, inputs)), jnp.ones((7, 7, inputs, 20)))
    assert ("lhs_dilate = [2, 2]" in program) == dilated


def gradient_of_kernel(images, inputs, outputs, side=16):
    """Return the program of a CPU for the gradient of a 3x3 kernel."""

    def f(w, x):
        return jnp.sum(convolution.convolution(x, w, (1, 1), "SAME", dimension_numbers=NHWC))

    shapes = (3, 3, inputs, outputs), (images, side, side, inputs)
    return on_a_cpu(jax.grad(f), *(jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes))


@pytest.mark.parametrize(("images", "size"), [(4, 4), (8, 4), (6, 3), (7, 4)])
def test_kernels_gradient_is_of_as_many_images_as_fit_into_a_part(images, size):
    """128 outputs of 16x16 pixels are 2**15 numbers; a last part has zeros for what it lacks."""
    program = gradient_of_kernel(images, 8, 128)
    assert ("while" in program) == (size < images) and "dot_general" not in program
    assert f"tensor<{size}x16x16x128xf32>" in program


def test_kernels_gradient_in_bfloat16_is_added_in_float32():
    def gradient(conv, dtype):
        x, w = (jax.random.uniform(jax.random.key(0), s, dtype) for s in ((127, 16, 16, 4), shape))
        f = lambda w: jnp.sum(conv(x, w, (1, 1), "SAME", dimension_numbers=NHWC))  # noqa: E731
        return np.asarray(jax.jit(jax.grad(f))(w), np.float32)

    shape = (3, 3, 4, 32)
    ours, stock = (
        gradient(conv, jnp.bfloat16) for conv in (convolution.convolution, lax.conv_general_dilated)
    )
    np.testing.assert_allclose(ours, stock, rtol=0.01)


@pytest.mark.parametrize(
    ("inputs", "outputs", "side", "products"),
    [(128, 256, 4, 9), (128, 128, 4, 0), (64, 64, 96, 9), (32, 64, 96, 0)],
)
def test_kernels_gradient_of_many_channels_or_outputs_is_a_product_a_place(
    inputs, outputs, side, products
):
    program = gradient_of_kernel(2, inputs, outputs, side)
    assert program.count("dot_general") == products


def test_a_product_has_two_axes():
    """With more, XLA:CPU turns a cotangent around for the kernel's gradient."""

    def f(w, x):
        return jnp.sum(convolution.convolution(x, w, (1, 1), "SAME", dimension_numbers=NHWC))

    program = on_a_cpu(jax.grad(f), jnp.ones((1, 1, 8, 16)), jnp.ones((2, 5, 5, 8)))
    assert "contracting_dims = [0] x [0]" in program and "[0, 1, 2]" not in program


@pytest.mark.parametrize(("size", "stride", "pad"), [(4, 2, 1), (4, 1, 1), (4, 1, 0), (3, 3, 2)])
def test_transposed_convolution_is_flax_s(size, stride, pad):
    x = images(8)
    layer = layers.conv_transposed(5, size, stride, pad)
    pads = ((size - 1 - pad,) * 2,) * 2
    stock = nn.ConvTranspose(5, (size, size), (stride, stride), pads)
    outputs, expected = (
        jax.jit(each.init_with_output)(jax.random.key(0), x) for each in (layer, stock)
    )
    jax.tree.map(np.testing.assert_array_equal, outputs, expected)


def test_kernel_of_a_dilated_convolution_meets_no_zeros_in_its_gradient():
    def f(w):
        dilated = convolution.convolution(
            jnp.ones((1, 6, 6, 2)), w, (1, 1), ((2, 2), (2, 2)), (2, 2), dimension_numbers=NHWC
        )
        return jnp.sum(dilated)

    program = on_a_cpu(jax.grad(f), jnp.ones((4, 4, 2, 3)))
    backward = program.split("stablehlo.convolution")[-1]
    assert "lhs_dilate = [1, 1], rhs_dilate = [2, 2]" in backward


@pytest.mark.parametrize("outputs", [2, 17])
def test_convolution_holds_in_a_scan_and_under_vmap(outputs, float64):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((3, 1, 6, 6, 2)), rng.standard_normal((3, 3, 2, outputs))
    w /= 4  # steps that do not amplify what rounding leaves

    def descend(conv, x, w):
        def loss(x):
            return jnp.sum(jnp.sin(conv(x, w, (2, 2), "SAME", dimension_numbers=NHWC)))

        return lax.scan(lambda x, _: (x - 0.1 * jax.grad(loss)(x), None), x, None, length=5)[0]

    fast = partial(descend, convolution.convolution)
    stock = jax.jit(partial(descend, lax.conv_general_dilated))
    actual = jax.jit(jax.vmap(fast, (0, None)))(x, w)
    expected = np.stack([stock(image, w) for image in x])
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    kernels = np.stack([w, 2 * w, -w])
    actual = jax.jit(jax.vmap(fast))(x, kernels)
    expected = np.stack([stock(*pair) for pair in zip(x, kernels, strict=True)])
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "exotic",
    [
        {"lhs_dilation": (2, 2)},
        {"rhs_dilation": (2, 1)},
        {"feature_group_count": 2},
        {"dimension_numbers": ("NHWC", "HWOI", "NHWC")},
        {"preferred_element_type": jnp.float32},
    ],
)
@pytest.mark.parametrize("size", [1, 3])
def test_convolution_passes_every_option_on(exotic, size):
    channels = 2 if "feature_group_count" in exotic else 4
    x = images(8)[..., [0, 1, 2, 0]].astype(jnp.bfloat16)
    w = jnp.linspace(-1, 1, size * size * channels * 4, dtype=jnp.bfloat16)
    w = w.reshape(size, size, channels, 4)
    options = {"dimension_numbers": NHWC} | exotic
    pads = ((0, 0), (0, 0))
    actual = convolution.convolution(x, w, (1, 1), pads, **options)
    expected = lax.conv_general_dilated(x, w, (1, 1), pads, **options)
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(np.float32(actual), np.float32(expected), atol=0.02)


POOLS = {
    "2x2": (layers.max_pool, ((2, 2), (2, 2))),
    "3x3": (partial(layers.overlapping_max_pool, pad=0), ((3, 3), (2, 2))),
    "3x3 padded": (partial(layers.overlapping_max_pool, pad=1), ((3, 3), (2, 2), ((1, 1),) * 2)),
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("size", [(7, 6), (8, 9)])
def test_max_pool_is_flax_s_and_its_gradient_goes_to_the_first_of_equals(name, size, float64):
    pool, geometry = POOLS[name]
    # Few values: many are equal.
    x = np.random.default_rng(0).integers(0, 3, (2, *size, 3)).astype(np.float64)

    @partial(jax.jit, static_argnums=0)
    def derivatives(pool, x):
        def weighed(x):
            y = pool(x)
            return jnp.sum(jnp.sin(y) * jnp.arange(y.size).reshape(y.shape)), y

        gradient, y = jax.grad(weighed, has_aux=True)(x)
        return y, gradient, jax.jvp(jax.grad(lambda x: weighed(x)[0]), (x,), (x,))[1]

    actual, expected = derivatives(pool, x), derivatives(lambda x: nn.max_pool(x, *geometry), x)
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("name", POOLS)
def test_max_pool_passes_nan_on_from_every_place(name):
    pool, ((rows, columns), *_) = POOLS[name]
    side = rows - 1 if "padded" in name else rows  # the rest of the first window is padding
    nan = np.ones((side * side, side, columns, 1), np.float32)
    for place in range(side * side):
        nan[place, place // side, place % side] = np.nan
    assert jnp.isnan(jax.jit(pool)(nan)[:, 0, 0]).all()


@pytest.mark.parametrize("n", [1, 2])
def test_relu_is_the_stock_one_to_the_second_derivative(n, float64):
    """Of an image, whose derivative is read off the output, and of a batch."""
    x = np.random.default_rng(0).integers(-2, 3, (3, n, 4, 2)).astype(np.float64)  # zeros too
    x[0, 0, 0, 0] = np.nan

    @partial(jax.jit, static_argnums=0)
    def derivatives(relu, x):
        def f(x):
            return jnp.sin(relu(x**2 - 1))

        def gradient(x):
            return jax.grad(lambda x: jnp.sum(f(x)))(x)

        return jax.vmap(lambda x: (f(x), gradient(x), jax.jvp(gradient, (x,), (x,))[1]))(x)

    jax.tree.map(
        np.testing.assert_array_equal, derivatives(layers.relu, x), derivatives(nn.relu, x)
    )


@pytest.mark.parametrize("act", [layers.relu, layers.relu6])
def test_straight_through_is_the_activation_forward_and_the_identity_backward(act):
    x = jnp.array([-3.7, -1e-30, 0.0, 1e-30, 2.3, 6.0, 6.1, 1e30])
    through = layers.straight_through(act)
    np.testing.assert_array_equal(through(x), act(x))
    slope = jax.grad(lambda x: through(x).sum())(x)
    np.testing.assert_array_equal(slope, jnp.ones(8))


def test_relu6_is_torchs_its_derivative_too():
    x = jnp.array([-3.7, 0.0, 1e-30, 2.3, 6.0, 6.1, jnp.nan])
    y, pull = jax.vjp(layers.relu6, x)
    np.testing.assert_array_equal(y, np.float32([0, 0, 1e-30, 2.3, 6, 6, np.nan]))
    np.testing.assert_array_equal(pull(jnp.ones(7))[0][:-1], [0, 0, 1, 1, 0, 0])


def test_avg_pool_takes_means_of_whole_blocks_alone():
    x = np.arange(15, dtype=np.float32).reshape(1, 3, 5, 1)
    np.testing.assert_array_equal(layers.avg_pool(x).ravel(), [3, 5])
    with pytest.raises(BadInput, match="pooled until none is left"):
        layers.avg_pool(x[:, :1])


@pytest.mark.parametrize(
    ("row", "size", "pooled"),
    [
        ([1, 2, 3], 2, [1.5, 2.5]),
        ([1, 2], 7, [1, 1, 1, 1.5, 2, 2, 2]),
        ([1, 2, 3, 6], 1, [3]),
        ([1, 2, 4, 8, 16], 3, [1.5, 14 / 3, 12]),
    ],
)
def test_adaptive_pool_has_torchs_bins_along_each_axis(row, size, pooled):
    across = np.float32(row)[None, None, :, None] * np.ones((2, 2, 1, 3), np.float32)
    down = across.swapaxes(1, 2)
    expected = np.array(pooled)[None, None, :, None] * np.ones((2, 2, 1, 3))
    np.testing.assert_allclose(layers.adaptive_avg_pool(across, (2, size)), expected, rtol=1e-6)
    expected = expected.swapaxes(1, 2)
    np.testing.assert_allclose(layers.adaptive_avg_pool(down, (size, 2)), expected, rtol=1e-6)


def test_adaptive_pool_to_its_own_size_is_the_identity():
    x = images(7)
    assert layers.adaptive_avg_pool(x, (7, 7)) is x


def test_batch_norm_averages_the_biased_variance_as_documented():
    norm = layers.batch_norm(True, dtype=jnp.float32, param_dtype=jnp.float32)
    x = np.float32([0, 2, 4, 10]).reshape(4, 1, 1, 1)
    variables = jax.jit(norm.init)(jax.random.key(0), x)
    y, changed = jax.jit(partial(norm.apply, mutable=["batch_stats"]))(variables, x)
    # Mean 4 and biased variance 14 move averages that started at 0 and 1 by a tenth.
    np.testing.assert_allclose(changed["batch_stats"]["mean"], [0.4], rtol=1e-6)
    np.testing.assert_allclose(changed["batch_stats"]["var"], [0.9 + 1.4], rtol=1e-6)
    np.testing.assert_allclose(y, (x - 4) / np.sqrt(14 + 1e-5), rtol=1e-5)


def test_mnasnet_averages_its_statistics_as_slowly_as_torchvisions():
    model = narrow("mnasnet1_0", "imagenet")
    x, variables = images(32), drawn(model, 32)
    step = partial(
        model.apply, train=True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(0)}
    )
    _, changed = jax.jit(step)(variables, x)
    zeroed = variables | {"batch_stats": jax.tree.map(jnp.zeros_like, variables["batch_stats"])}
    _, new = jax.jit(step)(zeroed, x)
    # The rest, of the batch, is the same.
    kept = jax.tree.map(lambda a, b: a - b, changed["batch_stats"], new["batch_stats"])
    for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(variables["batch_stats"]), strict=True):
        np.testing.assert_allclose(a, 0.9997 * b, rtol=1e-4, atol=1e-4)


def test_normalize_standardizes_each_channel():
    x = jnp.array([0.5, 1.0]).reshape(1, 1, 1, 2)
    y = layers.normalize(x, (0.5, 0.2), (0.1, 0.4), jnp.float32)
    np.testing.assert_allclose(y.ravel(), [0.0, 2.0], rtol=1e-6)


@pytest.mark.parametrize(
    "x", [np.zeros((1, 4, 4, 1), np.float32), np.zeros((1, 4, 4, 3), np.uint8)]
)
def test_normalize_refuses_other_channels_and_bytes(x):
    with pytest.raises(BadInput, match="floating point with 3 channels"):
        layers.normalize(x, MEAN, STD, jnp.float32)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "resnet51"}, "name 'resnet51': choose from resnet8, resnet18"),
        ({"variant": "mnist"}, "variant of resnet8 'mnist': choose from imagenet, cifar"),
        (
            {"name": "preact_resnet18"},
            "variant of preact_resnet18 'cifar': choose from pytorch_cifar, robustbench, fast",
        ),
        ({"name": "alexnet"}, "variant of alexnet 'cifar': choose from imagenet"),
        ({"name": "vgg16", "width": 32}, "width of vgg16 32: choose from 64"),
        ({"width": 0}, "width 0: it must be at least 1"),
        (
            {"name": "resnext50_32x4d", "variant": "imagenet", "width": 24},
            "width 24: it must be a multiple of 16",
        ),
        ({"name": "mobilenet_v2"}, "variant of mobilenet_v2 'cifar': choose from imagenet"),
        (
            {"name": "densenet161", "variant": "imagenet", "width": 32},
            "width of densenet161 32: choose from 64",
        ),
        ({"classes": 0}, "classes 0: it must be at least 1"),
        ({"mean": (0.5,)}, "one number a channel"),
        ({"std": (0.2, 0.0, 0.2)}, "std positive"),
        ({"dtype": "float31"}, "dtype 'float31': choose from float32, bfloat16, float64"),
        ({"param_dtype": "half"}, "param_dtype 'half': choose from"),
    ],
)
def test_create_names_the_value_and_the_choices(fields, message):
    with pytest.raises(BadInput, match=message) as error:
        models.create(config(**fields))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "variant", "size"),
    [
        ("vgg16_bn", "cifar", 31),
        ("vgg16", "imagenet", 16),
        ("alexnet", "imagenet", 32),
        ("densenet161", "imagenet", 28),
        ("tiny", "cifar", 3),  # a Linear layer of no features, and constant logits
    ],
)
def test_a_size_of_which_no_pixel_is_left_is_named(name, variant, size):
    message = rf"{name} \({variant}\) cannot take images of {size} pixels \(pooled until none is "
    with pytest.raises(BadInput, match=message) as error:
        models.variable_shapes(config(name=name, variant=variant), size)
    assert "\n" not in str(error.value)


def test_an_image_of_another_size_than_the_linear_layers_is_named():
    model = create("tiny")
    apply = models.frozen(model, drawn(model, 8))
    for shape in ((16, 16), (8, 16), (2, 2)):
        with pytest.raises(BadInput, match=r"an image of .* pixels: the Linear|pooled until none"):
            apply(np.zeros((*shape, 3), np.float32))


def test_a_small_width_makes_a_small_resnet():
    params = shapes(create("resnet8", width=16), 8)["params"]
    assert params["conv1"]["kernel"].shape == (3, 3, 3, 16)
    assert params["linear"]["kernel"].shape == (64, 9)
