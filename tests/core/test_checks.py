"""What is impossible is said in one line, where before an answer came that was wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax import BadInput, models
from rrjax.configs import robust_digits
from rrjax.core import attack, attribution, objectives, representation, vmapped
from rrjax.data.augment import pixels
from rrjax.runs import networks
from rrjax.train.tasks import adversaries

SHAPE = (4, 4, 1)
IMAGE = np.full(SHAPE, 0.5, np.float32)
IMAGES = np.full((2, *SHAPE), 0.5, np.float32)
OPTIONS = {"eps": 1.0, "step_size": 0.5, "steps": 2}


def apply(image):
    """A network of three classes and six units, which takes a batch for one image too."""
    flat = image.reshape(*image.shape[:-3], 16)
    return flat[..., :3], {"representation": flat[..., :6]}


TARGET = apply(IMAGE)[1]["representation"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: representation.visualize(apply, IMAGE, 5000), "unit=5000: there are 6 units, 0"),
        (lambda: representation.manipulate(apply, IMAGE, -1), "unit=-1: there are 6 units, 0 to 5"),
        (lambda: objectives.logit(apply, 3)(IMAGE), "label=3: there are 3 classes, 0 to 2"),
        (lambda: objectives.probability(apply, 3)(IMAGE), "label=3"),
        (lambda: objectives.margin(apply, 3)(IMAGE), "label=3"),
        (lambda: objectives.logit(apply, 1.0)(IMAGE), "label is float32: give whole numbers"),
        (lambda: attack.adversary(apply, IMAGE, 3, **OPTIONS), "label=3"),
        (lambda: attack.adversaries(apply, IMAGES, np.array([1, 3]), **OPTIONS), "label=3"),
        (lambda: vmapped.visualize_images(apply, IMAGES, np.array([6, 0])), "unit=6"),
    ],
)
def test_an_index_that_there_is_not(call, message):
    with pytest.raises(BadInput, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: representation.invert(apply, IMAGES, TARGET),
            r"target of shape \(6,\): the",
        ),
        (lambda: representation.invert(apply, IMAGE, np.stack([TARGET] * 2)), r"shape \(2, 6\)"),
        (lambda: representation.visualize(apply, IMAGES, 0), r"representation of shape \(2, 6\)"),
        (lambda: attack.adversary(apply, IMAGES, 0, **OPTIONS), r"logits of shape \(2, 3\)"),
    ],
)
def test_a_batch_is_not_one_image(call, message):
    with pytest.raises(BadInput, match=message):
        call()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x * 255, "pixels from 127.5 to 127.5: give floats in .0,1., divided by 255"),
        (lambda x: x * 4 - 2.5, "pixels from -0.5"),
        (lambda x: x * np.nan, "pixels from nan"),
        (lambda x: (x * 255).astype(np.uint8), "uint8: give floats"),
    ],
)
def test_pixels_are_floats_of_0_to_1(change, message):
    image, images = change(IMAGE), change(IMAGES)
    for call in (
        lambda: attack.adversary(apply, image, 0, **OPTIONS),
        lambda: attack.adversaries(apply, images, np.zeros(2, int), **OPTIONS),
        lambda: representation.invert(apply, image, TARGET),
        lambda: representation.interpolate(apply, image, IMAGE, 0.5),
        lambda: representation.visualize(apply, image, 0),
        lambda: representation.manipulate(apply, image, 0),
        lambda: vmapped.invert_images(apply, apply, images, IMAGES),
        lambda: vmapped.represent(apply, images),
    ):
        with pytest.raises(BadInput, match=message):
            call()


def test_bytes_alone_are_divided_by_255():
    with pytest.raises(BadInput, match="images are float32: uint8 is divided by 255"):
        pixels(IMAGES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": -1.0}, "attack.eps=-1.0: it must not be negative"),
        ({"eps": np.nan}, "attack.eps=nan"),
        ({"norm": "linf", "eps": 8}, "attack.eps=8: .* did you mean 8/255"),
        ({"steps": 0}, "attack.steps=0 with eps=1: this attack never moves"),
        ({"step_size": 0.0}, "attack.step_size=0 with eps=1"),
        ({"step_size": -0.5}, "attack.step_size=-0.5"),
        ({"step_size": np.inf}, "attack.step_size=inf: it must not be negative, and finite"),
    ],
)
def test_an_attack_has_a_size_and_moves(changes, message):
    with pytest.raises(BadInput, match=message):
        attack.adversary(apply, IMAGE, 0, **OPTIONS | changes)
    config = robust_digits.get_config()
    config.attack.update(OPTIONS | changes)
    with pytest.raises(BadInput, match=message):
        adversaries.check(config.attack)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": np.nan}, "^eps=nan"),
        ({"eps": -1}, "^eps=-1: it must not be negative"),
        ({"eps": [0.1, 0.2]}, r"^eps=\[0.1, 0.2\]: give one number"),
        ({"eps": "8/255"}, "^eps='8/255': give one number"),
        ({"step_size": -0.1}, "^step_size=-0.1"),
        ({"steps": -5}, "^steps=-5"),
        ({"steps": 2.5}, "^steps=2.5: give a whole number"),
    ],
)
def test_a_search_has_a_size(options, message):
    for call in (
        lambda: representation.invert(apply, IMAGE, TARGET, **options),
        lambda: representation.interpolate(apply, IMAGE, IMAGE, 0.5, **options),
        lambda: representation.visualize(apply, IMAGE, 0, **options),
        lambda: representation.manipulate(apply, IMAGE, 0, **options),
    ):
        with pytest.raises(BadInput, match=message):
            call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: representation.interpolate(apply, IMAGE, IMAGE, 50), "weight=50: give one number"),
        (lambda: representation.interpolate(apply, IMAGE, IMAGE[:2], 0.5), "give one shape"),
        (
            lambda: representation.invert(apply, IMAGE, TARGET, begin=IMAGE * 255),
            "begin has pixels",
        ),
        (lambda: attack.adversaries(apply, IMAGES, np.zeros((2, 1), int), **OPTIONS), r"\(2, 1\)"),
        (lambda: attack.adversaries(apply, IMAGES, 0, **OPTIONS), r"labels of shape \(\) for"),
        (lambda: attack.adversaries(apply, IMAGES[:0], IMAGES[:0], **OPTIONS), "at least one"),
        (lambda: attack.adversaries(apply, IMAGES, [0, 1], 7, **OPTIONS), r"jax.random.key\(7\)"),
        (lambda: vmapped.represent(apply, IMAGES[:0]), "there is no pixel in it"),
        (lambda: attribution.gradient_x_input(jnp.sum, IMAGE * 255), "pixels from 127.5"),
        (lambda: attribution.integrated_gradients(jnp.sum, IMAGE, points=0), "points=0"),
        (lambda: attribution.smooth(jnp.square, IMAGE, jax.random.key(0), n=0), "n=0"),
        (lambda: attribution.occlude(IMAGE, np.zeros((4, 4), int), 0.1, 0.5), "count=0.1: give a"),
    ],
)
def test_arguments_that_do_not_fit_together(call, message):
    with pytest.raises(BadInput, match=message):
        call()


def test_no_steps_within_no_ball_are_clean_images():
    clean = attack.adversary(apply, IMAGE, 0, eps=0.0, step_size=0.0, steps=0)
    np.testing.assert_array_equal(clean, IMAGE)


@pytest.mark.parametrize("target", [np.zeros(6), np.full(6, np.nan)])
def test_a_target_that_no_distance_is_in_units_of(target):
    with pytest.raises(BadInput, match="a target of norm"):
        representation.invert(apply, IMAGE, target.astype(np.float32))


def test_a_random_start_draws_from_a_key():
    options = OPTIONS | {"random_start": "sphere", "steps": 0}
    labels = np.zeros(2, int)
    with pytest.raises(TypeError, match="random_start='sphere' needs a key"):
        attack.adversaries(apply, IMAGES, labels, **options)
    one, other = attack.adversaries(apply, IMAGES, labels, jax.random.key(0), **options)
    assert 0 < np.linalg.norm(one - IMAGE) <= 1 + 1e-5 and (one != other).any()


def test_many_images_take_a_plain_function_and_no_network():
    plain = attack.adversaries(apply, IMAGES, np.zeros(2, int), **OPTIONS)
    partial = attack.adversaries(jax.tree_util.Partial(apply), IMAGES, np.zeros(2, int), **OPTIONS)
    np.testing.assert_array_equal(plain, partial)
    model = models.create(robust_digits.get_config().model)
    with pytest.raises(BadInput, match="a ResNet for apply: give a function of one image, such as"):
        vmapped.represent(model, IMAGES)


def network(**fields):
    """A network whose weights are 0: nothing is compiled."""
    config = robust_digits.get_config()
    config.model.update(fields)
    model = models.create(config.model)
    shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0), (16, 16, 1)))
    variables = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    return networks._freeze(config, model, variables)


TINY, RESNET = {"name": "tiny", "width": 64}, {"name": "resnet8", "width": 2}


def test_a_network_s_function_is_of_one_image():
    for apply in (network(**TINY).apply, network(**TINY).straight_through):
        with pytest.raises(BadInput, match=r"an image of shape \(2, 16, 16, 1\): give one"):
            jax.eval_shape(apply, jnp.zeros((2, 16, 16, 1)))


def test_another_size_than_a_network_s_own_is_said():
    images = np.zeros((1, 32, 32, 1), np.float32)
    with pytest.raises(BadInput, match="images of 32 by 32 pixels: this network takes 16 by 16"):
        network(**TINY)(images)
    with pytest.warns(UserWarning, match="32 by 32 pixels: this network learned 16 by 16"):
        network(**RESNET)(images)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step_size": -0.1}, "step_size=-0.1: it must not be negative"),
        ({"eps": -1.0}, "eps=-1.0: it must not be negative"),
        ({"steps": -5}, "steps=-5: it must not be negative"),
    ],
)
def test_many_images_are_not_searched_by_what_one_is_not(changes, message):
    options = OPTIONS | changes
    with pytest.raises(BadInput, match=message):
        vmapped.invert_images(apply, apply, IMAGES, IMAGES, **options)
    with pytest.raises(BadInput, match=message):
        vmapped.visualize_images(apply, IMAGES, np.array([0, 1]), **options)
