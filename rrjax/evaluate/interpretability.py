"""How good is an attribution? Scores of one image's map that retrain nothing; vmap for many.

Objectives (image -> scalar) and attributions (image -> map) are those of
`rrjax.core.attribution`. A map of zeros has no shares: what divides by its size is NaN. Cosines
and correlations with it, which has no direction, are 0.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import entr
from jax.scipy.stats import rankdata

from rrjax import BadInput
from rrjax.core import attribution, direction
from rrjax.core.attribution import Attribution, Objective
from rrjax.evaluate import metrics


def sparseness(importance: jax.Array) -> jax.Array:
    """Return Gini's index of |importance|: 0 if all are equal, towards 1 if one has all.

    Chalasani et al. (2020).
    """
    ascending = jnp.sort(jnp.abs(importance).ravel())
    n = ascending.size
    return jnp.sum((2 * jnp.arange(1, n + 1) - n - 1) * ascending) / (n * jnp.sum(ascending))


def complexity(importance: jax.Array) -> jax.Array:
    """Return the entropy of the shares in |importance|, in nats (Bhatt et al. 2020)."""
    sizes = jnp.abs(importance)
    return jnp.sum(entr(sizes / jnp.sum(sizes)))


def deletion(
    objective: Objective, image: jax.Array, ranks: jax.Array, counts: jax.Array, fill: jax.Array
) -> jax.Array:
    """Return the objective without the most important pixels, for each of `counts`, (K,).

    Pixel flipping (Bach et al. 2015), MoRF; falls early if the importance is right.

    Args:
      objective: such as the probability of the predicted class.
      image: (H, W, C).
      ranks: of its pixels, (H, W), as `attribution.ranks` gives them.
      counts: how many pixels go, (K,) integers.
      fill: what takes their place, such that it broadcasts to the image.
    """
    return _curve(lambda n: objective(attribution.occlude(image, ranks, n, fill)), counts)


def insertion(
    objective: Objective, image: jax.Array, ranks: jax.Array, counts: jax.Array, fill: jax.Array
) -> jax.Array:
    """Return the objective of the most important pixels alone, the others `fill`, (K,).

    Petsiuk et al. (2018); arguments as in `deletion`. Rises early if the importance is right.
    """
    return _curve(lambda n: objective(attribution.occlude(image, ranks, n, fill, True)), counts)


def road(
    objective: Objective, image: jax.Array, ranks: jax.Array, counts: jax.Array, key: jax.Array
) -> jax.Array:
    """Return `deletion` with the pixels imputed from the others (Rong et al. 2022), (K,).

    Arguments as in `deletion`; key: of the small noise on what is imputed.
    """
    return _curve(lambda n: objective(attribution.noisy_linear(image, ranks < n, key)), counts)


def area(curve: jax.Array, counts: jax.Array) -> jax.Array:
    """Return the mean height of a curve (K,) over its counts (K,), rising, by trapezia."""
    return jnp.trapezoid(curve, counts) / (counts[-1] - counts[0])


def sensitivity_n(
    objective: Objective,
    image: jax.Array,
    attributed: jax.Array,
    key: jax.Array,
    *,
    n: int,
    fill: jax.Array,
    subsets: int = 100,
) -> jax.Array:
    """Correlate what `n` random pixels are attributed with what the objective loses without them.

    Pearson's, over random subsets (Ancona et al. 2018). attributed: a map (H, W, C) with signs.
    fill: what takes the pixels' place, such that it broadcasts to the image.
    """
    whole = objective(image)

    def sample(key):
        ranks = attribution.ranks(jax.random.uniform(key, image.shape[:2]))
        part = attribution.occlude(attributed, ranks, n, 0.0, True)
        return part.sum(), whole - objective(attribution.occlude(image, ranks, n, fill))

    sums, losses = jax.lax.map(sample, jax.random.split(key, subsets))
    return direction.correlation(sums, losses)


def infidelity(
    objective: Objective,
    image: jax.Array,
    attributed: jax.Array,
    key: jax.Array,
    *,
    n: int,
    sigma: float,
) -> jax.Array:
    """Return the mean of (<noise, map> - (f(image) - f(image - noise)))^2 (Yeh et al. 2019).

    Over `n` draws of Gaussian noise of deviation `sigma`, in units of pixels in [0,1].
    attributed: (H, W, C), a rate of change as `attribution.gradient` is, not one times the input.
    """
    whole = objective(image)

    def sample(key):
        noise = sigma * jax.random.normal(key, image.shape, image.dtype)
        return (jnp.sum(noise * attributed) - (whole - objective(image - noise))) ** 2

    return jax.lax.map(sample, jax.random.split(key, n)).mean()


def max_sensitivity(
    attribute: Attribution, image: jax.Array, key: jax.Array, *, n: int, radius: float
) -> jax.Array:
    """Return the most that a map moves, over its size, in `n` draws around the image.

    Yeh et al. (2019): l2 norms; uniform noise of up to `radius`, in units of pixels in [0,1].
    """
    reference = attribute(image)
    scale = jnp.abs(reference).max()  # squares of a confident image's gradients leave float32

    def sample(key):
        noise = jax.random.uniform(key, image.shape, image.dtype, -radius, radius)
        return jnp.linalg.norm((attribute(image + noise) - reference) / scale)

    largest = jax.lax.map(sample, jax.random.split(key, n)).max()
    return largest / jnp.linalg.norm(reference / scale)


def alignment(image: jax.Array, gradient: jax.Array) -> jax.Array:
    """Return |<image, gradient>| / |gradient|, in the image's units (Etmann et al. 2019).

    0 for a gradient of zeros.
    """
    return jnp.abs(jnp.sum(image * direction.unit(gradient)))


def cosine(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return the cosine between two arrays of one shape, such as an image and its gradient.

    0 where either is all zeros.
    """
    return direction.cosine(a, b)


def edge_similarity(image: jax.Array, importance: jax.Array) -> jax.Array:
    """Return the SSIM of an importance (H, W), not below 0, with the image's Sobel edges.

    Each is divided by its largest value (Adebayo et al. 2018).

    Raises:
      BadInput: for an image of less than 11 x 11 pixels.
    """
    edges = attribution.magnitude(attribution.sobel(image))
    shares, edges = ((x / x.max())[None, ..., None] for x in (importance, edges))
    return metrics.image_similarity(shares, edges)["ssim"][0]


def spearman(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return the correlation of the ranks of two maps; equal values share theirs.

    0 where either is constant.
    """
    return direction.correlation(rankdata(a), rankdata(b))


def cascading_randomization(
    attribute: Callable[[Any, jax.Array], jax.Array],
    variables: dict,
    fresh: dict,
    layers: Sequence[str],
    image: jax.Array,
) -> jax.Array:
    """Correlate a network's map with those of it with ever more layers randomized: (len(layers),).

    Adebayo et al. (2018): at k, Spearman's correlation of the map with that of the network whose
    layers[: k + 1] are drawn anew. Where it stays near 1 the map does not show what was learned.

    Args:
      attribute: (variables, image) -> map.
      variables: of the network, by collection and then by layer.
      fresh: the same, drawn anew.
      layers: names of layers, the logits' first.
      image: (H, W, C).

    Raises:
      BadInput: for a layer that the network has not.
    """
    unknown = sorted(set(layers) - set(variables["params"]))
    if unknown:
        raise BadInput(f"no layers {unknown}: choose from {', '.join(variables['params'])}")
    position = {layer: i for i, layer in enumerate(layers)}
    reference = attribute(variables, image)

    def correlation(k):
        def leaf(path, learned, drawn):
            return jnp.where(position.get(path[1].key, len(layers)) <= k, drawn, learned)

        mixed = jax.tree_util.tree_map_with_path(leaf, variables, fresh)
        return spearman(reference, attribute(mixed, image))

    return jax.lax.map(correlation, jnp.arange(len(layers)))


def _curve(score: Callable[[jax.Array], jax.Array], counts: jax.Array) -> jax.Array:
    return jax.lax.map(score, jnp.asarray(counts))
