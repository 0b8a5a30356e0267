"""Whitening takes mean and covariance away, coloring gives another's; Gram matrices by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax.core import stylization

RNG = np.random.default_rng(0)
# Compiled whole: operation by operation, most of a test is compiling them one by one.
whiten, color, transfer = map(
    jax.jit, (stylization.whiten, stylization.color, stylization.transfer)
)
gram_loss = jax.jit(stylization.gram_loss)


def features(height, width, channels, scale=1.0, shift=0.0):
    """Features whose channels are correlated and not centered."""
    mix = RNG.standard_normal((channels, channels))
    return jnp.asarray(scale * RNG.standard_normal((height, width, channels)) @ mix + shift)


def stylize(levels, image, style, **options):
    return jax.jit(partial(stylization.stylize, levels, **options))(image, style)


def covariance(x):
    return np.cov(x.reshape(-1, x.shape[-1]), rowvar=False)


def test_whitened_features_are_centered_and_uncorrelated(float64):
    white = whiten(features(6, 7, 5, 3.0, 2.0), ridge=0.0)
    np.testing.assert_allclose(white.mean((0, 1)), np.zeros(5), atol=1e-12)
    np.testing.assert_allclose(covariance(white), np.eye(5), atol=1e-10)


def test_where_positions_are_few_it_is_the_identity_of_what_they_span(float64):
    white = whiten(features(2, 3, 9), ridge=0.0)
    values, vectors = np.linalg.eigh(covariance(white))
    # Six positions, centered, span five directions.
    np.testing.assert_allclose(values, [0] * 4 + [1] * 5, atol=1e-10)
    np.testing.assert_allclose(covariance(white), vectors[:, 4:] @ vectors[:, 4:].T, atol=1e-10)


def test_directions_of_less_variance_than_the_cut_are_left_out(float64):
    x = features(8, 8, 2) * jnp.array([[[1.0, 0.0]]])
    faint = jnp.asarray(RNG.standard_normal((8, 8)))
    for deviation, variance in ((1e-3, 0.0), (1e-2, 1.0)):
        white = whiten(x.at[..., 1].set(deviation * faint), ridge=0.0)
        np.testing.assert_allclose(np.trace(covariance(white)), 1 + variance, rtol=1e-8)


@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_coloring_gives_the_mean_always_and_the_covariance_without_a_ridge(ridge, float64):
    content, style = features(6, 5, 4), features(7, 8, 4, 5.0, -3.0)
    white = whiten(content, ridge=ridge)
    colored = color(white, style, ridge=ridge)
    np.testing.assert_allclose(colored.mean((0, 1)), style.mean((0, 1)), atol=1e-10)
    exact = np.allclose(covariance(colored), covariance(style), rtol=0, atol=1e-9)
    assert exact == (ridge == 0.0)


@pytest.mark.parametrize("ridge", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(6, 5, 4), (2, 3, 9)])
def test_an_image_in_its_own_style_is_itself(ridge, shape, float64):
    x = features(*shape, 2.0, 1.0)
    np.testing.assert_allclose(transfer(x, x, ridge=ridge), x, atol=1e-9)


def test_the_result_lies_in_the_contents_range_and_alpha_goes_there_in_a_line():
    content, style = features(6, 6, 4), features(5, 5, 4, 9.0)
    full = transfer(content, style)
    assert full.min() == content.min() and full.max() == content.max()
    np.testing.assert_allclose(transfer(content, style, alpha=0.0), content)
    half = transfer(content, style, alpha=0.5)
    np.testing.assert_allclose(half, (full + content) / 2, atol=1e-6)


def test_it_runs_under_vmap_as_alone():
    contents, styles = jnp.stack([features(4, 4, 3)] * 2), jnp.stack([features(3, 5, 3)] * 2)
    styles = styles.at[1].multiply(2.0)
    both = jax.jit(jax.vmap(stylization.transfer))(contents, styles)
    alone = [transfer(c, s) for c, s in zip(contents, styles, strict=True)]
    np.testing.assert_allclose(both, jnp.stack(alone), atol=1e-4)


def test_gram_matrix_by_hand():
    x = jnp.array([[[1.0, 2.0], [3.0, -1.0]]])
    np.testing.assert_allclose(stylization.gram(x), jnp.array([[10.0, -1.0], [-1.0, 5.0]]) / 4)


def test_gram_loss_by_hand_adds_its_layers():
    one, two = jnp.ones((2, 2, 1)), jnp.full((3, 1, 1), 2.0)
    # Means 1 and 2, Gram matrices 1 and 4.
    assert gram_loss([one], [two]) == 1 + 9
    assert gram_loss([one, two, one], [two, two, two]) == 2 * (1 + 9)


def test_gram_loss_does_not_depend_on_positions():
    x = features(4, 4, 3)
    permuted = x.reshape(16, 3)[RNG.permutation(16)].reshape(2, 8, 3)
    np.testing.assert_allclose(gram_loss([x], [permuted]), 0.0, atol=1e-10)
    assert gram_loss([x], [2 * x]) > 1e-2


def levels():
    """Two autoencoders that lose nothing, of other features than the image's own."""

    def level(scale):
        mix = jnp.asarray(np.linalg.qr(RNG.standard_normal((3, 3)))[0])
        return (lambda x: scale * x @ mix), (lambda f: f @ mix.T / scale)

    return [level(2.0), level(5.0)]


def test_in_no_style_or_in_its_own_an_image_comes_through_the_levels(float64):
    image, style = features(5, 4, 3), features(6, 6, 3, 3.0)
    for options in ({"style": style, "alpha": 0.0}, {"style": image}):
        output = stylize(levels(), image, **options)
        np.testing.assert_allclose(output, image, atol=1e-8)


def test_the_levels_follow_each_other(float64):
    """A level whose decoder loses the image leaves what the next one makes of that."""
    image, style = features(5, 4, 3), features(6, 6, 3, 3.0)
    blank = (lambda x: x, lambda f: 0 * f + 1)
    (encode, decode), _ = levels()
    last = stylize([(encode, decode), blank], image, style)
    np.testing.assert_allclose(last, jnp.ones((5, 4, 3)))
    first = stylize([blank, (encode, decode)], image, style)
    expected = decode(transfer(encode(jnp.ones((5, 4, 3))), encode(style)))
    np.testing.assert_allclose(first, expected, atol=1e-8)
