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

from configs import robust_digits
from rrjax import attack, data, loop, models, runs
from rrjax.tasks import classifier

with warnings.catch_warnings():  # foolbox 3.3.4 imports gaussian_filter from where it once was
    warnings.filterwarnings("ignore", "Please import `gaussian_filter`", DeprecationWarning)
    import foolbox as fb

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
    """Train robust digits, shrunk, and load what the run folder holds."""
    config = robust_digits.get_config()
    config.update({"epochs": 3, "attack": {"steps": 3}})
    workdir = tmp_path_factory.mktemp("runs") / "robust_digits"
    batches = data.create(config)
    loop.fit(classifier.create(config, batches.steps_per_epoch), batches, config, workdir)
    return runs.load(workdir)


# The digits train a network first, and so take more than ten seconds.
@pytest.fixture(
    scope="module", params=["cifar10", "imagenet", pytest.param("digits", marks=pytest.mark.slow)]
)
def case(request):
    if request.param == "digits":
        return digits(request.getfixturevalue("run"), 20)
    return samples(request.param)


def digits(run, n):
    """Give the trained network n test digits."""
    batch = next(iter(data.test_batches(run.config, n)))
    images, labels = jnp.asarray(data.pixels(batch["image"])), jnp.asarray(batch["label"])
    return Case(run.model, run.variables, images, labels, {"l2": 1.0, "linf": 0.1})


def samples(dataset):
    """Give an untrained network 8 of the photographs in foolbox's package, ImageNet's shrunk."""
    name, width = {"cifar10": ("resnet18", 8), "imagenet": ("cifar_cnn", 64)}[dataset]
    config = robust_digits.get_config().model
    config.update({"name": name, "width": width, "mean": (0.5,) * 3, "std": (0.25,) * 3})
    model = models.create(config)
    no_network = fb.JAXModel(lambda images: images, bounds=(0, 1))
    images, labels = fb.samples(no_network, dataset, batchsize=8, shape=(48, 48))
    like = jax.eval_shape(lambda: models.init(model, jax.random.key(0), images.shape[1:]))
    variables = jax.tree_util.tree_map_with_path(partial(drawn, np.random.default_rng(0)), like)
    return Case(model, variables, images, labels % config.classes, {"l2": 1.0, "linf": 0.03})


def drawn(rng, path, leaf):
    """Draw weights with numpy (jax's draw compiles for ten seconds); BN and biases as at a start.

    Gentle weights: in a network that amplifies, rounding changes where the attack goes.
    """
    name = path[-1].key
    if name != "kernel":
        return jnp.full(leaf.shape, float(name in ("scale", "var")), jnp.float32)
    return jnp.asarray(rng.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape), jnp.float32)


def in_float64(case):
    """Widen the network and the images; the values stay."""
    model = case.model.clone(dtype=jnp.float64, param_dtype=jnp.float64)
    variables, images = jax.tree.map(lambda x: x.astype(jnp.float64), (case.variables, case.images))
    return case._replace(model=model, variables=variables, images=images)


@partial(jax.jit, static_argnums=0)
def logits(model, variables, images):
    return model.apply(variables, images, train=False)[0]


@partial(jax.jit, static_argnames=("norm", "targeted"))
def adversaries(apply, images, labels, **options):
    return jax.vmap(partial(attack.adversary, apply, keep="last", **options))(images, labels)


def ours(case, norm, targeted, steps=10):
    eps = case.eps[norm]
    options = {"eps": eps, "step_size": 2.5 * eps / steps, "steps": steps}
    apply = models.frozen(case.model, case.variables)
    return adversaries(apply, case.images, case.labels, norm=norm, targeted=targeted, **options)


def theirs(case, norm, targeted, steps=10):
    network = fb.JAXModel(partial(logits, case.model, case.variables), bounds=(0, 1))
    criteria = fb.criteria.TargetedMisclassification if targeted else fb.criteria.Misclassification
    eps = case.eps[norm]
    pgd = PGD[norm](abs_stepsize=2.5 * eps / steps, steps=steps, random_start=False)
    return pgd.run(network, case.images, criteria(case.labels), epsilon=eps)


def losses(case, images):
    outputs = logits(case.model, case.variables, images)
    return optax.softmax_cross_entropy_with_integer_labels(outputs, case.labels)


def aimed(case, targeted):
    return case._replace(labels=(case.labels + 1) % 10) if targeted else case


each_attack = pytest.mark.parametrize(
    ("norm", "targeted"), [("l2", False), ("l2", True), ("linf", False), ("linf", True)]
)


@each_attack
def test_in_float64_the_images_are_foolbox_s(case, norm, targeted, float64):
    case = in_float64(aimed(case, targeted))
    found = ours(case, norm, targeted)
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, theirs(case, norm, targeted), rtol=0, atol=1e-6)


@each_attack
def test_in_float32_the_loss_won_is_foolbox_s(case, norm, targeted):
    case = aimed(case, targeted)
    clean = losses(case, case.images)
    won, expected = (losses(case, f(case, norm, targeted)) - clean for f in (ours, theirs))
    assert ((won < 0) if targeted else (won > 0)).all()
    np.testing.assert_allclose(won, expected, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("eps", [1.0, 2.0])
def test_robust_accuracy_is_foolbox_s(run, eps):
    case = digits(run, 128)._replace(eps={"l2": eps})
    keys = jax.random.split(jax.random.key(0), 128)
    options = {"eps": eps, "step_size": 2.5 * eps / 20, "steps": 20}
    survived = attack.survives(run.apply, case.images, case.labels, keys, **options)
    prediction = logits(case.model, case.variables, theirs(case, "l2", False, 20)).argmax(1)
    assert jnp.mean(survived != (prediction == case.labels)) <= 0.02
