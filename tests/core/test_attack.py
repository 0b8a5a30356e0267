"""Laws of the adversary: random starts, restarts, targets, options."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax import BadInput
from rrjax.core import attack as attack_module
from rrjax.core.attack import adversary
from rrjax.data.augment import pixels
from rrjax.evaluate import robustness

SHAPE = (6, 6, 1)
WEIGHTS = jax.random.normal(jax.random.key(3), (*SHAPE, 4))
IMAGE = jax.random.uniform(jax.random.key(4), SHAPE, minval=0.4, maxval=0.6)


def apply(image):
    """A small non-linear network with many local maxima."""
    return 0.2 * jnp.tensordot(jnp.sin(9 * image), WEIGHTS, 3), {}


@jax.jit
def loss(image, label):
    return -jax.nn.log_softmax(apply(image)[0])[label]


@partial(jax.jit, static_argnames=attack_module.STATIC)
def attack(image, label, key=None, eps=0.3, step_size=0.05, steps=8, **options):
    """Attack that network; programs differ in their static options alone."""
    return adversary(apply, image, label, key, eps=eps, step_size=step_size, steps=steps, **options)


@pytest.mark.parametrize("norm", ["l2", "linf", "unconstrained"])
@pytest.mark.parametrize("loss_name", ["cross_entropy", "margin"])
def test_the_attack_raises_the_loss_it_climbs(norm, loss_name):
    attacked = attack(IMAGE, 1, norm=norm, step_size=0.01, loss=loss_name)
    assert loss(attacked, 1) > loss(IMAGE, 1) + 0.05
    assert attacked.min() >= 0 and attacked.max() <= 1


def test_a_targeted_attack_moves_to_its_target():
    towards = attack(IMAGE, 2, targeted=True)
    assert loss(towards, 2) < loss(IMAGE, 2)
    away = attack(IMAGE, 2, targeted=False)
    assert loss(away, 2) > loss(IMAGE, 2)


def test_sphere_start_lies_on_the_sphere():
    start = attack(IMAGE, 0, jax.random.key(0), random_start="sphere", steps=0)
    np.testing.assert_allclose(jnp.linalg.norm(start - IMAGE), 0.3, rtol=1e-5)


def test_uniform_l2_start_fills_the_ball():
    # In two dimensions the radius over eps, squared, is uniform: mean 1/2, and a quarter of the
    # starts lie within half the radius.
    flat = jnp.full((2,), 0.5)
    start = partial(
        adversary,
        lambda x: (x, {}),
        flat,
        0,
        eps=0.3,
        step_size=0.0,
        steps=0,
        random_start="uniform",
    )
    keys = jax.random.split(jax.random.key(1), 4000)
    radii = np.linalg.norm(np.asarray(jax.jit(jax.vmap(start))(keys)) - 0.5, axis=1)
    assert radii.max() <= 0.3 + 1e-6
    np.testing.assert_allclose(jnp.mean((radii / 0.3) ** 2), 0.5, atol=0.02)
    np.testing.assert_allclose(jnp.mean(radii < 0.15), 0.25, atol=0.025)


def test_uniform_linf_start_fills_the_box():
    keys = jax.random.split(jax.random.key(1), 500)
    start = partial(attack, IMAGE, 0, norm="linf", random_start="uniform", steps=0)
    delta = np.asarray(jax.jit(jax.vmap(start))(keys)) - np.asarray(IMAGE)[None]
    assert 0.29 < np.max(np.abs(delta)) <= 0.3 + 1e-6
    np.testing.assert_allclose(np.std(delta), 0.3 / np.sqrt(3), rtol=0.02)


@pytest.mark.parametrize("targeted", [False, True])
def test_restarts_keep_the_worst_case_of_each_image(targeted):
    key = jax.random.key(7)
    options = dict(random_start="sphere", targeted=targeted, steps=2)
    singles = [attack(IMAGE, 1, k, **options) for k in jax.random.split(key, 6)]
    losses = np.array([loss(x, 1) for x in singles])
    predictions = jax.jit(jax.vmap(lambda x: apply(x)[0].argmax()))(np.stack(singles))
    fooled = (predictions == 1) == targeted
    assert np.ptp(losses) > 1e-3  # the starts really differ
    hardness = -losses if targeted else losses
    expected = max(range(6), key=lambda i: (fooled[i], hardness[i]))
    worst = attack(IMAGE, 1, key, restarts=6, **options)
    np.testing.assert_allclose(worst, singles[expected], atol=1e-5)


def test_survivors_are_those_of_each_attack_whatever_the_batches():
    images = np.asarray(jax.random.randint(jax.random.key(2), (10, *SHAPE), 0, 256), np.uint8)
    predict = jax.jit(jax.vmap(lambda x: apply(pixels(x))[0].argmax()))
    labels = np.array(predict(images), np.int32)
    labels[::3] = (labels[::3] + 1) % 4  # some are wrong from the start

    def batches(size):
        for start in range(0, 10, size):
            rows = np.arange(start, start + size)
            real = rows < 10
            padded = np.where(real, rows, 0)
            yield {
                "image": images[padded],
                "label": labels[padded],
                "index": rows,
                "mask": real.astype(np.float32),
            }

    attacks = [attack_module.protocol(0.0, 5), attack_module.protocol(0.5, 5)]
    attacks[1]["random_start"] = "sphere"
    network = jax.tree_util.Partial(apply)
    runs = [
        robustness.robust_accuracy_mask(network, batches(size), jax.random.key(0), attacks)
        for size in (4, 10)
    ]
    for clean, attacked in runs:
        np.testing.assert_array_equal(clean, np.arange(10) % 3 != 0)
        assert attacked.sum() < clean.sum()
        assert not attacked[~clean].any()
    np.testing.assert_array_equal(runs[0][1], runs[1][1])


def test_a_network_that_answers_nan_has_not_survived():
    broken = jax.tree_util.Partial(lambda x: (jnp.full(4, jnp.nan) + 0 * x.sum(), {}))
    labels, keys = jnp.zeros(1, int), jax.random.split(jax.random.key(0), 1)
    correct = robustness.correct_under_attack(
        broken, IMAGE[None], labels, keys, eps=0.1, step_size=0.1, steps=1
    )
    assert not correct.any()


def test_the_protocol_is_the_papers():
    # Table 5: eps 3 in 20 steps of 0.375.
    assert attack_module.protocol(3.0, 20) == {"eps": 3.0, "step_size": 0.375, "steps": 20}


def test_restarts_prefer_an_image_that_fools_over_a_greater_loss():
    # Class 0 is true. Left of 0.5 the loss is great without an error; right of it, small with one.
    def bimodal(x):
        wrong = x[0] > 0.5
        logits = jnp.where(wrong, jnp.array([0.0, 0.1, -50.0]), jnp.array([0.05, 0.0, 0.0]))
        return logits + 0 * x[0], {}

    image = jnp.array([0.5])
    losses = jax.vmap(lambda x: -jax.nn.log_softmax(bimodal(x)[0])[0])
    left, right = jax.jit(losses)(np.float32([[0.2], [0.8]]))
    assert left > 1.0 > right
    search = partial(
        adversary, bimodal, eps=0.4, step_size=0.0, steps=0, random_start="uniform", restarts=16
    )
    assert jax.jit(search)(image, 0, jax.random.key(0))[0] > 0.5


def test_the_best_iterate_is_never_worse_than_the_image():
    for label in range(4):
        best = attack(IMAGE, label, eps=2.0, step_size=2.0, steps=3, return_iterate="best")
        assert loss(best, label) >= loss(IMAGE, label) - 1e-6


def test_eps_may_be_mapped_over():
    eps = jnp.array([0.0, 0.1, 0.3])
    search = jax.jit(jax.vmap(lambda e: attack(IMAGE, 1, eps=e, step_size=e / 4)))
    images = search(eps)
    losses = [loss(x, 1) for x in images]
    np.testing.assert_array_equal(images[0], IMAGE)
    assert losses[0] < losses[1] < losses[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(norm="l3"), "attack.norm='l3'"),
        (dict(loss="hinge"), "attack.loss='hinge'"),
        (dict(norm="linf", random_start="sphere"), "attack.random_start='sphere'"),
        (dict(restarts=3), "attack.restarts=3"),
        (dict(restarts=0), "attack.restarts=0"),
        (dict(return_iterate="first"), "attack.return_iterate='first'"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(BadInput, match=message):
        attack(IMAGE, 0, jax.random.key(0), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 1.0, "step_size": 0.1}, r"missing: \['steps'\]"),
        (
            {"eps": 1.0, "step_size": 0.1, "steps": 1, "norms": "l2"},
            r"no such options: \['norms'\]",
        ),
    ],
)
def test_options_that_are_missing_or_unknown_are_named(options, message):
    with pytest.raises(TypeError, match=message):
        adversary(apply, IMAGE, 0, **options)
