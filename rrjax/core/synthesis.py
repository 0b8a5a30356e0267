"""Images made by gradient steps towards a class: Santurkar et al. (2019), one image each.

Generation, super-resolution and translation of images or sketches are one thing: the targeted
attack (`attack.adversary(targeted=True)`) from a chosen start. Here are the starts, and the two
tasks that keep a part of the image: inpainting and painting with a feature.
"""

import jax
import jax.numpy as jnp
import numpy as np

from rrjax.core import objectives
from rrjax.core.pgd import SearchResult, l2_ball, l2_step, pgd


def inpaint(
    apply: objectives.Apply,
    image: jax.Array,
    mask: jax.Array,
    label: jax.Array,
    *,
    weight: float = 10.0,
    eps: float = 21.6,
    step_size: float = 0.1,
    steps: int = 720,
) -> SearchResult:
    """Fill a masked part of an image so that it becomes one of its class.

    The cross-entropy of `label`, and `weight` times the mean square of what changes outside of the
    mask. The defaults are the paper's, at 224 pixels.

    Args:
      apply: image -> (logits, reps).
      image: (H, W, C), float in [0,1], with anything in the masked part.
      mask: (H, W, 1), 1 where the image is to be filled.
      label: the class.
      weight: how much a change outside of the mask costs.
      eps: l2 radius about the image, in units of [0,1] pixels.
      step_size: the l2 length of a step in the same units.
      steps: the number of steps.

    Returns:
      `SearchResult`: the image x (H, W, C), and as value the objective.
    """
    objective = _penalized(objectives.cross_entropy(apply, label), image, mask, weight)
    step = l2_step(step_size)
    return pgd(objective, image, project=l2_ball(image, eps), step=step, steps=steps)


def paint(
    apply: objectives.Apply,
    image: jax.Array,
    mask: jax.Array,
    unit: jax.Array,
    *,
    growth: float = 0.1,
    weight: float = 90.0,
    eps: float = 70.0,
    step_size: float = 1.0,
    steps: int = 140,
) -> SearchResult:
    """Grow one coordinate of the representation in a masked part of an image.

    `growth` times that coordinate, less `weight` times the mean square of what changes outside of
    the mask. The defaults are the paper's, at 224 pixels. Arguments as those of `inpaint`.
    """
    activate = objectives.activate(apply, unit)
    objective = _penalized(lambda x: growth * activate(x), image, mask, weight)
    step = l2_step(step_size)
    return pgd(objective, image, project=l2_ball(image, eps), step=step, steps=steps)


def _penalized(
    objective: objectives.Objective, image: jax.Array, mask: jax.Array, weight: float
) -> objectives.Objective:
    return lambda x: objective(x) + weight * jnp.mean(((image - x) * (1 - mask)) ** 2)


def coarse(images: np.ndarray, grain: int) -> np.ndarray:
    """Average blocks of grain x grain pixels of images (N, H, W, C), H and W multiples of it."""
    n, height, width, channels = images.shape
    blocks = images.reshape(n, height // grain, grain, width // grain, grain, channels)
    return blocks.mean((2, 4))


def enlarged(images: np.ndarray, grain: int) -> np.ndarray:
    """Repeat every pixel of images (N, H, W, C) grain x grain times."""
    return images.repeat(grain, axis=1).repeat(grain, axis=2)


def seeds(images: np.ndarray, n: int, grain: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `n` starts from a Gaussian fitted to one class's coarse images (N, H, W, C).

    As in the paper the covariance gains 1e-4 on its diagonal; float32 in [0,1].
    """
    small = coarse(images, grain)
    flat = small.reshape(len(small), -1).astype(np.float64)
    mean = flat.mean(0)
    # A draw from N(mean, X'X / n + 1e-4 I) without a matrix of pixels by pixels.
    weights = rng.standard_normal((n, len(flat))) / np.sqrt(len(flat))
    drawn = mean + weights @ (flat - mean) + 1e-2 * rng.standard_normal((n, flat.shape[1]))
    drawn = drawn.reshape(n, *small.shape[1:]).clip(0, 1).astype(np.float32)
    return enlarged(drawn, grain)


def sketches(images: np.ndarray) -> np.ndarray:
    """Draw the edges of images (N, H, W, C) as dark lines on white, float32 in [0,1]."""
    gray = images.mean(-1, keepdims=True)
    down = np.abs(np.diff(gray, axis=1, append=gray[:, -1:]))
    along = np.abs(np.diff(gray, axis=2, append=gray[:, :, -1:]))
    strength = np.maximum(down, along)
    edges = strength > np.quantile(strength, 0.85, axis=(1, 2, 3), keepdims=True)
    return np.broadcast_to(1.0 - edges, images.shape).astype(np.float32)
