"""What gradient steps reach where it is known in closed form: linear networks and squares."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax.core import representation, vmapped
from rrjax.errors import BadInput

SHAPE = (4, 4, 1)
SEEN = jax.random.normal(jax.random.key(0), (6, 16))


def apply(image):
    """A network that sees six directions of sixteen."""
    return jnp.zeros(3), {"representation": SEEN @ image.ravel()}


def images(seed, n=3):
    return jax.random.uniform(jax.random.key(seed), (n, *SHAPE), minval=0.3, maxval=0.7)


APPLY = jax.tree_util.Partial(apply)  # as a Frozen network's: jit takes it as an argument
invert = partial(vmapped.invert_images, APPLY, APPLY)


def test_inversion_reaches_the_representation_and_moves_only_where_the_network_sees():
    starts, targets = images(1), images(2)
    result = invert(starts, targets, eps=1000.0, step_size=0.01, steps=400)
    assert result.value.max() < 0.02
    moved = (result.x - starts).reshape(3, 16)
    blind = np.linalg.svd(SEEN)[2][6:]
    np.testing.assert_allclose(moved @ blind.T, 0, atol=1e-4)
    assert jnp.linalg.norm(moved, axis=1).min() > 0.1


def test_an_image_is_its_own_inversion():
    targets = images(2)
    result = invert(targets, targets, eps=1000.0, step_size=0.1, steps=5)
    np.testing.assert_array_equal(result.x, targets)
    np.testing.assert_array_equal(result.value, 0)


def test_the_radius_binds():
    starts, targets = images(1), images(2)
    result = invert(starts, targets, eps=0.05, step_size=0.02, steps=50)
    distances = jnp.linalg.norm((result.x - starts).reshape(3, -1), axis=1)
    np.testing.assert_allclose(distances, 0.05, atol=1e-5)


@pytest.mark.parametrize("return_iterate", ["best", "last"])
def test_a_search_in_chunks_is_the_whole_search(return_iterate):
    starts, targets = images(1), images(2)
    # Steps too long to settle: the best iterate is not the last, and lies in a middle chunk.
    options = {"eps": 0.5, "step_size": 0.2, "steps": 25, "return_iterate": return_iterate}
    whole = invert(starts, targets, **options)
    bar = []
    result = vmapped.invert_in_chunks(
        APPLY, APPLY, starts, targets, **options, chunk=7, each=lambda all_: bar.extend(all_) or bar
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), result, whole)
    assert bar == [0, 7, 14, 21]


def test_many_images_are_each_inverted_alone():
    starts, targets = images(1), images(2)
    result = invert(starts, targets, eps=1000.0, step_size=0.01, steps=30)
    _, reps = apply(targets[1])
    alone = representation.invert(
        apply, starts[1], reps["representation"], eps=1000.0, step_size=0.01, steps=30
    )
    np.testing.assert_allclose(result.x[1], alone.x, atol=1e-5)


def squares(image):
    """A network whose representation is its pixels, squared."""
    return jnp.zeros(2), {"representation": image.ravel() ** 2}


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_interpolation_mixes_representations_and_not_pixels(weight):
    left, right = jnp.full((1, 2, 1), 0.2), jnp.full((1, 2, 1), 0.8)
    between = jax.jit(partial(representation.interpolate, squares, step_size=1e-3, steps=400))
    result = between(left, right, weight)
    expected = np.sqrt((1 - weight) * 0.2**2 + weight * 0.8**2)
    np.testing.assert_allclose(result.x, expected, atol=2e-3)
    assert result.value < 0.01


def test_of_a_linear_network_the_mixture_of_pixels_is_the_interpolation():
    left, right = images(1)[0], images(2)[0]
    result = representation.interpolate(apply, left, right, 0.5, steps=3)
    np.testing.assert_allclose(result.x, (left + right) / 2, atol=1e-6)


# Three orthogonal units that see one pixel each, with these weights.
WEIGHTS = np.array([2.0, 1.0, 0.5], np.float32)


def pixels(image):
    return jnp.zeros(2), {"representation": WEIGHTS * image.ravel()}


def test_a_unit_grows_along_its_weights_alone():
    start = jnp.full((1, 3, 1), 0.25)
    grow = jax.vmap(partial(representation.visualize, pixels, step_size=0.125), (None, 0))
    result = grow(start, jnp.arange(3))
    np.testing.assert_allclose(result.x.reshape(3, 3), 0.25 + 0.75 * np.eye(3), atol=1e-6)
    np.testing.assert_allclose(result.value, -WEIGHTS, rtol=1e-6)
    few = representation.visualize(pixels, start, 1, step_size=0.125, steps=2)
    np.testing.assert_allclose(few.x.ravel(), [0.25, 0.5, 0.25], atol=1e-6)


@pytest.mark.parametrize(
    ("stop", "unit", "steps"),
    [
        ("largest", 1, 3),  # from .25 by eighths past the first unit's .5: .625
        ("largest", 0, 0),  # it is already
        ("largest", 2, 5),  # .5 times at most 1 never passes .5, however many steps
        ("threshold", 0, 2),  # from .5 by quarters to 1
        ("threshold", 1, 5),  # at most 1 at the sixth
    ],
)
def test_a_manipulation_stops_as_soon_as_it_is_enough(stop, unit, steps):
    start = jnp.full((1, 3, 1), 0.25)
    manipulate = jax.jit(partial(representation.manipulate, pixels, stop=stop, step_size=0.125))
    result = manipulate(start, unit, steps=5)
    assert result.steps == steps
    expected = np.full(3, 0.25)
    expected[unit] += steps * 0.125
    np.testing.assert_allclose(result.x.ravel(), expected, atol=1e-6)


def test_a_unit_that_is_zero_as_all_others_has_not_won():
    result = representation.manipulate(pixels, jnp.zeros((1, 3, 1)), 0, step_size=0.125, steps=4)
    assert result.steps == 1


def test_an_unknown_stop_is_refused():
    with pytest.raises(BadInput, match="'never': choose one of"):
        representation.manipulate(pixels, jnp.zeros((1, 3, 1)), 0, stop="never")


def test_noise_is_the_papers():
    noise = representation.noise((50, 16, 16, 3), np.random.default_rng(0))
    np.testing.assert_allclose([noise.mean(), noise.std()], [0.5, 0.05], atol=1e-3)
    assert noise.dtype == np.float32 and noise.min() >= 0 and noise.max() <= 1


def test_features_of_any_tree_are_a_representation():
    features = representation.of_features(lambda image: (image[:2], {"rest": 2 * image[2:]}))
    image = images(1)[0]
    expected = jnp.concatenate([image[:2].ravel(), 2 * image[2:].ravel()])
    np.testing.assert_array_equal(features(image)[1]["representation"], expected)


def test_the_nearest_of_a_gallery_by_hand():
    gallery = np.zeros((2, *SHAPE), np.float32)
    gallery[0, 0, 0], gallery[1, 0, 0] = 0.5, 0.2
    observed = jax.tree_util.Partial(lambda image: (image.sum(), {"representation": image[0, 0]}))
    result = vmapped.nearest_distance(observed, gallery * 2, gallery, batch_size=2)
    np.testing.assert_allclose(result, [1.0, 0.2], rtol=1e-6)  # |1 - .5| / .5, |.4 - .5| / .5
    with pytest.raises(BadInput, match="representations of all 2 gallery images are zero"):
        vmapped.nearest_distance(observed, gallery, np.zeros_like(gallery), batch_size=2)
