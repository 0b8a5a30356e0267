"""The attack against an outside implementation: foolbox's L2PGD and LinfPGD, on our networks.

Float32 trajectories are chaotic, so images are compared in float64, and in float32 what they win.
"""

import warnings
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rrjax import data, models, runs
from rrjax.configs import kim_cifar10, robust_digits
from rrjax.core import attack
from rrjax.data import augment
from rrjax.evaluate import robustness
from rrjax.train import loop
from rrjax.train.tasks import classifier

with warnings.catch_warnings():  # foolbox 3.3.4 imports gaussian_filter from where it once was
    warnings.filterwarnings("ignore", "Please import `gaussian_filter`", DeprecationWarning)
    import foolbox as fb

pytestmark = pytest.mark.slow

PGD = {"l2": fb.attacks.L2PGD, "linf": fb.attacks.LinfPGD}


class Case(NamedTuple):
    """A network, images, their classes (or those to move them to), and a radius for each norm."""

    model: nn.Module
    variables: Any
    images: jax.Array
    labels: jax.Array
    eps: dict[str, float]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train a small network on digits, and load it from its run folder."""
    config = robust_digits.get_config()
    config.update({"epochs": 6, "model": {"name": "tiny", "width": 64}})
    config.update({"attack": {"eps": 0.5, "step_size": 0.2, "steps": 3}})
    config.optimizer.learning_rate = 0.03
    workdir = tmp_path_factory.mktemp("runs") / "robust_digits"
    digits = data.create(config)
    loop.fit(classifier.create(config, digits.steps_per_epoch), digits, config, workdir)
    return runs.load(workdir)


def digits(run, n):
    """Give the trained network n test digits."""
    batch = next(iter(data.eval_batches(run.config, n)))
    images, labels = jnp.asarray(augment.pixels(batch["image"])), jnp.asarray(batch["label"])
    return Case(run.model, run.variables, images, labels, {"l2": 1.0, "linf": 0.1})


def photos(name, width):
    """Give an untrained network photographs from foolbox's package: 2 of CIFAR, 2 of ImageNet."""
    config = robust_digits.get_config().model
    config.update({"name": name, "width": width, "mean": (0.5,) * 3, "std": (0.25,) * 3})
    model = models.create(config)
    no_network = fb.JAXModel(lambda images: images, bounds=(0, 1))
    sets = [fb.samples(no_network, s, batchsize=2, shape=(32, 32)) for s in ("cifar10", "imagenet")]
    images, labels = map(jnp.concatenate, zip(*sets, strict=True))
    like = jax.eval_shape(lambda: models.init(model, jax.random.key(0), images.shape[1:]))
    variables = jax.tree_util.tree_map_with_path(partial(drawn, np.random.default_rng(0)), like)
    return Case(model, variables, images, labels % 10, {"l2": 1.0, "linf": 0.03})


def drawn(rng, path, leaf):
    """Draw weights with numpy (jax's draw compiles for ten seconds); BN and biases as at a start.

    Gentle weights: in a network that amplifies, rounding changes where the attack goes.
    """
    name = path[-1].key
    if name != "kernel":
        return np.full(leaf.shape, name in ("scale", "var"), np.float32)
    return rng.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape).astype(np.float32)


def in_float64(case):
    """Widen the network and the images; the values stay."""
    model = case.model.clone(dtype=jnp.float64, param_dtype=jnp.float64)
    wide = partial(np.asarray, dtype=np.float64)
    variables, images = jax.tree.map(wide, (case.variables, case.images))
    return case._replace(model=model, variables=variables, images=jnp.asarray(images))


@partial(jax.jit, static_argnums=0)
def logits(model, variables, images):
    return model.apply(variables, images, train=False)[0]


@partial(jax.jit, static_argnames=("norm", "targeted"))
def adversaries(apply, images, labels, **options):
    return jax.vmap(partial(attack.adversary, apply, return_iterate="last", **options))(
        images, labels
    )


def rrjaxs(case, options):
    apply = models.frozen(case.model, case.variables)
    return adversaries(apply, case.images, case.labels, **options)


def foolboxs(case, options):
    network = fb.JAXModel(partial(logits, case.model, case.variables), bounds=(0, 1))
    targets = fb.criteria.TargetedMisclassification
    criterion = (targets if options["targeted"] else fb.criteria.Misclassification)(case.labels)
    step_size, steps = options["step_size"], options["steps"]
    pgd = PGD[options["norm"]](abs_stepsize=step_size, steps=steps, random_start=False)
    return pgd.run(network, case.images, criterion, epsilon=options["eps"])


def posed(case, norm, targeted):
    """Return the case, aimed at the next class if targeted, and an attack that meets the ball."""
    eps = case.eps[norm]
    options = {"norm": norm, "targeted": targeted, "eps": eps, "step_size": eps / 8, "steps": 10}
    return case._replace(labels=(case.labels + int(targeted)) % 10), options


def losses(case, images):
    outputs = logits(case.model, case.variables, images)
    return optax.softmax_cross_entropy_with_integer_labels(outputs, case.labels)


def check_images(case, norm, targeted):
    case, options = posed(in_float64(case), norm, targeted)
    images = rrjaxs(case, options)
    assert images.dtype == jnp.float64
    np.testing.assert_allclose(images, foolboxs(case, options), rtol=0, atol=1e-6)


# Each case compiles both implementations, of a network with BN or without.
@pytest.mark.parametrize(
    ("name", "width", "norm", "targeted"),
    [
        ("resnet8", 8, "l2", False),
        ("resnet8", 8, "linf", True),
        ("tiny", 64, "l2", True),
        ("tiny", 64, "linf", False),
    ],
)
def test_in_float64_the_images_are_foolbox_s(name, width, norm, targeted, float64):
    check_images(photos(name, width), norm, targeted)


# Half of what there is: each compiles both implementations.
of_a_trained_network = pytest.mark.parametrize(
    ("norm", "targeted"), [("l2", False), ("linf", True)]
)


@of_a_trained_network
def test_in_float64_the_images_of_a_trained_network_are_too(run, norm, targeted, float64):
    check_images(digits(run, 20), norm, targeted)


@pytest.mark.parametrize("strength", ["l2,1.6", "linf,0.04"])
def test_the_attack_of_kim_is_foolbox_s_in_their_units(strength, float64):
    """Their code has pixels in [-1,1] and 40 steps of 2 or 0.02: rrjax's has half of each."""
    norm, eps = strength.split(",")
    case, attack = in_float64(photos("tiny", 64)), kim_cifar10.get_config(strength).attack
    options = {name: attack[name] for name in ("norm", "eps", "step_size", "steps")}
    images = 2 * rrjaxs(case, options | {"targeted": False}) - 1
    step_size = {"l2": 2.0, "linf": 0.02}[norm]
    pgd = PGD[norm](abs_stepsize=step_size, steps=40, random_start=False)
    criterion = fb.criteria.Misclassification(case.labels)
    network = fb.JAXModel(lambda x: logits(case.model, case.variables, (x + 1) / 2), (-1, 1))
    expected = pgd.run(network, 2 * case.images - 1, criterion, epsilon=float(eps))
    np.testing.assert_allclose(images, expected, rtol=0, atol=1e-6)


@of_a_trained_network
def test_in_float32_the_loss_won_is_foolbox_s(run, norm, targeted):
    case, options = posed(digits(run, 20), norm, targeted)
    clean = losses(case, case.images)
    won, expected = (losses(case, search(case, options)) - clean for search in (rrjaxs, foolboxs))
    assert ((won < 0) if targeted else (won > 0)).all()
    np.testing.assert_allclose(won, expected, rtol=1e-3)


def test_the_adapter_of_the_readme(run):
    forward = jax.jit(lambda apply, images: jax.vmap(apply)(images)[0])
    network = fb.JAXModel(partial(forward, run.apply), bounds=(0, 1))
    case = digits(run, 64)
    np.testing.assert_allclose(network(case.images), run(case.images)[0], rtol=0, atol=1e-4)
    pgd = fb.attacks.L2PGD(steps=10)
    _, images, success = pgd(network, case.images, case.labels, epsilons=2.0)
    accuracy = jnp.mean(run(case.images)[0].argmax(1) == case.labels)
    assert 1 - jnp.mean(success) < accuracy
    assert jnp.mean(success != (run(images)[0].argmax(1) != case.labels)) <= 0.02


def test_robust_accuracy_is_foolbox_s(run):
    case = digits(run, 128)
    options = {"norm": "l2", "targeted": False, "eps": 1.0, "step_size": 0.125, "steps": 20}
    keys = jax.random.split(jax.random.key(0), 128)
    survived = robustness.correct_under_attack(run.apply, case.images, case.labels, keys, **options)
    prediction = logits(case.model, case.variables, foolboxs(case, options)).argmax(1)
    # Image by image, and so the accuracies too.
    assert jnp.mean(survived != (prediction == case.labels)) <= 0.02
