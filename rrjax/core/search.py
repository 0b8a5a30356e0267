"""A search in many images: `pgd` on one objective of each, in chunks of images and of steps."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from rrjax import BadInput
from rrjax.core import checks, objectives
from rrjax.core.pgd import SearchResult, better, l2_search
from rrjax.core.vmapped import in_local_parts

# What is minimized in one image: (apply, target) -> image -> scalar.
ObjectiveOf = Callable[[objectives.Apply, Any], objectives.Objective]
CHUNK = 50  # steps between two calls of `Options.tick`


def silent(_steps: int) -> None:
    """Report no progress."""


def step_size(side: int) -> float:
    """Return the l2 length of a step in images of `side` pixels a side, of [0,1] pixels: side/128.

    It grows with the side, as the largest l2 norm of an image does, and so a search of as many
    steps goes as far in every size. In 500 steps on photographs it inverts as far as steps of other
    lengths that were tried: at 32 pixels (0.25) cifar10_robust_l2_eps05 to a distance of 0.097,
    with 0.1 to 0.105; at 64 (0.5) rin64_robust_l2_eps1 to 0.240, with 0.2 to 0.257, 0.7 to 0.238.
    """
    return side / 128


@dataclasses.dataclass(frozen=True)
class Options:
    """How to search.

    steps: how many gradient steps. step_size: the l2 length of each, in units of [0,1] pixels;
    None: that of the rule `step_size`. eps: the l2 radius about the start in the same units; 1000
    never binds. return_iterate: "best" or "last". straight_through: whether the last ReLU passes
    gradients to dead coordinates. batch_size: images at once, over all devices. tick: is called
    with a number of steps when they are done, as the `update` of a progress bar.
    """

    steps: int = 500
    step_size: float | None = None
    eps: float = 1000.0
    return_iterate: str = "best"
    straight_through: bool = False
    batch_size: int = 32
    tick: Callable[[int], Any] = silent


def options(given: dict[str, Any], **defaults: Any) -> Options:
    """Return the options that a caller gave, over a function's own defaults.

    Raises:
      TypeError: for an option that there is not, naming those that there are.
      BadInput: for a batch of no image.
    """
    fields = [field.name for field in dataclasses.fields(Options)]
    if unknown := sorted(set(given) - set(fields)):
        raise TypeError(f"no such options: {', '.join(unknown)}: there are {', '.join(fields)}")
    how = Options(**(defaults | given))
    if how.batch_size < 1:
        raise BadInput(f"batch_size={how.batch_size}: give at least 1")
    return how


def search(
    apply: objectives.Apply,
    objective: ObjectiveOf,
    starts: np.ndarray,
    targets: np.ndarray,
    how: Options,
) -> SearchResult:
    """Minimize an objective of each of many images, from its start on, in the l2 ball about it.

    Args:
      apply: one image -> (logits, reps), whose gradients are followed.
      objective: (apply, target) -> image -> scalar; the same function at every call, so that it is
        compiled once.
      starts: (N, H, W, C), float in [0,1].
      targets: what the objective takes for each, (N, ...).
      how: the options.

    Returns:
      `SearchResult` of numpy arrays, of N rows each.

    Raises:
      BadInput: for pixels outside [0,1], and for options that are out of range.
    """
    length = step_size(max(starts.shape[1:3])) if how.step_size is None else how.step_size
    checks.check_search({"the start": starts}, how.eps, length, how.steps)
    descend = partial(
        _descend,
        checks.as_pytree(apply),
        objective=objective,
        return_iterate=how.return_iterate,
        eps=how.eps,
        step_size=length,
    )
    return in_local_parts(partial(_in_chunks, descend, how), how.batch_size, starts, targets)


def _in_chunks(descend: Callable, how: Options, starts: Any, targets: Any) -> SearchResult:
    """Search `CHUNK` steps at a time, and wait for each: so progress is reported as it is made."""
    result = descend(starts, targets, starts, steps=0)
    for done in range(0, how.steps, CHUNK):
        steps = min(CHUNK, how.steps - done)
        further = descend(starts, targets, result.last, steps=steps)
        best = further if how.return_iterate == "last" else _better(result[:2], further[:2])
        taken = result.steps + further.steps
        result = jax.block_until_ready(SearchResult(best[0], best[1], taken, further.last))
        how.tick(steps)
    return result


_better = jax.jit(jax.vmap(better))


@partial(jax.jit, static_argnames=("objective", "return_iterate"))
def _descend(apply, starts, targets, begins, *, objective, return_iterate, **sizes):
    def one(start: jax.Array, target: jax.Array, begin: jax.Array) -> SearchResult:
        options = {"return_iterate": return_iterate} | sizes
        return l2_search(objective(apply, target), start, begin, **options)

    return jax.vmap(one)(starts, targets, begins)
