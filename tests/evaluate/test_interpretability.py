"""Scores of attributions where the answer is known, and beside Quantus's and scipy's."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from paths import GOLDEN
from rrjax import BadInput
from rrjax.core import attribution
from rrjax.evaluate import interpretability

RNG = np.random.default_rng(0)
SHAPE = (4, 5, 3)
WEIGHTS, IMAGE = (RNG.random(SHAPE).astype(np.float32) - shift for shift in (0.5, 0.0))
KEY = jax.random.key(0)
FILL = 0.25


def linear(image):
    return jnp.sum(WEIGHTS * image)


def square(image):
    return jnp.sum(image**2)


def test_sparseness_and_complexity_by_hand():
    equal, alone = jnp.ones((5, 5)), jnp.zeros((5, 5)).at[2, 3].set(-7.0)
    np.testing.assert_allclose(interpretability.sparseness(equal), 0, atol=1e-6)
    np.testing.assert_allclose(interpretability.sparseness(alone), 24 / 25, rtol=1e-6)
    np.testing.assert_allclose(interpretability.sparseness(jnp.array([3.0, -1.0])), 0.25)
    np.testing.assert_allclose(interpretability.complexity(equal), np.log(25), rtol=1e-6)
    assert interpretability.complexity(alone) == 0


def test_scale_changes_neither_sparseness_nor_complexity():
    for score in (interpretability.sparseness, interpretability.complexity):
        np.testing.assert_allclose(score(1e-6 * WEIGHTS), score(WEIGHTS), rtol=1e-4)


def test_a_map_that_is_constant_has_no_ranks_to_correlate():
    assert interpretability.spearman(jnp.asarray(WEIGHTS), jnp.full(SHAPE, 0.3)) == 0


def test_of_a_linear_scalar_curves_are_sums():
    """Deletion loses what the first pixels are worth; insertion has gained the same."""
    worth = (WEIGHTS * (IMAGE - FILL)).sum(-1)
    gained = np.concatenate([[0], np.cumsum(np.sort(worth, None)[::-1])])
    arguments = (IMAGE, attribution.ranks(jnp.asarray(worth)), jnp.arange(21), FILL)
    deleted = interpretability.deletion(linear, *arguments)
    inserted = interpretability.insertion(linear, *arguments)
    np.testing.assert_allclose(deleted, linear(IMAGE) - gained, rtol=1e-4, atol=1e-5)
    empty = linear(np.full(SHAPE, FILL, np.float32))
    np.testing.assert_allclose(inserted, empty + gained, rtol=1e-4, atol=1e-5)


def test_road_is_deletion_from_an_imputed_image():
    ranks = attribution.ranks(jnp.asarray(WEIGHTS.sum(-1)))
    road = jax.jit(partial(interpretability.road, linear))
    actual = road(IMAGE, ranks, jnp.array([0, 7]), KEY)
    imputed = jax.jit(attribution.noisy_linear)(IMAGE, ranks < 7, KEY)
    np.testing.assert_allclose(actual, [linear(IMAGE), linear(imputed)], rtol=1e-4)


def test_the_area_of_a_straight_line_is_its_middle():
    counts = jnp.array([0, 1, 5, 20])
    np.testing.assert_allclose(interpretability.area(1 - counts / 20, counts), 0.5, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 7, 19])
def test_sensitivity_n_of_a_linear_scalar(n):
    """Gradient x input says all of it, its negative the contrary."""
    attributed = attribution.gradient_x_input(linear, IMAGE, FILL)
    score = jax.jit(partial(interpretability.sensitivity_n, linear, IMAGE, n=n, fill=FILL))
    np.testing.assert_allclose(score(attributed, KEY), 1, rtol=1e-4)
    np.testing.assert_allclose(score(-attributed, KEY), -1, rtol=1e-4)
    assert abs(score(attribution.random(IMAGE, KEY), KEY)) < 0.8


def test_infidelity_of_a_gradient():
    """0 of a linear scalar; of |x|^2 the square of what is left, |noise|^2, on average."""
    score = partial(interpretability.infidelity, n=2000, sigma=0.1)
    assert score(linear, IMAGE, WEIGHTS, KEY) < 1e-9
    expected = 0.1**4 * (2 * IMAGE.size + IMAGE.size**2)
    np.testing.assert_allclose(score(square, IMAGE, 2 * IMAGE, KEY), expected, rtol=0.05)


def test_max_sensitivity_of_a_gradient():
    """0 of a linear scalar; of |x|^2 the largest noise over the image's own length."""
    score = partial(interpretability.max_sensitivity, n=50, radius=0.1)
    assert score(partial(attribution.gradient, linear), IMAGE, KEY) == 0
    actual = score(partial(attribution.gradient, square), IMAGE, KEY)
    typical = 0.1 * np.sqrt(IMAGE.size / 3) / np.linalg.norm(IMAGE)
    assert typical < actual < 1.3 * typical


def test_alignment_by_hand():
    image, gradient = jnp.array([3.0, 4.0]).reshape(1, 2, 1), jnp.array([0.0, -2.0])
    gradient = gradient.reshape(1, 2, 1)
    np.testing.assert_allclose(interpretability.alignment(image, gradient), 4, rtol=1e-6)
    np.testing.assert_allclose(interpretability.cosine(image, gradient), -0.8, rtol=1e-6)


def test_edges_are_like_themselves_and_unlike_a_random_map():
    image = attribution.blur(jnp.asarray(RNG.random((24, 20, 3)), jnp.float32), 2.0)
    edges = attribution.magnitude(attribution.sobel(image))
    np.testing.assert_allclose(interpretability.edge_similarity(image, 7 * edges), 1, rtol=1e-4)
    other = attribution.magnitude(attribution.random(image, KEY))
    assert interpretability.edge_similarity(image, other) < 0.3
    with pytest.raises(BadInput, match="at least 11"):
        interpretability.edge_similarity(image[:8], edges[:8])


def test_spearman_is_scipys_ties_included():
    a, b = RNG.random((2, 30, 30)).astype(np.float32)
    b = np.round(a + b, 1)
    expected = scipy.stats.spearmanr(a.ravel(), b.ravel()).statistic
    np.testing.assert_allclose(interpretability.spearman(a, b), expected, rtol=1e-4)


def test_randomization_runs_from_the_top_down():
    """The map is the product of two layers: the top one drawn anew, then both, then all three."""
    learned, drawn = (
        {"params": {name: {"kernel": RNG.random((6, 6)) - 0.5} for name in ("top", "low", "idle")}}
        for _ in range(2)
    )

    def attribute(variables, image):
        layers = variables["params"]
        return layers["top"]["kernel"] * layers["low"]["kernel"] * image

    image = RNG.random((6, 6))
    score = partial(interpretability.cascading_randomization, attribute, learned, drawn)
    actual = score(("top", "low", "idle"), image)
    half = drawn["params"]["top"]["kernel"] * learned["params"]["low"]["kernel"] * image
    expected = [
        scipy.stats.spearmanr(attribute(learned, image).ravel(), map_.ravel()).statistic
        for map_ in (half, attribute(drawn, image), attribute(drawn, image))
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(BadInput, match=r"no layers \['fc'\]"):
        score(("fc", "top"), image)


def test_a_score_of_one_image_does_not_depend_on_its_batch():
    images = np.stack([IMAGE, 1 - IMAGE])
    gradients = jax.vmap(jax.grad(square))(images)
    score = partial(interpretability.sensitivity_n, square, key=KEY, n=5, fill=FILL)
    both = jax.vmap(lambda x, a: score(x, a))(images, gradients)
    alone = [score(x, a) for x, a in zip(images, gradients, strict=True)]
    np.testing.assert_allclose(both, alone, rtol=1e-4)


@pytest.fixture
def quantus():
    """Hold what Quantus says, and what it was asked: golden/make_scores.py."""
    return np.load(GOLDEN / "scores.npz")


@pytest.mark.parametrize("size", [8, 28])
def test_sparseness_and_complexity_are_quantus_s(size, quantus):
    maps = quantus[f"maps{size}/maps"]
    for score in (interpretability.sparseness, interpretability.complexity):
        # Quantus adds 1e-7 or 1e-12 to a map first, and is float64.
        expected = quantus[f"maps{size}/{score.__name__}"]
        np.testing.assert_allclose(jax.vmap(score)(maps), expected, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_deletion_is_quantus_s_pixel_flipping(channels, quantus):
    images, maps, kernel, labels, curves = (
        quantus[f"flipping{channels}/{name}"]
        for name in ("images", "maps", "kernel", "labels", "curves")
    )

    def deleted(image, importance, label):
        def probability(x):
            return jax.nn.softmax(jnp.tanh(x.ravel() @ kernel))[label]

        ranks = attribution.ranks(importance)
        return interpretability.deletion(probability, image, ranks, jnp.arange(2, 37, 2), 0.0)

    actual = jax.jit(jax.vmap(deleted))(images, maps, labels)
    np.testing.assert_allclose(actual, curves, rtol=0, atol=1e-6)
