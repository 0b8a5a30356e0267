"""Decoders have the published sizes and counts, and give back the size of the image."""

from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax import BadInput, models
from rrjax.models import decoders, layers
from rrjax.models.decoders import Decoder, WaveletDecoder, mirror
from rrjax.models.discriminator import Discriminator
from rrjax.runs import defaults

ALEXNET = {
    "conv5_transposed": ("conv5", decoders.CONV5_TRANSPOSED, 4_753_370),
    "conv5_nearest": ("conv5", decoders.CONV5_NEAREST, 3_208_570),
    "conv2": ("conv2", decoders.CONV2_NEAREST, 1_320_442),
    "conv1": ("conv1", decoders.CONV1_NEAREST, 209_578),
}
DETAILS = ("details5", "details2", "details1")


def array(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def shapes(module, *inputs):
    return jax.eval_shape(partial(module.init, train=False), jax.random.key(0), *inputs)


def traced(module, *inputs):
    """Return the shapes of a module's outputs, by one trace of its initialization."""
    run = partial(module.init_with_output, train=False)
    return jax.eval_shape(run, jax.random.key(0), *inputs)[0]


def output(module, *inputs):
    """Return the shape of a module's output for inputs of these shapes."""
    return traced(module, *inputs).shape


def count(module, *inputs):
    return sum(leaf.size for leaf in jax.tree.leaves(shapes(module, *inputs)["params"]))


def images(*shape):
    return jnp.asarray(np.random.default_rng(1).random(shape, np.float32))


def drawn(template):
    """Variables of these shapes from numpy: no draw to compile, statistics not 0 and 1."""
    rng = np.random.default_rng(0)

    def leaf(path, x):
        low, high = (-0.1, 0.1) if path[-1].key == "kernel" else (0.5, 1.5)
        return jnp.asarray(rng.uniform(low, high, x.shape), x.dtype)

    return jax.tree_util.tree_map_with_path(leaf, template)


@cache  # so that tests of one module share its program
def evaluate(module):
    return jax.jit(partial(module.apply, train=False))


def encoder(name, variant="imagenet", **fields):
    config = defaults.get_config().model
    config.update(name=name, variant=variant, classes=5, **fields)
    return models.create(config)


def stages(model, *shape):
    """Return the shapes of every stage of images (1, H, W, 3)."""
    return traced(model, array(1, *shape))[1]


# What is published.


@pytest.mark.parametrize(("stage", "rows", "expected"), ALEXNET.values(), ids=ALEXNET)
def test_alexnets_decoders_have_the_published_count(stage, rows, expected):
    features = stages(encoder("alexnet"), 224, 224, 3)[stage]
    assert count(Decoder(rows, 3), features) == expected


def test_the_wavelet_decoder_has_the_published_count():
    reps = stages(encoder("alexnet").clone(haar=True), 224, 224, 3)
    details = [reps[name] for name in DETAILS]
    assert [x.shape[1:4] for x in details] == [(3, 6, 6), (3, 13, 13), (3, 27, 27)]
    assert count(WaveletDecoder(), reps["conv5"], details) == 2_574_778


def test_the_discriminator_has_the_published_count():
    images, features = array(2, 224, 224, 3), array(2, 6, 6, 256)
    assert count(Discriminator(), images, features) == 11_372_353
    assert output(Discriminator(), images, features) == (2,)


def test_sizes_on_the_way_are_the_published_ones():
    table, sides = decoders.CONV5_TRANSPOSED, []
    for i in range(1, len(table) + 1):
        rows = decoders.Rows(table[:i], jnp.float32, jnp.float32)
        sides.append(output(rows, array(1, 6, 6, 256))[1])
    assert sides == [6, 7, 7, 14, 14, 28, 28, 56, 56, 112, 112, 224]


# The size of the image comes back.


@pytest.mark.parametrize("shape", [(64, 96), (160, 128), (224, 352)])
@pytest.mark.parametrize(("stage", "rows", "_"), ALEXNET.values(), ids=ALEXNET)
def test_alexnets_decoders_give_back_multiples_of_32(stage, rows, _, shape):
    features = stages(encoder("alexnet"), *shape, 3)[stage]
    assert output(Decoder(rows, 3), features) == (1, *shape, 3)


@pytest.mark.parametrize("shape", [(64, 96), (160, 128), (224, 352)])
def test_the_wavelet_decoder_gives_back_multiples_of_32(shape):
    plain = encoder("alexnet")
    reps = stages(plain.clone(haar=True), *shape, 3)
    for stage, features in stages(plain, *shape, 3).items():
        assert reps[stage].shape == features.shape
    details = [reps[name] for name in DETAILS]
    assert output(WaveletDecoder(), reps["conv5"], details) == (1, *shape, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variant", "strides"),
    [
        ("resnet18", "imagenet", {"stem": 4, "layer1": 4, "layer2": 8, "layer4": 32}),
        ("resnet18", "cifar", {"stem": 1, "layer1": 1, "layer3": 4, "layer4": 8}),
        ("resnet50", "imagenet", {"layer3": 16, "layer4": 32}),
        ("resnet50", "cifar", {"layer3": 4, "layer4": 8}),
        ("vgg16", "imagenet", {"block3": 8, "block5": 32}),
        ("vgg16_bn", "cifar", {"block1": 2, "block4": 16, "block5": 32}),
        ("cifar_cnn", "cifar", {"block1": 2, "block2": 4}),
    ],
)
def test_a_mirror_gives_back_every_multiple_of_its_stride(name, variant, strides):
    model = encoder(name, variant)
    for rows, columns in ((1, 2), (3, 1)):
        smallest = 32 if name.startswith("vgg") else max(strides.values())
        shape = (rows * smallest, columns * smallest, 3)
        reps = stages(model, *shape)
        for stage, stride in strides.items():
            features = reps[stage]
            assert features.shape[1:3] == (shape[0] // stride, shape[1] // stride)
            decoder = Decoder(mirror(stride, features.shape[-1]), 3)
            assert output(decoder, features) == (1, *shape)


def test_a_mirror_halves_channels_between_512_and_32():
    assert [width for _, width in mirror(8, 2048)] == [512, 256, 256, 128, 128, 64, 64]
    assert [width for _, width in mirror(8, 64)] == [64, 32, 32, 32, 32, 32, 32]
    assert mirror(1, 64) == ((decoders.same, 64),)


@pytest.mark.parametrize("stride", [0, 3, -2, 12])
def test_a_stride_that_is_no_power_of_two_is_named(stride):
    with pytest.raises(BadInput, match=f"stride {stride} of the stage"):
        mirror(stride, 64)


# What they compute.


class Convolution(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        types = {"dtype": jnp.float64, "param_dtype": jnp.float64}
        return decoders.double(x, 5, train, name="conv", **types)


def test_a_kernels_scale_changes_nothing_and_its_norm_becomes_one(float64):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((1, 3, 3, 4)), rng.standard_normal((4, 4, 4, 5))
    apply = jax.jit(partial(Convolution().apply, mutable=["batch_stats"]), static_argnums=2)
    u = {"conv_spectral": {"conv/kernel/u": jnp.ones((1, 5)), "conv/kernel/sigma": jnp.ones(())}}
    variables = {"params": {"conv": {"kernel": jnp.asarray(kernel)}}, "batch_stats": u}
    for _ in range(300):
        y, changed = apply(variables, x, True)
        variables |= changed
    plain = nn.ConvTranspose(5, (4, 4), (2, 2), "SAME", use_bias=False)
    largest = np.linalg.norm(kernel.reshape(-1, 5), 2)
    by_svd = {"params": {"kernel": jnp.asarray(kernel / largest)}}
    np.testing.assert_allclose(y, plain.apply(by_svd, x), rtol=1e-8, atol=1e-8)
    larger = variables | {"params": {"conv": {"kernel": jnp.asarray(7 * kernel)}}}
    np.testing.assert_allclose(apply(larger, x, False)[0], y, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("norm", [0.3, 5.0])
def test_a_bounded_kernel_is_divided_where_its_norm_is_above_one(float64, norm):
    """As in the code of Kim et al.: w / max(sigma, 1)."""

    class Bounded(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            layer = nn.Dense(3, use_bias=False, name="layer", param_dtype=jnp.float64)
            return layers.spectral_bound(layer, x, train)

    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, 4)), rng.standard_normal((4, 3))
    kernel *= norm / np.linalg.norm(kernel, 2)
    variables = Bounded().init(jax.random.key(0), x, False)
    variables |= {"params": {"layer": {"kernel": jnp.asarray(kernel)}}}
    apply = jax.jit(partial(Bounded().apply, mutable=["batch_stats"]), static_argnums=2)
    for _ in range(100):
        y, changed = apply(variables, x, True)
        variables |= changed
    np.testing.assert_allclose(y, x @ kernel / max(norm, 1), rtol=1e-8)


def small():
    """Return a mirror decoder, its variables, and a batch of features."""
    decoder, features = Decoder(mirror(2, 4), 1), np.asarray(images(4, 3, 2, 4)) - np.float32(0.5)
    return decoder, drawn(shapes(decoder, features)), features


def test_pictures_are_in_the_unit_interval_and_may_be_gray():
    decoder, variables, features = small()
    pictures = evaluate(decoder)(variables, 100 * features)
    assert pictures.shape == (4, 6, 4, 1)
    assert 0 <= pictures.min() < pictures.max() <= 1


def test_one_image_does_not_depend_on_its_batch():
    decoder, variables, features = small()
    batch, others = evaluate(decoder)(variables, features), features[[0, 3, 3, 1]]
    alone = evaluate(decoder)(variables, others)[0]
    np.testing.assert_allclose(alone, batch[0], rtol=1e-5, atol=1e-5)


def test_training_moves_every_statistic_and_reaches_every_parameter():
    decoder, variables, features = small()

    @jax.jit
    @partial(jax.grad, argnums=(0, 1), has_aux=True)
    def gradients(params, features):
        pictures, new = decoder.apply(
            variables | {"params": params}, features, train=True, mutable=["batch_stats"]
        )
        return jnp.sum(pictures**2), new["batch_stats"]

    by_both, statistics = gradients(variables["params"], features)
    for gradient in jax.tree.leaves(by_both):
        assert np.isfinite(gradient).all() and np.any(np.asarray(gradient) != 0)
    old = variables["batch_stats"]
    changed = jax.tree.map(lambda a, b: np.any(np.asarray(a) != np.asarray(b)), old, statistics)
    assert all(jax.tree.leaves(changed))


def test_details_reach_the_picture():
    decoder = WaveletDecoder()
    reps = stages(encoder("alexnet").clone(haar=True), 64, 64, 3)
    inputs = reps["conv5"], [reps[name] for name in DETAILS]
    variables = drawn(shapes(decoder, *inputs))

    @jax.jit
    @partial(jax.grad, argnums=(1, 2))
    def gradients(variables, features, details):
        return jnp.sum(decoder.apply(variables, features, details, train=False)[:, ::3])

    by_inputs = gradients(variables, *jax.tree.map(lambda x: images(*x.shape), inputs))
    for gradient in jax.tree.leaves(by_inputs):
        assert np.isfinite(gradient).all() and np.any(np.asarray(gradient) != 0)


def test_bfloat16_decodes_to_float32():
    decoder = Decoder(mirror(2, 4), 3, dtype=jnp.bfloat16)
    features = array(1, 2, 2, 4)
    variables = shapes(decoder, features)
    apply = partial(decoder.apply, train=True, mutable=["batch_stats"])
    outputs = jax.eval_shape(apply, variables, features)
    assert {x.dtype for x in jax.tree.leaves((variables, outputs))} == {np.dtype("float32")}


# The encoder of the wavelets, and the discriminator.


def test_haar_pooling_keeps_the_parameters_and_returns_all_bands():
    plain, x = encoder("alexnet"), images(1, 64, 64, 3)
    pooled, template = plain.clone(haar=True), shapes(plain, x)
    assert shapes(pooled, x) == template
    reps = jax.jit(lambda *inputs: evaluate(pooled)(*inputs)[1])(drawn(template), x)
    # The bands of what a ReLU made: none is larger than the average's.
    for stage, details in (("conv1", "details1"), ("conv2", "details2"), ("conv5", "details5")):
        assert jnp.any(reps[details] != 0)
        assert jnp.all(jnp.abs(reps[details]) <= 1.0001 * reps[stage][:, None])


def test_the_discriminator_sees_image_and_features_and_drops_when_training():
    discriminator = Discriminator(stride=1)
    pictures, features = images(2, 19, 20, 1), images(2, 3, 1, 2)
    variables = drawn(shapes(discriminator, pictures, features))

    @jax.jit
    @partial(jax.grad, argnums=(1, 2))
    def gradients(variables, *inputs):
        return discriminator.apply(variables, *inputs, train=False)[0]

    for gradient in gradients(variables, pictures, features):
        assert jnp.any(gradient[0] != 0)
        np.testing.assert_array_equal(gradient[1], jnp.zeros_like(gradient[1]))

    @jax.jit
    def train(variables, key):
        apply = partial(discriminator.apply, mutable=["batch_stats"])
        return apply(variables, pictures, features, train=True, rngs={"dropout": key})[0]

    one, two = (train(variables, jax.random.key(seed)) for seed in (1, 2))
    assert jnp.all(one != two)


@pytest.mark.parametrize(("stride", "smallest"), [(4, 61), (1, 19)])
def test_the_discriminator_names_images_that_are_too_small(stride, smallest):
    discriminator, features = Discriminator(stride=stride), array(1, 8)
    assert output(discriminator, array(1, smallest, smallest, 3), features) == (1,)
    with pytest.raises(BadInput, match=f"too small for a discriminator of stride {stride}"):
        output(discriminator, array(1, smallest - 1, smallest, 3), features)
