"""How badly a decoder of one class can make an image: anomaly detection, one image each.

Rojas-Gomez et al. (2021), arXiv:2106.06927.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from rrjax.core.pgd import SearchResult, pgd

Scores = Callable[[jax.Array], dict[str, jax.Array]]


def scores(
    decode: Callable[[jax.Array], jax.Array],
    describe: Callable[[jax.Array], jax.Array],
    image: jax.Array,
    *,
    pixel_weight: float = 2e-6,
    feature_weight: float = 0.01,
) -> Scores:
    """Return what scores a code of an image; the higher, the less of the decoder's class it is.

    Args:
      decode: code -> image (H, W, C), float in [0,1].
      describe: image -> the features to compare.
      image: (H, W, C), float in [0,1].
      pixel_weight: the factor of "pixel" in "sum"; the default is the paper's.
      feature_weight: that of "feature".

    Returns:
      code -> {"pixel": the l1 distance of the decoded image; "feature": the squared l2 distance of
      its features; "sum": both, weighted, the paper's objective}. A network's own features of the
      image are a code, and so is the result of `search`.
    """
    target = describe(image)

    def score(code: jax.Array) -> dict[str, jax.Array]:
        decoded = decode(code)
        pixel = jnp.sum(jnp.abs(decoded - image))
        feature = jnp.sum((describe(decoded) - target) ** 2)
        return {
            "pixel": pixel,
            "feature": feature,
            "sum": pixel_weight * pixel + feature_weight * feature,
        }

    return score


def search(
    score: Scores, start: jax.Array, *, step_size: float = 0.1, steps: int = 100
) -> SearchResult:
    """Find the code of least "sum", from `start`, by gradient steps with a momentum of 0.9.

    The step size falls linearly to a twentieth. As in the paper's code the result is the last of
    `steps` codes, the start being the first.

    Args:
      score: what `scores` returns.
      start: a code.
      step_size: of the first step, in units of codes.
      steps: the number of codes.
    """
    falling = optax.linear_schedule(step_size, step_size / 20, steps)
    return pgd(
        lambda code: score(code)["sum"],
        start,
        project=lambda code: code,
        step=optax.sgd(falling, momentum=0.9),
        steps=steps - 1,
        return_iterate="last",
    )
