"""What gradient steps reach where it is known in closed form: linear networks and squares."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax import BadInput
from rrjax.core import representation, vmapped

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


def test_snapshots_are_what_shorter_searches_reach():
    starts, targets = images(1), images(2)
    # Steps too long to settle: the best iterate is not the last.
    options = {"eps": 0.5, "step_size": 0.2}
    whole = invert(starts, targets, **options, steps=25)
    recorded = invert(starts, targets, **options, steps=25, record=3)
    for name in ("x", "value", "steps", "last"):
        one, other = getattr(recorded, name), getattr(whole, name)
        np.testing.assert_allclose(one, other, atol=1e-5, err_msg=name)
    assert whole.snapshots is None and recorded.snapshots.shape == (3, 3, *starts.shape[1:])
    for i, steps in enumerate((8, 16, 25)):
        shorter = invert(starts, targets, **options, steps=steps)
        np.testing.assert_allclose(recorded.snapshots[:, i], shorter.last, atol=1e-5)


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


def test_rows_of_noise_are_those_drawn_at_once():
    at_once, by_rows = np.random.default_rng(3), np.random.default_rng(3)
    noise = representation.noise((5, 4, 4, 3), at_once)
    rows = representation.noise_rows(5, (4, 4, 3), by_rows)
    assert len(rows) == 5
    np.testing.assert_array_equal(np.concatenate([rows[3:], rows[:3]]), noise[[3, 4, 0, 1, 2]])
    assert by_rows.random() == at_once.random()  # what is drawn next is the same


def stages(image):
    """A network of one map, whose second channel is twice the first."""
    maps = jnp.concatenate([image, 2 * image], axis=-1)
    return jnp.array([7.0, 8.0]), {"layer1": maps, "representation": image.ravel()}


@pytest.mark.parametrize(
    ("stage", "channels", "expected"),
    [
        ("representation", True, [0.1, 0.2, 0.3, 0.4]),
        ("layer1", True, [0.25, 0.5]),
        ("layer1", False, [0.1, 0.2, 0.2, 0.4, 0.3, 0.6, 0.4, 0.8]),
        ("logits", True, [7, 8]),
    ],
)
def test_another_stage_is_the_representation(stage, channels, expected):
    image = jnp.array([[0.1, 0.2], [0.3, 0.4]])[..., None]
    logits, reps = representation.of_stage(stages, stage, channels)(image)
    np.testing.assert_allclose(reps["representation"], expected, rtol=1e-6)
    assert logits.tolist() == [7, 8]


def test_a_channel_grows_everywhere_and_a_map_is_inverted():
    image, target = jnp.full((2, 2, 1), 0.5), jnp.full((2, 2, 1), 0.75)
    channels = representation.of_stage(stages, "layer1", channels=True)
    grown = representation.visualize(channels, image, 1, step_size=0.1, steps=2)
    np.testing.assert_allclose(grown.x, 0.6, atol=1e-6)  # of l2 length 0.2, over four pixels
    maps = representation.of_stage(stages, "layer1")
    goal = maps(target)[1]["representation"]
    inverted = representation.invert(maps, image, goal, step_size=0.1, steps=5)
    np.testing.assert_allclose(inverted.x, target, atol=1e-6)


def test_a_stage_that_there_is_not_is_refused_by_names():
    with pytest.raises(BadInput, match=r"stage='layer9': .* layer1, logits, representation"):
        representation.of_stage(stages, "layer9")(jnp.zeros((2, 2, 1)))


def test_units_that_are_given_come_first_and_may_be_dead():
    observed = np.array([[0.0, 1.0, 2.0, 3.0], [0.0, 2.0, 2.0, 5.0]])  # 0 and 2 never differ
    rng = np.random.default_rng(0)
    assert vmapped.alive_units(observed, 3, rng, (2,)).tolist()[0] == 2
    assert sorted(vmapped.alive_units(observed, 3, rng, (2,))) == [1, 2, 3]
    assert vmapped.alive_units(observed, 1, rng, (0,)).tolist() == [0]
    with pytest.raises(BadInput, match="4 units are asked for, 1 of them by first_units; 2 others"):
        vmapped.alive_units(observed, 4, rng, (0,))
    with pytest.raises(BadInput, match="first_units=4: there are 4 units, 0 to 3"):
        vmapped.alive_units(observed, 2, rng, (4,))


def test_features_of_any_tree_are_a_representation():
    features = representation.of_features(lambda image: (image[:2], {"rest": 2 * image[2:]}))
    image = images(1)[0]
    expected = jnp.concatenate([image[:2].ravel(), 2 * image[2:].ravel()])
    np.testing.assert_array_equal(features(image)[1]["representation"], expected)


def test_the_distance_of_two_images_is_that_of_directions():
    observed = jax.tree_util.Partial(
        lambda image: (image.sum(), {"representation": image[:, 0, 0]})
    )
    image = jnp.zeros((3, 1, 1)).at[0].set(0.2)
    others = {0.0: 4 * image, 2**0.5: image[::-1], 1.0: 0 * image}
    others[(2 - 2**0.5) ** 0.5] = image + image[::-1]  # at 45 degrees
    for expected, other in others.items():
        distance = representation.distance(observed, image, other)
        np.testing.assert_allclose(distance, expected, atol=1e-6)


def test_the_nearest_of_a_gallery_by_hand():
    gallery = np.zeros((2, *SHAPE), np.float32)
    gallery[0, 0, 0], gallery[1, 0, 0] = 0.5, 0.2
    observed = jax.tree_util.Partial(lambda image: (image.sum(), {"representation": image[0, 0]}))
    result = vmapped.nearest_distance(observed, gallery * 2, gallery[:, 0, 0], batch_size=2)
    np.testing.assert_allclose(result, [1.0, 0.2], rtol=1e-6)  # |1 - .5| / .5, |.4 - .5| / .5
    with pytest.raises(BadInput, match="representations of all 2 gallery images are zero"):
        vmapped.nearest_distance(observed, gallery, np.zeros((2, 1), np.float32), batch_size=2)
