"""DeepLIFT, LRP and Grad-CAM where the answer is known, and their laws on any form of network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from golden.weights import SMALL, draw
from rrjax import BadInput, models
from rrjax.core import attribution, objectives
from rrjax.models import layers
from rrjax.runs import torch_checkpoint


def pixels(*values):
    return jnp.array(values, jnp.float32).reshape(1, -1, 1)


def relu_and_maximum(image):
    first, second = image.ravel()
    return jax.nn.relu(first - 0.5) + jnp.maximum(first, second)


@pytest.mark.parametrize(
    ("image", "baseline", "expected"),
    [
        # The ReLU rises by 0.3 and the maximum by 0.2, to the first pixel.
        ((0.8, 0.1), (0.2, 0.6), (0.3 + 0.2, 0)),
        # The maximum falls by 0.7, from the second pixel, and the ReLU is 0 at both.
        ((0.2, 0.1), (0.3, 0.9), (0, -0.7)),
        # A ReLU that both pass is linear; pixels that are the same have no part in it.
        ((0.9, 0.3), (0.7, 0.3), (0.2 + 0.2, 0)),
    ],
)
def test_deep_lift_by_hand(image, baseline, expected):
    result = attribution.deep_lift(relu_and_maximum, pixels(*image), pixels(*baseline))
    np.testing.assert_allclose(result.ravel(), expected, atol=1e-6)


def test_lrp_by_hand():
    """z = 2 x - y - 0.25 and its negative, each through a ReLU: z / (z + eps sign(z)) of it."""

    def objective(image):
        x, y = image.ravel()
        z = 2 * x - y - 0.25
        return 3 * jax.nn.relu(z) + 5 * jax.nn.relu(-z)

    image, z = pixels(0.75, 0.25), 2 * 0.75 - 0.25 - 0.25
    relevance = 3 * z * z / (z + 0.5) / z
    result = attribution.lrp(objective, image, baseline=0.0, eps=0.5)
    expected = np.array([2 * 0.75, -0.25]) * relevance
    np.testing.assert_allclose(result.ravel(), expected, rtol=1e-6)
    # Conserved but for what the bias, -0.25, and the epsilon, 0.5 of z + 0.5, have.
    lost = 3 * z - result.sum()
    np.testing.assert_allclose(lost, relevance * (0.5 + -0.25), rtol=1e-6)


CONV = jax.random.normal(jax.random.key(0), (3, 3, 2, 6))
HEAD = jax.random.normal(jax.random.key(1), (3, 3, 6))


def without_biases(image):
    """A convolution, a ReLU and a max-pool, a residual sum and an average, all without biases."""
    x = jax.lax.conv_general_dilated(
        image[None],
        CONV.astype(image.dtype),
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    x = layers.max_pool(layers.relu(x))
    x = layers.relu(x + x[..., ::-1])[0]
    return jnp.sum(x.reshape(3, 2, 6).mean(1) * HEAD[0].astype(image.dtype))


def test_without_biases_relevance_is_conserved_and_that_of_the_gradient(float64):
    image = jnp.asarray(np.random.default_rng(0).random((4, 6, 2)))

    @jax.jit
    def attribute(image):
        small, large = (attribution.lrp(without_biases, image, 0.0, eps) for eps in (1e-12, 1.0))
        gradient = attribution.gradient_x_input(without_biases, image, baseline=0.0)
        return small, large, gradient, without_biases(image)

    small, large, gradient, value = attribute(image)
    np.testing.assert_allclose(small.sum(), value, rtol=1e-9)
    np.testing.assert_allclose(small, gradient, rtol=1e-9, atol=1e-12)
    assert abs(large.sum()) < abs(value)  # the epsilon has the rest


def apply_of_two_channels(image):
    """A stage of the image and of its negative; the first logit is 3 means less 1."""
    stage = jnp.concatenate([image, 1 - image], axis=-1)
    means = stage.mean((0, 1))
    return jnp.array([[3.0, -1.0], [0.0, 1.0]]) @ means, {"only": stage, "representation": means}


def test_grad_cam_by_hand():
    image = jnp.array([[0.5, 0.25], [0.125, 1.0]])[..., None]
    label = jnp.int32(0)
    result = attribution.grad_cam(apply_of_two_channels, label, image)
    expected = np.maximum(3 * image - (1 - image), 0) / 4  # each mean is of four pixels
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    assert result[1, 0, 0] == 0 and result.shape == (2, 2, 1)
    with pytest.raises(BadInput, match="stage='layer9': choose from only"):
        attribution.grad_cam(apply_of_two_channels, label, image, "layer9")
    with pytest.raises(BadInput, match="stage='representation': choose from only"):
        attribution.grad_cam(apply_of_two_channels, label, image, "representation")


def test_grad_cam_takes_the_last_of_the_smallest_stages():
    def apply(image):
        reps = {"large": image, "stage9": image[::2, ::2]}
        reps["conv"] = reps["stage9"] ** 2  # computed later, though its name comes first
        return reps["conv"].mean((0, 1)) ** 2, reps

    image = jnp.linspace(0, 1, 48).reshape(4, 4, 3)
    default = attribution.grad_cam(apply, jnp.int32(0), image)
    np.testing.assert_array_equal(default, attribution.grad_cam(apply, jnp.int32(0), image, "conv"))
    other = attribution.grad_cam(apply, jnp.int32(0), image, "stage9")
    assert not np.allclose(default, other)


def test_grad_cam_of_a_stage_that_leads_nowhere_is_refused():
    def apply(image):
        return image.sum((0, 1)), {"aside": jnp.sin(image)}

    with pytest.raises(BadInput, match="the logits do not come from it"):
        attribution.grad_cam(apply, jnp.int32(0), jnp.ones((2, 2, 3)))


FORMS = {
    "tiny": ("cifar", 8),
    "resnet8": ("imagenet", 32),  # its max-pool overlaps, at a border of minus infinity
    "preact_resnet18": ("robustbench", 8),  # BNs that do not fold
    "mobilenet_v2": ("imagenet", 32),  # ReLU6
    "shufflenet_v2_x1_0": ("imagenet", 32),
}


def network(name, dtype="float64"):
    """Draw a narrow network such that its activations are near 1: image -> (logits, reps)."""
    variant, size = FORMS[name]
    fields = {"name": name, "variant": variant, "classes": 5, "width": 4, "sync_batch_norm": False}
    if "resnet" not in name:
        fields["width"] = 64
    config = ConfigDict(fields | {"mean": (0.47, 0.45, 0.38), "std": (0.26, 0.25, 0.26)})
    config.dtype = config.param_dtype = dtype
    model = models.create(config)
    if name in SMALL:
        model = model.clone(**SMALL[name])
    shape = (size, size, 3)
    with jax.numpy_dtype_promotion("standard"):  # which depthwise convolutions need
        template = jax.eval_shape(lambda key: models.init(model, key, shape), jax.random.key(0))
    state = draw(torch_checkpoint.shapes(template))
    return models.frozen(model, torch_checkpoint.from_state_dict(state, template)), size


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMS)
def test_deep_lift_adds_up_on_every_form(name, float64):
    apply, size = network(name)
    image = jnp.asarray(np.random.default_rng(0).random((size, size, 3)))

    @jax.jit
    def attribute(apply, image, baseline):
        logit = objectives.logit(apply, 3)
        difference = logit(image) - logit(jnp.full_like(image, baseline))
        return attribution.deep_lift(logit, image, baseline), difference

    for baseline in (0.5, 0.0):
        with jax.numpy_dtype_promotion("standard"):
            result, difference = attribute(apply, image, baseline)
        np.testing.assert_allclose(result.sum(), difference, rtol=1e-9)


def test_what_has_no_rule_is_refused():
    apply = apply_of_two_channels
    image = jnp.full((2, 2, 1), 0.25)
    for attribute in (attribution.deep_lift, attribution.lrp):
        with pytest.raises(BadInput, match=r"for which DeepLIFT and LRP have no rule.*one logit"):
            attribute(objectives.cross_entropy(apply, jnp.int32(0)), image)
        with pytest.raises(BadInput, match="the operation 'tanh'"):
            attribute(lambda x: jnp.tanh(x).sum(), image)
        with pytest.raises(BadInput, match="the operation 'mul'"):
            attribute(lambda x: (x * x).sum(), image)
        with pytest.raises(BadInput, match="the operation 'select_n'"):  # the smaller of two
            attribute(lambda x: jnp.where(x >= x[::-1], x[::-1], x).sum(), image)
    with pytest.raises(BadInput, match="eps=0: give LRP one above 0"):
        attribution.lrp(objectives.logit(apply, jnp.int32(0)), image, eps=0)


def test_a_constant_objective_has_none():
    image = jnp.full((2, 2, 1), 0.25)
    for attribute in (attribution.deep_lift, partial(attribution.lrp, eps=1e-4)):
        np.testing.assert_array_equal(attribute(lambda x: jnp.float32(1), image), 0)
