"""The autoencoder: its losses by hand, what its steps move and leave, its folder, its sizes."""

import json
import shutil
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax import BadInput, data, models, runs
from rrjax.configs import (
    autoencoder_alexnet,
    autoencoder_digits,
    autoencoder_imagenet,
    robust_digits,
)
from rrjax.core import manifold
from rrjax.models import autoencoder as parts
from rrjax.models import folding
from rrjax.runs import checkpoints, defaults
from rrjax.train import loop, parallel
from rrjax.train.tasks import autoencoder as task


def drawn(path, shape):
    """Draw a variable by numpy: nothing to compile."""
    rng = np.random.default_rng(len(str(path)) + shape.size)
    low, high = (-0.3, 0.3) if path[-1].key in ("kernel", "mean", "bias") else (0.5, 1.5)
    return jnp.asarray(rng.uniform(low, high, shape.shape), jnp.float32)


def write_encoder(folder, **fields):
    """Make a run folder of a network that is not trained."""
    config = robust_digits.get_config()
    config.model.update({"width": 2} | fields)
    model = models.create(config.model)
    shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0), (16, 16, 1)))
    variables = {"batch_stats": {}} | jax.tree_util.tree_map_with_path(drawn, shapes)
    runs.create_run_dir(folder, config)
    checkpoints.save_once(folder, variables)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("autoencoder") / "encoder")


def config(encoder, **changes):
    c = autoencoder_digits.get_config()
    changes = {k.replace("__", "."): v for k, v in changes.items()}
    small = {"epochs": 1, "batch_size": 72, "save_every": 1, "model.encoder": str(encoder)}
    # One class, as anomaly detection trains.
    small |= {
        "loss.feature": 0.01,
        "data.groups": ((3,),),
        "data.group_names": ("three",),
        "model.classes": 1,
    }
    c.update_from_flattened_dict(small | changes)
    return c


def fit(c, workdir):
    batches = data.create(c)
    loop.fit(task.create(c, batches.steps_per_epoch, task.source(c, workdir)), batches, c, workdir)


def digits(n, size=16):
    c = autoencoder_digits.get_config()
    c.data.update(image_size=size, resize=size)
    return data.examples(c, "test", n, np.random.default_rng(0))[0]


@pytest.fixture(scope="module")
def trained(encoder, tmp_path_factory):
    """A run of two steps."""
    workdir = tmp_path_factory.mktemp("autoencoder") / "run"
    fit(config(encoder), workdir)
    return workdir


@pytest.fixture(scope="module")
def loaded(trained):
    return runs.load_autoencoder(trained)


# What a run's folder holds.


@pytest.mark.slow
def test_a_run_keeps_its_encoder_and_goes_on_without_the_first(trained, encoder, tmp_path):
    kept, given = (runs.load(path) for path in (trained / "encoder", encoder))
    jax.tree.map(np.testing.assert_array_equal, kept.variables, given.variables)
    again = shutil.copytree(trained, tmp_path / "again")
    shutil.rmtree(again / "checkpoints/2")
    gone = shutil.move(encoder, tmp_path / "gone")
    try:
        fit(config(encoder), again)
    finally:
        shutil.move(gone, encoder)
    decoders = [jax.tree.leaves(runs.load_autoencoder(path).decode) for path in (trained, again)]
    jax.tree.map(np.testing.assert_array_equal, *decoders)


@pytest.mark.slow
def test_another_encoder_cannot_take_its_place(trained, tmp_path):
    with pytest.raises(BadInput, match="choose another workdir"):
        task.source(config(tmp_path), trained)


@pytest.mark.slow
def test_the_log_counts_sums_an_image(trained):
    log = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 2]
    terms = log[0]["train_pixel"] + 0.01 * log[0]["train_feature"]
    assert log[0]["train_loss"] == pytest.approx(terms, rel=1e-5)
    assert {"test_psnr", "test_pixel", "test_feature"} <= set(log[2])


@pytest.mark.slow
def test_what_is_loaded_encodes_as_the_encoder_and_is_a_manifold(loaded, trained, encoder):
    image = jnp.asarray(digits(1)[0])
    stage = runs.load(encoder).apply(image)[1]["layer3"]
    np.testing.assert_allclose(loaded.encode(image), stage, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(loaded.compare(image), loaded.encode(image))
    decoded = loaded(image[None])[0]
    flat = runs.load_manifold(trained)
    np.testing.assert_allclose(manifold.project(flat, image), decoded, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(flat.encode(image), stage.ravel())
    np.testing.assert_array_equal(flat.deviation(image), np.zeros(stage.size))


@pytest.mark.slow
def test_every_multiple_of_the_stride_comes_back(loaded):
    assert loaded.stride == 4
    for shape in ((2, 8, 20, 1), (1, 4, 4, 1)):
        assert jax.eval_shape(loaded, jnp.zeros(shape)).shape == shape
    with pytest.raises(BadInput, match=r"\(8, 18\) pixels: give multiples of 4"):
        loaded(np.zeros((1, 8, 18, 1), np.float32))


# What is computed.


def test_losses_by_hand():
    c = autoencoder_digits.get_config().loss
    c.update(pixel=10.0, feature=100.0, adversarial=3.0)
    images, decoded = jnp.array([0.5, 0.25]), jnp.array([0.75, 0.5])
    logits_of = lambda x: jnp.log(jnp.array([1.0, 3.0]))  # noqa: E731
    target = jnp.square(images)
    total, terms = task.decoder_loss(c, images, target, jnp.square, logits_of, decoded)
    feature = (0.5625 - 0.25) ** 2 + (0.25 - 0.0625) ** 2
    fooled = np.log(2) + np.log(4 / 3)
    expected = {"pixel": 0.125, "feature": feature, "adversarial": fooled}
    expected["loss"] = 10 * 0.125 + 100 * feature + 3 * fooled
    assert terms == pytest.approx(expected) and total == pytest.approx(expected["loss"])
    c.update(norm="l1", feature=0.0)
    total, terms = task.decoder_loss(c, images, target, jnp.square, None, decoded)
    assert terms == pytest.approx({"pixel": 0.5, "loss": 5.0})


def test_noise_has_its_level_and_stays_in_the_unit_interval():
    images = jnp.stack([jnp.full((64, 64, 1), 0.5), jnp.ones((64, 64, 1))])
    gray, white = task._noisy(images, 25.0, jax.random.split(jax.random.key(0), 2))
    assert np.std(gray) == pytest.approx(25 / 255, rel=0.05)
    assert white.max() == 1 and np.mean(white == 1) == pytest.approx(0.5, abs=0.05)
    assert task._noisy(images, 0.0, None) is images


def test_scaling_is_another_normalization_of_the_same_encoder(encoder):
    network = runs.load(encoder)
    mean, std = (np.float32(network.config.model[k][0]) for k in ("mean", "std"))
    image = jnp.asarray(digits(1)[0])
    scaled = encode(network, model__encoder_norm="scale")(image)
    same = encode(network)(mean + std * (2 * image - 1))
    np.testing.assert_allclose(scaled, same, rtol=1e-4, atol=1e-5)


def parts_of(network, **changes):
    """Return the networks that a config makes of an encoder, and the encoder's arrays."""
    c = config("x", **changes)
    folded, arrays = folding.fold(network.model, network.variables)
    return parts.create(c, folded, arrays, c.data.image_size), arrays


def encode(network, **changes):
    return parts.frozen_encoder(*parts_of(network, **changes))[0]


@pytest.mark.slow
def test_a_step_of_all_losses_moves_both_networks_and_never_the_encoder(encoder):
    """And a few of them make the images of a batch better."""
    weights = {"loss__adversarial": 1.0, "loss__discriminator_stride": 1, "loss__pixel": 10.0}
    size = {"data__image_size": 20, "data__resize": 20}
    made = task.create(config(encoder, **weights, **size), 2, runs.load(encoder))
    state = jax.tree.map(jnp.copy, made.init().replace(fixed=made.fixed))
    images = np.rint(255 * digits(8, 20)).astype(np.uint8)
    batch = parallel.shard({"image": images})
    step = parallel.data_parallel(made.train_step)
    after, first = step(state, batch)
    jax.tree.map(np.testing.assert_array_equal, after.fixed, state.fixed)
    for part in ("params", "batch_stats", "opt_state"):
        for name in ("decoder", "discriminator"):
            before, now = (jax.tree.leaves(getattr(s, part)[name]) for s in (state, after))
            assert any((a != b).any() for a, b in zip(before, now, strict=True)), (part, name)
    assert {"pixel", "feature", "adversarial", "discriminator", "loss"} <= set(first)
    for _ in range(8):
        after, last = step(after, batch)
    assert last["pixel"] < 0.8 * first["pixel"]


# What does not fit.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__stage": "layer9"}, "the encoder's maps are layer1, layer2, layer3, stem"),
        ({"loss__stage": "representation"}, "loss.stage='representation'"),
        ({"model__decoder": "conv5"}, "model.decoder='conv5': choose one of mirror"),
        ({"model__decoder": "conv2"}, "the decoder conv2 is of AlexNet's conv2"),
        ({"model__encoder_norm": "none"}, "model.encoder_norm='none'"),
        ({"model__mean": (0.5,) * 3}, "the encoder's images have 1 channels"),
        ({"data__image_size": 18}, "data.image_size=18: the decoder makes 20 pixels of it"),
        ({"loss__norm": "l3"}, "loss.norm='l3'"),
        ({"loss__pixel": 0.0, "loss__feature": 0.0}, "pixel or feature must be above 0"),
        ({"noise": -1.0}, "noise=-1.0"),
        ({"micro_batches": 2}, "micro_batches=2"),
        ({"model__sync_batch_norm": True}, "a decoder normalizes on each device"),
        ({"optimizer__discriminator_rate": 0.0}, "discriminator_rate=0.0"),
        ({"loss__adversarial": 1.0}, "too small for a discriminator of stride 4"),
    ],
)
def test_a_field_that_does_not_fit_is_named(encoder, changes, message):
    with pytest.raises(BadInput, match=message):
        jax.eval_shape(task.create(config(encoder, **changes), 2, runs.load(encoder)).init)


def test_an_encoder_is_named_and_takes_the_sizes_it_takes(encoder, tmp_path):
    with pytest.raises(BadInput, match=r"model\.encoder is empty"):
        task.source(config(""), tmp_path)
    with pytest.raises(BadInput, match="not an autoencoder"):
        runs.load_autoencoder(encoder)
    # A network with a layer that wants one size.
    tiny = runs.load(write_encoder(tmp_path / "tiny", name="tiny", width=64))
    networks, arrays = parts_of(tiny, model__stage="block2", loss__stage="block2")
    encode, compare = parts.frozen_encoder(networks, arrays)
    loaded = runs.Autoencoder(config("x"), tiny, encode, None, compare, networks.stride)
    loaded.check((16, 16, 1))
    with pytest.raises(BadInput, match="the encoder, tiny, cannot take them"):
        loaded.check((32, 32, 1))


# The paper's decoders, in shapes.


@pytest.mark.parametrize("settings", autoencoder_alexnet.SETTINGS)
def test_alexnet_and_the_paper_s_decoders_fit(settings):
    c = autoencoder_alexnet.get_config(settings)
    compared = decoders_fit(c, "alexnet", (64, 96, 3))
    assert compared.shape == (1, 2, 256)  # conv5's, whatever is inverted


@pytest.mark.parametrize("network", autoencoder_imagenet.SETTINGS)
def test_the_last_map_of_other_networks_is_7_by_7_and_is_decoded(network):
    c = autoencoder_imagenet.get_config(network)
    compared = decoders_fit(c, network, (224, 224, 3))
    assert compared.shape == (7, 7, 2048 if network == "resnet50" else 512)


def decoders_fit(c, encoder, image_shape):
    """Check by shapes alone that images are decoded; return the features that are compared."""
    fields = defaults.get_config().model
    fields.update(name=encoder)
    model, shape = models.create(fields), (image_shape[0], image_shape[0], 3)
    arrays = jax.eval_shape(lambda: models.init(model, jax.random.key(0), shape))
    networks = parts.create(c, model, arrays, shape[0])
    init = partial(parts.init, networks, image_shape=shape, key=jax.random.key(0))
    variables = jax.eval_shape(init, arrays)
    assert set(variables["params"]) == {"decoder", "discriminator"}

    def roundtrip(arrays, variables, image):
        encode, compare = parts.frozen_encoder(networks, arrays)
        return parts.frozen_decoder(networks, variables)(encode(image)), compare(image)

    image = jax.ShapeDtypeStruct(image_shape, jnp.float32)
    decoded, compared = jax.eval_shape(roundtrip, arrays, variables, image)
    assert decoded.shape == image.shape
    return compared
