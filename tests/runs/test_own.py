"""Networks of one's own: wrapped, then inverted, grown, attacked and studied as ours are."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import own_networks
import rrjax
from commands import results, works
from rrjax import BadInput, runs
from rrjax.runs import own

KINDS = ("linen", "of_nnx", "function")


@pytest.fixture(scope="module", params=KINDS)
def network(request):
    return getattr(own_networks, request.param)()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(size=(3, 16, 16, 1)).astype(np.float32)


def test_it_answers_as_the_model_of_standardized_pixels(images):
    network, x = own_networks.linen(), (images - 0.3) / 0.35
    variables = network.variables
    expected = own_networks.Linen().apply(variables, x, False)
    logits, reps = network(images)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    assert reps["representation"].shape == (3, 16) and reps["map"].shape == (3, 8, 8, 4)
    _, reps = own_networks.of_nnx()(images)
    assert reps["representation"].shape == (3, 16) and reps["map"].shape == (3, 8, 8, 4)


def test_it_is_inverted_grown_and_attacked(network, images):
    result = network.invert(images, steps=5)
    assert (result.value < network.invert(images, steps=0).value).all()
    grown = network.visualize(images[0], logit="3", steps=5)
    before, after = (network(x[None])[0][0, 3] for x in (images[0], grown.x))
    assert after > before
    attacked = network.attack(images, labels=[1, 2, 3], eps=0.5, steps=3)
    rows = [[0, 1, 2], [1, 2, 3]]
    before, after = (network.predict(x).probabilities[*rows] for x in (images, attacked))
    assert (after < before).all()


def test_its_weights_are_arguments_of_a_program(network):
    image = jnp.zeros((16, 16, 1))
    text = jax.jit(lambda apply, x: apply(x)[0]).lower(network.apply, image).as_text()
    constants = [line for line in text.splitlines() if "stablehlo.constant" in line]
    assert "x16x" in text or "16x10" in text
    assert all(len(line) < 200 and "16x10x" not in line for line in constants)
    arrays = [x for x in jax.tree.leaves(network.apply) if np.ndim(x) > 1]
    assert sum(x.size for x in arrays) >= 256 * 16


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_study_of_it(kind, trained, tmp_path):
    arguments = ["--config.data.name=digits", "--config.steps=1", "--config.n=2"]
    arguments += [f"--config.standard=own_networks:{kind}", "--config.robust="]
    arguments += ["--config.targets=('test images',)", "--config.starts=('noise',)"]
    works("study", "--config=inversion", *arguments, f"--workdir={tmp_path}")
    (row,) = results(tmp_path)["inversion"]["rows"]
    assert row["network"] == "standard" and row["distance"]["n"] == 2


@pytest.mark.slow
def test_a_network_of_ones_own_is_trained_loaded_and_resumed(tmp_path):
    module = "--config.model.module=own_networks:Trained"
    small = [module, "--config.epochs=1", "--config.batch_size=718", "--config.attack.steps=1"]
    works("train", "--config=robust_digits", *small, f"--workdir={tmp_path / 'run'}")
    network = runs.load(tmp_path / "run")
    assert repr(network).startswith("<Frozen own_networks:Trained, 10 classes")
    assert network.classes == tuple("0123456789")
    images = np.zeros((2, 16, 16, 1), np.float32)
    logits, reps = network(images)
    assert logits.shape == (2, 10) and reps["representation"].shape == (2, 64)
    begun = [*small, f"--config.start_from={tmp_path / 'run'}", "--config.model.classes=2"]
    begun += ["--config.data.groups=((0,2,4,6,8),(1,3,5,7,9))", "--config.batch_size=2"]
    works(
        "train",
        "--config=robust_digits",
        *begun,
        "--config.data.group_names=('even','odd')",
        "--config.batch_size=1436",
        f"--workdir={tmp_path / 'parity'}",
    )
    assert runs.load(tmp_path / "parity").classes == ("even", "odd")


def train(module):
    from rrjax import models
    from rrjax.configs import robust_digits

    config = robust_digits.get_config()
    config.model.module = module
    models.variable_shapes(config.model, 16)


class Means(nn.Module):
    """A module of the means of an image's pixels."""

    module: nn.Module

    @nn.compact
    def __call__(self, x):
        return self.module(x.mean((1, 2)))


def test_another_stage_is_another_network_to_what_studies_save():
    module = nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(3)])
    variables = module.init(jax.random.key(0), ZEROS.mean((1, 2)))
    configs = {
        stage: rrjax.wrap(
            Means(module), {"params": {"module": variables["params"]}}, image_size=8, stages=stages
        ).config.to_json()
        for stage, stages in ((s, {"representation": f"module/layers_{s}"}) for s in (0, 2))
    }
    assert configs[0] != configs[2]


ZEROS = jnp.zeros((1, 8, 8, 3))
MISTAKES = [
    (lambda: rrjax.wrap(nn.Dense(3), image_size=8), "a linen module needs its variables"),
    (lambda: rrjax.wrap(nn.Dense, {}, image_size=8), "made and not its class"),
    (lambda: rrjax.wrap("resnet18", image_size=8), "'resnet18' is no model"),
    (lambda: rrjax.wrap(lambda x: x, image_size=8), "the model returns float32(1, 8, 8, 3): give"),
    (lambda: rrjax.wrap(lambda x: x @ jnp.ones((4, 2)), image_size=8), "does not take images"),
    (
        lambda: rrjax.wrap(lambda x: x.mean((1, 2)), image_size=8, classes=("a", "b")),
        "2 classes are named, and the model has 3 logits",
    ),
    (
        lambda: rrjax.wrap(lambda x: (x.mean((1, 2)), {"pool": x}), image_size=8),
        "one must be called representation",
    ),
    (
        lambda: rrjax.wrap(
            nn.Conv(2, (1, 1)),
            nn.Conv(2, (1, 1)).init(jax.random.key(0), ZEROS),
            image_size=8,
            stages={"representation": "fc"},
        ),
        "the model calls no submodule 'fc'",
    ),
    (lambda: rrjax.load("no_such_file:net"), "no_such_file cannot be imported (ModuleNotFound"),
    (lambda: rrjax.load("own_networks:nothing"), "own_networks has no nothing: it has "),
    (lambda: rrjax.load("own_networks:number"), "is a int: give what rrjax.wrap(...) returns"),
    (lambda: rrjax.load("own_networks:function", dtype="bfloat16"), "dtype='bfloat16': it comp"),
    (lambda: train("own_networks"), "'own_networks': give package.file:NAME, as mynets:Net"),
    (lambda: train("nofile:Net"), "nofile cannot be imported"),
    (lambda: train("own_networks:CLASSES"), "a tuple: give the name of a class that is a flax"),
    (lambda: train("own_networks:LogitsAlone"), "its outputs are not (logits, reps): return"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_a_mistake_is_answered_by_one_line(mistake, message):
    with pytest.raises(BadInput) as caught:
        mistake()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_an_address():
    assert own.is_address("mynets:net") and own.is_address("a.b.c:d")
    assert not any(
        map(own.is_address, ("hf:x", "hf:a/b", "runs/a", "a:b:c", "C:", "x.safetensors"))
    )
