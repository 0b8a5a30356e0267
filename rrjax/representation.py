"""Gradient steps on an input towards a representation: pgd + objective, one image each."""

from functools import partial

import jax
import numpy as np

from rrjax import objectives
from rrjax.pgd import Found, l2_ball, l2_step, pgd


def invert(
    apply: objectives.Apply,
    start: jax.Array,
    target: jax.Array,
    *,
    eps: float = 1000.0,
    step_size: float = 1.0,
    steps: int = 10_000,
    keep: str = "best",
) -> Found:
    """Find an image near `start` whose representation is `target`.

    Engstrom et al. (2019), section 3.1 and appendix A.6 (the defaults): normalised l2 gradient
    steps on the normalised representation distance.

    Args:
      apply: image -> (logits, reps). With the straight-through last ReLU, the paper's
        (`Frozen.straight_through`), a coordinate that is zero has a gradient too.
      start: (H, W, C), float in [0,1]; the centre of the ball.
      target: the representation to reach, as `reps["representation"]`.
      eps: l2 radius in units of [0,1] pixels; 1000 never binds at 224 pixels.
      keep: "best", or "last" as in the paper's notebook.

    Returns:
      `Found(x, value)`: the image (H, W, C) and its normalised representation distance.
    """
    return pgd(
        objectives.match(apply, target),
        start,
        project=l2_ball(start, eps),
        step=l2_step(step_size),
        steps=steps,
        keep=keep,
    )


@partial(jax.jit, static_argnames="keep")
def invert_images(
    apply: objectives.Apply,
    descend: objectives.Apply,
    starts: jax.Array,
    targets: jax.Array,
    *,
    eps: float,
    step_size: float,
    steps: int,
    keep: str = "best",
) -> Found:
    """Invert the representations that images `targets` have under `apply`, all at once.

    `starts` and `targets` are (N, H, W, C), float in [0,1]. `descend` is the network whose
    gradients are followed: `apply` again, or its straight-through twin, a `Frozen` network has
    both. Returns `Found` with x (N, H, W, C) and value (N,).
    """

    def one(start, target):
        _, reps = apply(target)
        return invert(
            descend,
            start,
            reps["representation"],
            eps=eps,
            step_size=step_size,
            steps=steps,
            keep=keep,
        )

    return jax.vmap(one)(starts, targets)


def noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draw the paper's starts: a standard normal / 20 about mid-grey, float32 clipped to [0,1]."""
    return np.clip(0.5 + rng.standard_normal(shape) / 20, 0, 1).astype(np.float32)
