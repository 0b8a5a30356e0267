"""The networks that come with rrjax: their files, and what `load` makes of them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rrjax
from configs import defaults, pretrain
from rrjax import conversion, models, pretrained, runs
from rrjax.errors import BadInput


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Make a run, put it among the networks that come with rrjax, and return the run."""
    config = defaults.get_config()
    config.model.update(name="resnet8", variant="cifar", width=2, classes=3)
    config.data.update(name="folder", image_size=8, path="/somewhere")
    run = tmp_path / "run"
    runs.claim(run, config)
    variables = models.init(models.create(config.model), jax.random.key(0), (8, 8, 3))
    with runs.open_checkpoints(run, write=True) as manager:
        runs.save(manager, 0, variables, training=None, score=None)
    ship = pretrain.get_config()
    ship.update(run=str(run), name="small")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "shelf")
    conversion.export_pretrained(ship, tmp_path / "shelf")
    return run


def test_a_name_gives_the_run_s_network_with_its_parameters_in_bfloat16(shelf):
    assert rrjax.models_available() == ("small",)
    network, trained = rrjax.load("small"), runs.load(shelf)
    rounded = jax.tree.map(
        lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), trained.variables["params"]
    )
    jax.tree.map(np.testing.assert_array_equal, network.variables["params"], rounded)
    stats = (network.variables["batch_stats"], trained.variables["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, *stats)
    images = np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(network(images)[0], trained(images)[0], atol=0.05)


def test_it_does_not_know_where_its_data_lay_and_is_told(shelf):
    assert rrjax.load("small").config.data.path == ""
    assert runs.load("small", data={"name": "", "path": "/here"}).config.data.path == "/here"
    assert runs.load("small", data={"name": "", "path": "/here"}).config.data.name == "folder"


def test_weights_that_were_changed_are_refused(shelf):
    path = pretrained.FOLDER / "small.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"small.safetensors: not the weights .* install it again"):
        rrjax.load("small")


def test_a_name_is_given_once(shelf):
    ship = pretrain.get_config()
    ship.update(run=str(shelf), name="small")
    with pytest.raises(BadInput, match="holds small already"):
        conversion.export_pretrained(ship, pretrained.FOLDER)


@pytest.mark.parametrize("name", pretrained.models_available())
def test_what_comes_with_rrjax_is_whole_small_and_has_a_card(name):
    network = rrjax.load(name)
    images = jnp.zeros((1, network.config.data.image_size, network.config.data.image_size, 3))
    assert np.isfinite(network(images)[0]).all()
    assert (pretrained.FOLDER / f"{name}.safetensors").stat().st_size < 8e6
    facts = json.loads((pretrained.FOLDER / f"{name}.json").read_text())
    assert facts["config"]["data"]["path"] == ""
    assert name in (pretrained.FOLDER / f"{name}.md").read_text()
