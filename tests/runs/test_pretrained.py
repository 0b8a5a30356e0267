"""The pretrained models: their files, and what `load` makes of them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rrjax
from rrjax import BadInput, models, runs
from rrjax.configs import card as card_config
from rrjax.configs import pretrain
from rrjax.convert import model_card, networks
from rrjax.runs import checkpoints, defaults, pretrained

NAME = "cifar10_small"


@pytest.fixture
def released(tmp_path, monkeypatch):
    """Make a run, release its network as the one pretrained model, and return the run."""
    config = defaults.get_config()
    config.model.update(name="resnet8", variant="cifar", width=2, classes=3)
    config.data.update(name="folder", image_size=8, path="/somewhere")
    run = tmp_path / "run"
    runs.create_run_dir(run, config)
    variables = models.init(models.create(config.model), jax.random.key(0), (8, 8, 3))
    checkpoints.save_once(run, variables)
    release = pretrain.get_config()
    release.update(run=str(run), name=NAME, time="a minute")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "pretrained")
    networks.export_pretrained(release, tmp_path / "pretrained")
    return run


def test_a_name_gives_the_run_s_network_with_its_parameters_in_bfloat16(released):
    assert rrjax.models_available() == (NAME,)
    network, trained = rrjax.load(NAME), runs.load(released)
    rounded = jax.tree.map(
        lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), trained.variables["params"]
    )
    jax.tree.map(np.testing.assert_array_equal, network.variables["params"], rounded)
    stats = (network.variables["batch_stats"], trained.variables["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, *stats)
    images = np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(network(images)[0], trained(images)[0], atol=0.05)


def test_where_the_data_lie_is_an_argument(released):
    assert rrjax.load(NAME).config.data.path == ""
    assert runs.load(NAME, data={"name": "", "path": "/here"}).config.data.path == "/here"
    assert runs.load(NAME, data={"name": "", "path": "/here"}).config.data.name == "folder"


def test_a_network_answers_in_another_dtype_of_the_same_parameters(released):
    single, half = rrjax.load(NAME), rrjax.load(NAME, dtype="bfloat16")
    assert (single.config.model.dtype, half.config.model.dtype) == ("float32", "bfloat16")
    jax.tree.map(np.testing.assert_array_equal, single.variables, half.variables)
    images = np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype(np.float32)
    a, b = single(images)[0], half(images)[0]
    assert b.dtype == np.float32 and 0 < np.abs(a - b).max() < 0.05
    with pytest.raises(BadInput, match="dtype 'half'"):
        rrjax.load(NAME, dtype="half")


def test_a_call_takes_any_number_of_images_and_returns_the_stages_asked_for(released):
    network = rrjax.load(NAME)
    images = np.random.default_rng(0).uniform(size=(5, 8, 8, 3)).astype(np.float32)
    logits, reps = network(images)
    parts, some = network(images, stages=("representation", "layer1"), batch_size=2)
    np.testing.assert_allclose(parts, logits, rtol=1e-4, atol=1e-5)
    assert set(some) == {"representation", "layer1"} < set(reps)
    np.testing.assert_allclose(some["layer1"], reps["layer1"], rtol=1e-4, atol=1e-5)
    assert jax.jit(lambda x: network(x)[0])(images).shape == (5, 3)
    with pytest.raises(BadInput, match=r"stages=\['layer9'\]: this network has layer1, layer2"):
        network(images, stages=("layer9",))


def test_weights_that_were_changed_are_refused(released):
    path = pretrained.FOLDER / "cifar10_small.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"\.safetensors: not the weights .* install it again"):
        rrjax.load(NAME)


def test_a_name_is_given_once(released):
    release = pretrain.get_config()
    release.update(run=str(released), name=NAME)
    with pytest.raises(BadInput, match="holds cifar10_small already"):
        networks.export_pretrained(release, pretrained.FOLDER)


def test_a_model_card_holds_the_training_and_the_accuracies(released, tmp_path):
    def evaluated(folder, name, settings, results):
        folder.mkdir(parents=True)
        runs.write_results(folder, name, {"config": settings} | results)

    def accuracy(mean, n=200):
        return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": n}

    def cell(steps, eps, *summary):
        return {"steps": steps, "eps": eps, **accuracy(*summary)}

    settings, folder = {"norm": "linf", "restarts": 1}, tmp_path / "evaluations" / NAME
    cells = [cell(20, 0.0, 0.9), cell(20, 8 / 255, 0.3), cell(100, 8 / 255, 0.2)]
    evaluated(folder / "a", "accuracy", settings, {"models": {"robust": cells}})
    cells = [cell(20, 8 / 255, 0.35, 1000), cell(20, 0.0, 0.8, 1000)]
    evaluated(folder / "b", "accuracy", settings | {"restarts": 5}, {"models": {"robust": cells}})
    settings = {"norm": "linf", "eps": 8 / 255, "source": "other", "steps": 20, "more_steps": 100}
    settings |= {"restarts": 5, "far": 8.0}
    accuracies = {
        "clean": accuracy(0.9),
        "transfer": accuracy(0.7),
        "pgd_margin": accuracy(0.25),
    }
    evaluated(folder / "c", "masking", settings, {"networks": {NAME: {"accuracy": accuracies}}})
    config = card_config.get_config()
    config.update(name=NAME, evaluations=str(tmp_path / "evaluations"))
    model_card.write(config, tmp_path)
    text = (tmp_path / "cifar10_small.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [[cell.strip() for cell in row.strip("| ").split("|")] for row in rows[2:]] == [
        ["none", "0", "0.800 [0.700, 0.900]", "1,000"],
        ["none", "0", "0.900 [0.800, 1.000]", "200"],
        ["linf, PGD-20, worst of 5 starts", "8/255", "0.350 [0.250, 0.450]", "1,000"],
        ["linf, PGD-100", "8/255", "0.200 [0.100, 0.300]", "200"],
        ["linf, PGD-20", "8/255", "0.300 [0.200, 0.400]", "200"],
        ["linf, PGD-20, margin", "8/255", "0.250 [0.150, 0.350]", "200"],
        ["linf, transfer from other", "8/255", "0.700 [0.600, 0.800]", "200"],
    ]
    assert "against l2 attacks of radius 3" in text and "a minute." in text
    assert "--config.model.width=2 " in text and "somewhere" not in text
    config.evaluations = str(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=r"elsewhere: holds no evaluation in cifar10_small/"):
        model_card.write(config, tmp_path)


def test_a_model_card_tells_of_the_data_that_its_name_says(released):
    run = runs.load(released).config.unlock()
    run.attack.update(norm="linf", eps=4 / 255)
    path = pretrained.FOLDER
    pretrained.write(path, "rin64_small", run, runs.load(released).variables, "an hour")
    text = model_card.card("rin64_small", [("none", "0", "0.600", "10")])
    assert "Tiny ImageNet" in text and "CIFAR" not in text and "against linf attacks" in text
    assert "--config=configs/rin64.py:linf,4/255 --config.data.path=DATA " in text
    pretrained.write(path, "other", run, runs.load(released).variables, "an hour")
    with pytest.raises(BadInput, match="'other': a name begins with one of cifar10, rin64"):
        model_card.card("other", [])


@pytest.mark.slow
@pytest.mark.parametrize("name", pretrained.models_available())
def test_a_pretrained_model_is_whole_small_and_has_a_card(name):
    network = rrjax.load(name)
    images = jnp.zeros((1, network.config.data.image_size, network.config.data.image_size, 3))
    assert np.isfinite(network(images)[0]).all()
    assert (pretrained.FOLDER / f"{name}.safetensors").stat().st_size < 8e6
    facts = json.loads((pretrained.FOLDER / f"{name}.json").read_text())
    assert facts["config"]["data"]["path"] == ""
    assert f"# {name}\n" in (pretrained.FOLDER / f"{name}.md").read_text()


def test_a_copy_of_an_older_model_is_a_run_folder_of_today(released, tmp_path):
    """An autoencoder's run keeps such a copy of the network that it inverts."""
    path = pretrained.FOLDER / "cifar10_small.json"
    facts = json.loads(path.read_text())
    del facts["config"]["replays"], facts["config"]["loss"]["beta"]
    path.write_text(json.dumps(facts))
    network = runs.load(NAME)
    runs.save_network(tmp_path / "copy", network)
    copy = runs.load(tmp_path / "copy")
    assert copy.config.loss.beta == 6 and copy.config.replays == 0
    jax.tree.map(np.testing.assert_array_equal, copy.variables, network.variables)
