"""The autoencoder: its losses by hand, what its steps move and leave, its folder, its sizes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import autoencoder_digits, robust_digits
from rrjax import data, loop, models, runs
from rrjax.tasks import autoencoder as task


def write_encoder(folder, seed=0, name="resnet8"):
    """Make a run folder of a network that is not trained."""
    config = robust_digits.get_config()
    config.model.update(name=name, width=4 if name == "resnet8" else 64)
    variables = models.init(models.create(config.model), jax.random.key(seed), (16, 16, 1))
    runs.claim(folder, config)
    with runs.open_checkpoints(folder, write=True) as manager:
        runs.save(manager, 0, {"batch_stats": {}} | variables, training=None, score=None)
    return str(folder)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("autoencoder") / "encoder")


def config(encoder, **changes):
    c = autoencoder_digits.get_config()
    small = {"epochs": 1, "batch_size": 718, "model.encoder": encoder, "eval_every": 1}
    c.update_from_flattened_dict(small | changes)
    return c


def fit(c, workdir):
    batches = data.create(c)
    loop.fit(task.create(c, batches.steps_per_epoch, task.source(c, workdir)), batches, c, workdir)


@pytest.fixture(scope="module")
def trained(encoder, tmp_path_factory):
    """A run of two steps."""
    workdir = tmp_path_factory.mktemp("autoencoder") / "run"
    fit(config(encoder), workdir)
    return workdir


def test_a_run_keeps_its_encoder_and_needs_the_first_no_more(trained, encoder):
    kept, given = runs.load(trained / "encoder"), runs.load(encoder)
    jax.tree.map(np.testing.assert_array_equal, kept.variables, given.variables)
    saved = runs.load_autoencoder(trained)
    image = jnp.asarray(data.test_images(saved.config, 1, np.random.default_rng(0))[0])
    np.testing.assert_allclose(
        saved.encode(image), given.apply(image)[1]["layer3"], rtol=1e-5, atol=1e-6
    )
    assert saved.decode(saved.encode(image)).shape == image.shape


def test_the_log_is_in_sums_an_image(trained):
    log = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [2, 2]
    terms = log[0]["train_pixel"] + 0.01 * log[0]["train_feature"]
    assert log[0]["train_loss"] == pytest.approx(terms, rel=1e-5)
    assert {"test_psnr", "test_pixel", "test_feature"} <= set(log[1])
