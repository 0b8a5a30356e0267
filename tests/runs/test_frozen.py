"""What a frozen network answers about images as they come, one or many."""

import jax
import numpy as np
import pytest

import rrjax
from rrjax import BadInput, runs
from rrjax.core import attribution, representation, search


@pytest.fixture(scope="module")
def network(trained):
    return runs.load(trained / "robust")


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.uniform(size=(3, 16, 16, 1)).astype(np.float32)


def test_one_image_is_as_the_first_of_many(network, images):
    one, many = network.predict(images[0]), network.predict(images)
    assert one.name == many.name[0] == str(one.label)
    np.testing.assert_allclose(one.probabilities, many.probabilities[0], rtol=1e-4)
    np.testing.assert_allclose(many.probabilities.sum(-1), 1, rtol=1e-5)
    one, many = (network.invert(x, 0.5 * images[0], steps=3) for x in (images[0], images))
    assert one.x.shape == (16, 16, 1) and many.x.shape == images.shape
    np.testing.assert_allclose(one.value, many.value[0], rtol=1e-4)
    maps = network.saliency(images, labels=[1, 2, 3])
    np.testing.assert_allclose(network.saliency(images[1], labels=2), maps[1], atol=1e-5)


@pytest.mark.parametrize("method", attribution.METHODS)
def test_every_attribution_has_a_map_of_each_image(network, images, method):
    maps = network.saliency(images, labels=[1, 2, 3], method=method)
    assert maps.shape == (*images.shape[:3], 1)
    assert np.isfinite(maps).all() and maps.any()


def test_an_inversion_is_that_of_the_function_of_one_image(network, images):
    """In chunks of steps, and of images that do not divide by the batch."""
    starts = representation.noise(images.shape, np.random.default_rng(7))
    ticks = []
    options = {"steps": search.CHUNK + 3, "step_size": 0.1, "batch_size": 2}
    result = network.invert(images, starts, tick=ticks.append, **options)
    assert ticks == 2 * [search.CHUNK, 3]
    assert result.steps.tolist() == 3 * [search.CHUNK + 3]
    _, reps = network(images)
    invert = jax.jit(
        jax.vmap(
            lambda x, y: rrjax.invert(network.apply, x, y, step_size=0.1, steps=search.CHUNK + 3)
        )
    )
    expected = invert(starts, reps["representation"])
    np.testing.assert_allclose(result.value, expected.value, rtol=0.02)  # float32 is chaotic
    before = network.invert(images, starts, steps=0).value
    assert (result.value < 0.8 * before).all()


def test_what_is_grown_grows(network):
    start = np.full((16, 16, 1), 0.5, np.float32)
    logits, reps = network(start[None])
    result = network.visualize(start, logit=["3", 4], steps=5)
    reached = network(result.x)[0]
    assert reached[0, 3] > logits[0, 3] and reached[1, 4] > logits[0, 4]
    np.testing.assert_allclose(-result.value, reached[[0, 1], [3, 4]], rtol=1e-4)
    alive = int(reps["representation"][0].argmax())
    unit = network.visualize(start, unit=alive, steps=5)
    assert unit.x.shape == start.shape and -unit.value > reps["representation"][0, alive]
    channel = network.visualize(start, channel=("block1", 2), steps=5)
    grown = network(channel.x[None])[1]["block1"][0, ..., 2].mean()
    np.testing.assert_allclose(-channel.value, grown, rtol=1e-4)
    assert network.visualize(unit=1, steps=1).x.shape == (16, 16, 1)  # from gray


def test_towards_a_class_and_away_from_it(network, images):
    result = network.towards("3", images, steps=20)
    shares = network.predict(images).probabilities[:, 3]
    assert (network.predict(result.x).probabilities[:, 3] > shares).all()
    np.testing.assert_allclose(
        result.value, -np.log(network.predict(result.x).probabilities[:, 3]), rtol=1e-3, atol=1e-5
    )
    predicted = network.predict(images).label
    attacked = network.attack(images, eps=0.5, steps=3)
    assert (np.linalg.norm((attacked - images).reshape(3, -1), axis=1) < 0.5001).all()
    before, after = (network.predict(x).probabilities for x in (images, attacked))
    rows = np.arange(3)
    assert (after[rows, predicted] < before[rows, predicted]).all()


def test_an_attack_with_a_loss_of_ones_own(network, images):
    """Minus the logit of a class, as a function: the class's logit falls."""

    def loss(logits, label):
        return -logits[label]

    attacked = network.attack(images, labels=[1, 1, 2], eps=0.5, steps=3, loss=loss)
    rows, labels = np.arange(3), [1, 1, 2]
    before, after = (network(x)[0][rows, labels] for x in (images, attacked))
    assert (after < before).all()
    margin = network.attack(images, labels=[1, 1, 2], eps=0.5, steps=3, loss="margin")
    assert np.abs(margin - attacked).max() > 1e-3


def test_each_image_draws_its_own_start_whatever_its_batch(network, images):
    options = {"eps": 0.5, "steps": 0, "random_start": "sphere", "step_size": 0.1}
    whole = network.attack(images, **options)
    np.testing.assert_array_equal(whole, network.attack(images, batch_size=2, **options))
    change = whole - images
    assert np.abs(change[0] - change[1]).max() > 0.01


def test_a_network_says_what_it_is_in_a_line(network):
    assert repr(network) == "<Frozen tiny, 10 classes, images 16x16x1; trained against: l2, eps 2>"
    assert network.classes == tuple("0123456789") and network.image_size == 16
    page = network._repr_html_()
    assert page.startswith("<table>") and "<td>tiny</td>" in page and len(page) < 1000


def test_class_names_come_with_networks():
    assert rrjax.load("cifar10_standard").classes[:3] == ("airplane", "automobile", "bird")
    assert rrjax.load("rin64_standard").label("crustacean") == 7


def test_the_length_of_a_step_follows_the_side():
    assert search.step_size(64) == 2 * search.step_size(32)


MISTAKES = [
    (lambda n, x: n.predict("dog.jpg"), "'dog.jpg' is a text: read it by rrjax.read_image"),
    (lambda n, x: n.predict((255 * x).astype(np.uint8)), "uint8: give floats in [0,1], divided"),
    (lambda n, x: n.predict(255 * x), "divided by 255 and not normalized"),
    (lambda n, x: n.predict(np.zeros((16, 16, 3))), "this network takes (N, H, W, 1)"),
    (lambda n, x: n.predict(np.zeros((20, 20, 1))), "20 by 20 pixels: this network takes 16"),
    (lambda n, x: n.predict([x[0], x[0, :8]]), "images of several shapes"),
    (lambda n, x: n.predict(x * np.nan), "pixels from nan to nan"),
    (lambda n, x: n.towards("thre"), "no class 'thre': there are 0, 1, 2"),
    (lambda n, x: n.towards(10), "class=10: there are 10 classes, 0 to 9"),
    (lambda n, x: n.visualize(unit=9999), "unit=9999: there are"),
    (lambda n, x: n.visualize(), "give one of unit=, logit= and channel="),
    (
        lambda n, x: n.visualize(channel=("layer9", 0)),
        "this network has block1, block2, logits, repr",
    ),
    (lambda n, x: n.visualize(channel=("block1", 99)), "channel=99: there are 4 channels"),
    (lambda n, x: n.invert(x, steps=-1), "steps=-1: it must not be negative"),
    (lambda n, x: n.invert(x, steps=2.5), "steps=2.5: give a whole number"),
    (lambda n, x: n.invert(x, batch_size=0), "batch_size=0: give at least 1"),
    (lambda n, x: n.invert(x, x[:2]), "a start of shape (2, 16, 16, 1): give one of (16, 16, 1)"),
    (lambda n, x: n.attack(x, eps=8, norm="linf"), "did you mean 8/255?"),
    (lambda n, x: n.attack(x, eps=1, loss="ce"), "attack.loss='ce'"),
    (lambda n, x: n.attack(x, labels=[1], eps=1), "1 labels for 3 images"),
    (lambda n, x: n.attack(x, eps=0), "eps=0: give the radius"),
    (lambda n, x: n.attack(x, norm="linf"), "norm='linf' without eps: the network was trained"),
    (lambda n, x: n.attack(x, eps=1, targeted=True), "targeted without labels: give the classes"),
    (lambda n, x: n.saliency(x, method="grad"), "choose from gradient, gradient_x_input"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_a_mistake_is_answered_by_one_line(mistake, message, network, images):
    with pytest.raises(BadInput) as caught:
        mistake(network, images)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_an_option_that_there_is_not(network, images):
    with pytest.raises(TypeError, match="no such options: step: there are steps, step_size"):
        network.invert(images, step=3)
