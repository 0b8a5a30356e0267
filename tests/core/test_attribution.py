"""Attributions where the answer is known: linear and cubic scalars, ties, exact counts.

And beside others': Captum's (a golden file), those of PAIR's saliency, scipy's filters.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import saliency.core as pair
import scipy.ndimage
from ml_collections import ConfigDict

from golden.weights import draw
from paths import GOLDEN
from rrjax import models
from rrjax.core import attribution, objectives
from rrjax.runs import torch_checkpoint

SHAPE = (4, 5, 3)
WEIGHTS = jax.random.normal(jax.random.key(0), SHAPE)
IMAGE = jax.random.uniform(jax.random.key(1), SHAPE)


def linear(image):
    return jnp.sum(WEIGHTS * image)


def cubic(image):
    return jnp.sum(WEIGHTS * image**3)


def test_of_a_linear_scalar_all_are_its_weights():
    np.testing.assert_allclose(attribution.gradient(linear, IMAGE), WEIGHTS)
    expected = WEIGHTS * (IMAGE - 0.5)
    np.testing.assert_allclose(attribution.gradient_x_input(linear, IMAGE), expected, rtol=1e-6)
    result = attribution.integrated_gradients(linear, IMAGE)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6)
    smooth = partial(attribution.smooth, partial(attribution.gradient, linear))
    np.testing.assert_allclose(smooth(IMAGE, jax.random.key(2), n=3), WEIGHTS, rtol=1e-5)


def test_the_papers_units_are_those_of_a_mid_gray_baseline():
    """With pixels in [-1,1], gradient x input is that with the baseline 0.5 of pixels in [0,1]."""
    image = 2 * IMAGE - 1
    expected = jax.grad(lambda x: cubic((x + 1) / 2))(image) * image
    result = attribution.gradient_x_input(cubic, IMAGE)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("baseline", [0.0, 0.5])
@pytest.mark.parametrize("points", [2, 50])
def test_integrated_gradients_add_up(points, baseline):
    """Two points of Gauss and Legendre are exact for the gradient of a cubic."""
    result = attribution.integrated_gradients(cubic, IMAGE, baseline, points)
    difference = cubic(IMAGE) - cubic(jnp.full(SHAPE, baseline))
    np.testing.assert_allclose(result.sum(), difference, rtol=1e-4)
    expected = WEIGHTS * (IMAGE**3 - baseline**3)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6)


def test_smoothing_a_cubic_adds_the_variance():
    """E[3 (x + e)^2] = 3 (x^2 + sigma^2)."""
    smooth = partial(attribution.smooth, partial(attribution.gradient, cubic))
    result = smooth(IMAGE, jax.random.key(3), n=20_000, sigma=0.2)
    np.testing.assert_allclose(result, 3 * WEIGHTS * (IMAGE**2 + 0.04), atol=0.05)


GOLDEN_MEAN, GOLDEN_STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)
# variant, width and size of image of the networks whose attributions the golden file holds.
CAPTUMS_NETWORKS = {"tiny": ("cifar", 64, 8), "resnet8": ("cifar", 4, 16)}


def captums_network(name, golden):
    """Rebuild a network whose attributions the golden file holds: image -> (logits, reps)."""
    variant, width, size = CAPTUMS_NETWORKS[name]
    config = ConfigDict({"name": name, "variant": variant, "width": width, "classes": 5})
    config.mean, config.std = GOLDEN_MEAN, GOLDEN_STD
    config.dtype = config.param_dtype = "float64"
    config.sync_batch_norm = False
    model = models.create(config)
    shape = (size, size, 3)
    template = jax.eval_shape(lambda key: models.init(model, key, shape), jax.random.key(0))
    named = {key: tuple(map(int, shape)) for key, *shape in map(str.split, golden[f"{name}_keys"])}
    return models.frozen(model, torch_checkpoint.from_state_dict(draw(named), template))


def of_logit(attribute, **options):
    """Make an attribution (apply, label, image) -> map of one that takes an objective."""
    return lambda apply, label, image: attribute(objectives.logit(apply, label), image, **options)


CAPTUMS = {
    "saliency": (of_logit(attribution.gradient), 1e-12),
    "inputxgradient": (of_logit(attribution.gradient_x_input, baseline=0.0), 1e-12),
    # Captum's weights of the points are float32.
    "integratedgradients": (of_logit(attribution.integrated_gradients), 1e-8),
    "deeplift": (of_logit(attribution.deep_lift), 1e-12),
    "lrp": (of_logit(attribution.lrp, baseline=np.array(GOLDEN_MEAN), eps=0.1), 1e-12),
    "layergradcam": (attribution.grad_cam, 1e-12),
}


@pytest.mark.slow
@pytest.mark.parametrize("network", CAPTUMS_NETWORKS)
def test_in_float64_attributions_are_captums(network, float64):
    golden = np.load(GOLDEN / "attributions.npz")
    apply = captums_network(network, golden)
    names = [name for name in CAPTUMS if f"{network}_{name}" in golden]
    # Of resnet8 no gradients, which are tested with the models; Captum's LRP takes no residual sum.
    assert len(names) == {"tiny": 6, "resnet8": 2}[network]

    @jax.jit
    @jax.vmap
    def attribute_all(x, label):
        return {name: CAPTUMS[name][0](apply, label, x) for name in names}

    maps = attribute_all(golden[f"{network}_images"] / 255, golden[f"{network}_labels"])
    for name in names:
        expected = golden[f"{network}_{name}"]
        assert maps[name].dtype == jnp.float64
        error = np.max(np.abs(maps[name] - expected))
        assert error <= CAPTUMS[name][1] * np.max(np.abs(expected)), name


INTO = np.random.default_rng(0).standard_normal((8, *SHAPE)).astype(np.float32)


def bent(image):
    """Two layers with a tanh: a gradient that bends along a path."""
    return jnp.linspace(-1, 1, 8) @ jnp.tanh(0.3 * jnp.tensordot(INTO, image - 0.2, 3))


bent_gradients = jax.jit(jax.vmap(jax.grad(bent)))


def for_pair(images, call_model_args=None, expected_keys=None):
    """Answer what PAIR's methods ask of a network: the gradients of a batch."""
    return {pair.INPUT_OUTPUT_GRADIENTS: bent_gradients(images.astype(np.float32))}


def test_the_gradient_is_pairs():
    expected = pair.GradientSaliency().GetMask(np.asarray(IMAGE), for_pair)
    np.testing.assert_allclose(attribution.gradient(bent, IMAGE), expected, atol=1e-6)


def test_integrated_gradients_are_pairs():
    """Theirs is a sum over equal steps, both ends counted whole: right to 1 / x_steps."""
    image, baseline = np.asarray(IMAGE), np.full(SHAPE, 0.5, np.float32)
    expected = pair.IntegratedGradients().GetMask(
        image, for_pair, x_baseline=baseline, x_steps=100_000, batch_size=10_000
    )
    result = attribution.integrated_gradients(bent, IMAGE)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


def test_smoothgrad_is_pairs_given_its_noise(monkeypatch):
    key, spread = jax.random.key(5), float(IMAGE.max() - IMAGE.min())
    draws = iter(jax.vmap(lambda k: jax.random.normal(k, SHAPE))(jax.random.split(key, 6)))
    monkeypatch.setattr(np.random, "normal", lambda _, sigma, shape: sigma * next(draws))
    expected = pair.GradientSaliency().GetSmoothedMask(
        np.asarray(IMAGE), for_pair, stdev_spread=0.2, nsamples=6, magnitude=False
    )
    gradient = partial(attribution.gradient, bent)
    result = attribution.smooth(gradient, IMAGE, key, n=6, sigma=0.2 * spread)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


def test_a_random_map_is_uniform_and_another_for_another_key():
    keys = jax.random.split(jax.random.key(0), 2)
    one, other = (attribution.random(jnp.zeros((40, 40, 3)), key) for key in keys)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05
    np.testing.assert_allclose(np.quantile(one, [0, 0.5, 1]), [0, 0.5, 1], atol=0.03)


def test_edges_and_blur_are_scipys():
    channels = [np.asarray(IMAGE[..., i]) for i in range(3)]
    expected = [
        np.hypot(*(scipy.ndimage.sobel(x, axis, mode="nearest") for axis in (0, 1)))
        for x in channels
    ]
    sobel = jax.jit(attribution.sobel)(IMAGE)
    np.testing.assert_allclose(sobel, np.stack(expected, -1), rtol=1e-5)
    for sigma in (0.5, 2.0):  # at 2 the border of 8 pixels is wider than the image
        expected = np.stack([scipy.ndimage.gaussian_filter(x, sigma) for x in channels], -1)
        blurred = jax.jit(attribution.blur, static_argnums=1)(IMAGE, sigma)
        np.testing.assert_allclose(blurred, expected, rtol=1e-5)


def test_magnitude_sums_channels_without_sign():
    result = attribution.magnitude(jnp.array([[[1.0, -2.0], [0.5, 0.0]]]))
    np.testing.assert_array_equal(result, [[3.0, 0.5]])


def test_ranks_are_a_permutation_and_break_ties_by_place():
    importance = jnp.array([[0.0, 2.0, 0.0], [5.0, 2.0, 1.0]])
    ranks = jax.jit(attribution.ranks)
    np.testing.assert_array_equal(ranks(importance), [[4, 1, 5], [0, 2, 3]])
    many = ranks(jnp.zeros((8, 8)))
    np.testing.assert_array_equal(many.ravel(), np.arange(64))


@pytest.mark.parametrize("invert_mask", [False, True])
@pytest.mark.parametrize("count", [0, 7, 20])
def test_an_occlusion_replaces_exactly_so_many_pixels(count, invert_mask):
    ranks = np.asarray(jax.jit(attribution.ranks)(IMAGE.sum(-1)))
    fill = np.float32([[[0.1, 0.2, 0.3]]])
    occlude = jax.jit(attribution.occlude, static_argnums=4)
    occluded = np.asarray(occlude(IMAGE, ranks, count, fill, invert_mask))
    replaced = (occluded == fill).all(-1)
    assert replaced.sum() == (20 - count if invert_mask else count)
    np.testing.assert_array_equal(replaced, (ranks < count) != invert_mask)
    np.testing.assert_array_equal(occluded[~replaced], np.asarray(IMAGE)[~replaced])


def imputed(image, missing):
    """Solve the equations of Rong et al. (2022) densely, in float64."""
    unknowns = [tuple(pixel) for pixel in np.argwhere(missing)]
    matrix, right = np.zeros((len(unknowns),) * 2), np.zeros((len(unknowns), image.shape[-1]))
    for row, (i, j) in enumerate(unknowns):
        for down, across in np.ndindex(3, 3):
            other = i + down - 1, j + across - 1
            if other == (i, j) or not (0 <= other[0] < len(image) and 0 <= other[1] < len(image)):
                continue
            weight = 1 / 6 if down == 1 or across == 1 else 1 / 12
            matrix[row, row] += weight
            if missing[other]:
                matrix[row, unknowns.index(other)] -= weight
            else:
                right[row] += weight * image[other]
    filled = np.array(image, np.float64)
    filled[missing] = np.linalg.solve(matrix, right)
    return filled


@jax.jit
@jax.vmap
def impute_all(image, missing):
    return attribution.noisy_linear(image, missing, jax.random.key(0), noise=0.0)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_imputation_is_that_of_a_dense_solve(share):
    rng = np.random.default_rng(0)
    images = rng.random((3, 16, 16, 3)).astype(np.float32)
    missing = rng.random((3, 16, 16)) < share
    missing[2] = np.hypot(*(np.indices((16, 16)) - 7)) < 11 * share**0.5  # one large hole
    outputs = np.asarray(impute_all(images, missing))
    for image, mask, output in zip(images, missing, outputs, strict=True):
        np.testing.assert_allclose(output, imputed(image, mask), rtol=0, atol=1e-4)
        np.testing.assert_array_equal(output[~mask], image[~mask])


impute = jax.jit(attribution.noisy_linear)


# A white pixel does not get brighter: half of the noise is clipped.
@pytest.mark.parametrize(("level", "noise"), [(0.4, 0.02), (1.0, 0.02 / 2**0.5)])
def test_imputation_adds_noise_to_what_is_missing_alone(level, noise):
    image = np.full((32, 32, 3), level, np.float32)
    missing = np.indices((32, 32)).sum(0) % 2 == 0
    output = np.asarray(impute(image, missing, jax.random.key(0), 0.02))
    assert (output[~missing] == np.float32(level)).all()
    assert output.max() <= 1
    np.testing.assert_allclose(np.sqrt(np.mean((output[missing] - level) ** 2)), noise, rtol=0.1)


def test_an_image_of_which_nothing_is_known_becomes_gray():
    output = impute_all(np.ones((3, 16, 16, 3), np.float32), np.ones((3, 16, 16), bool))
    np.testing.assert_allclose(output, 0.5, rtol=0, atol=1e-6)
