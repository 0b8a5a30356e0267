"""Projected gradient descent on one image: the loop of every attack and every visualization.

An objective of one image, a set it may move in, a step rule, a number of steps. There is no batch
axis here: `jax.vmap` adds one at the edge, over images, restarts, radii or targets.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rrjax import BadInput
from rrjax.core import direction

Objective = Callable[[jax.Array], jax.Array]
Projection = Callable[[jax.Array], jax.Array]
Stop = Callable[[jax.Array], jax.Array]


class SearchResult(NamedTuple):
    """The result of a search: the image x, the value of its objective, and the steps taken.

    last: the image of the last step, from which a further search continues. Under jit it costs
    nothing where it is unused.
    snapshots: (record, ...), the image after each of `record` equal shares of the steps; None where
    none are recorded.
    """

    x: jax.Array
    value: jax.Array
    steps: jax.Array
    last: jax.Array
    snapshots: jax.Array | None = None


def pgd(
    objective: Objective,
    x: jax.Array,
    *,
    project: Projection,
    step: optax.GradientTransformation,
    steps: int | jax.Array,
    return_iterate: str = "best",
    stop: Stop | None = None,
    record: int = 0,
) -> SearchResult:
    """Minimize `objective` over one image by projected gradient steps from `x`.

    Args:
      objective: image (any shape, float) -> scalar.
      x: the start; it is projected first, so every iterate lies in the set.
      project: image -> the nearest allowed image, such as `l2_ball(center, eps)`.
      step: `l2_step`, `linf_step`, `raw_step`, or any optax transformation.
      steps: how many; compile time does not depend on it, and it may be traced.
      return_iterate: "best" returns the iterate of least objective, the start among them, the first
        of equals; "last" returns the last one.
      stop: image -> bool; an image for which it holds moves no more.
      record: how many snapshots of the way to return.

    Returns:
      `SearchResult(x, value, steps, last, snapshots)`. No gradient flows through it.

    Raises:
      BadInput: if `return_iterate` is neither "best" nor "last".
    """
    if return_iterate not in ("best", "last"):
        raise BadInput(f'return_iterate={return_iterate!r}: choose "best" or "last"')
    x = project(jax.lax.stop_gradient(x))
    dtype = jax.eval_shape(objective, x).dtype

    advance = _round(objective, project, step, return_iterate == "best", stop)
    start = (x, jnp.array(jnp.inf, dtype))
    carry = (jnp.array(0), x, step.init(x), start, jnp.array(False))
    carry, snapshots = _walk(advance, carry, steps, record)
    i, x, _, best, done = carry
    chosen, value = x, objective(x)
    if return_iterate == "best":
        chosen, value = better(best, (chosen, value))
    # The round in which an image turns out to be done does not move it, and is no step.
    result = SearchResult(chosen, value, i - done.astype(i.dtype), x, snapshots)
    return jax.tree.map(jax.lax.stop_gradient, result)


def _walk(
    advance: Callable[[tuple], tuple], carry: tuple, steps: int | jax.Array, record: int
) -> tuple[tuple, jax.Array | None]:
    """Go rounds of `pgd` until `steps` are taken; return the last carry and the snapshots."""

    # A while loop is both the plain loop over steps and, under vmap, the stop rule: images that
    # are done stay as they are, and the loop ends when the last one is.
    def walk_to(carry: tuple, limit: int | jax.Array) -> tuple:
        return jax.lax.while_loop(lambda carry: (carry[0] < limit) & ~carry[4], advance, carry)

    def walk_on(carry: tuple, limit: jax.Array) -> tuple[tuple, jax.Array]:
        carry = walk_to(carry, limit)
        return carry, carry[1]

    if not record:
        return walk_to(carry, steps), None
    return jax.lax.scan(walk_on, carry, steps * jnp.arange(1, record + 1) // record)


def _round(
    objective: Objective,
    project: Projection,
    step: optax.GradientTransformation,
    keeps_best: bool,
    stop: Stop | None,
) -> Callable[[tuple], tuple]:
    """Make one round of `pgd`: (i, x, state of the step, best so far, done) -> the next five."""

    def advance(carry: tuple) -> tuple:
        i, x, step_state, best, _ = carry
        value, gradient = jax.value_and_grad(objective)(x)
        if keeps_best:
            best = better(best, (x, value))
        with jax.numpy_dtype_promotion("standard"):  # optax multiplies its counts by floats
            updates, step_state = step.update(gradient, step_state, x)
        moved = project(optax.apply_updates(x, updates))
        if stop is None:
            return i + 1, moved, step_state, best, jnp.array(False)
        done = stop(x)
        return i + 1, jnp.where(done, x, moved), step_state, best, done

    return advance


def l2_search(
    objective: Objective,
    center: jax.Array,
    begin: jax.Array,
    eps: float | jax.Array,
    step_size: float | jax.Array,
    **options: Any,
) -> SearchResult:
    """Minimize an objective by l2 steps from `begin` on, in the l2 ball about `center`.

    options: those of `pgd` but its set and its step.
    """
    ball, step = l2_ball(center, eps), l2_step(step_size)
    return pgd(objective, begin, project=ball, step=step, **options)


def better(best: tuple, candidate: tuple) -> tuple:
    """Return the (x, value) of less value; the first of equals wins."""
    replaces = candidate[1] < best[1]
    return jax.tree.map(lambda new, old: jnp.where(replaces, new, old), candidate, best)


def l2_ball(center: jax.Array, eps: float | jax.Array) -> Projection:
    """Project onto the l2 ball of radius `eps` about `center`, then onto the cube [0,1].

    As in the reference this stays in both sets; it is not the nearest point of their intersection.
    The 1e-7 is the reference's (torch's `renorm`).
    """
    return lambda x: unit_cube(center + within_l2(x - center, eps))


def linf_ball(center: jax.Array, eps: float | jax.Array) -> Projection:
    """Project onto the linf ball of radius `eps` about `center`, then onto the cube [0,1]."""
    return lambda x: unit_cube(center + within_linf(x - center, eps))


def within_l2(delta: jax.Array, eps: float | jax.Array) -> jax.Array:
    """Shrink a perturbation to l2 norm `eps` if it is longer."""
    norm = jnp.linalg.norm(delta)
    return jnp.where(norm > eps, eps / (norm + 1e-7), 1.0) * delta


def within_linf(delta: jax.Array, eps: float | jax.Array) -> jax.Array:
    """Clip every pixel of a perturbation to [-eps, eps]."""
    return jnp.clip(delta, -eps, eps)


def unit_cube(x: jax.Array) -> jax.Array:
    """Clip pixels to [0,1]: the projection of the unconstrained search."""
    return jnp.clip(x, 0.0, 1.0)


def l2_step(step_size: float | jax.Array) -> optax.GradientTransformation:
    """Step by `step_size` in l2 along the gradient, however small; a zero one moves nothing.

    The reference divides by the norm and 1e-10, which shortens the steps of confident images.
    """
    return optax.stateless(lambda g, _: -step_size * direction.unit(g))


def linf_step(step_size: float | jax.Array) -> optax.GradientTransformation:
    """Step by `step_size` in every pixel along the gradient's sign; sign(0) is 0."""
    return optax.stateless(lambda g, _: -step_size * jnp.sign(g))


def raw_step(step_size: float | jax.Array) -> optax.GradientTransformation:
    """Step by `step_size` times the gradient itself: the unconstrained search."""
    return optax.stateless(lambda g, _: -step_size * g)
