"""Many images at once: the functions of one image under jit and vmap, and loops over parts."""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rrjax import BadInput
from rrjax.core import checks, devices, objectives
from rrjax.core.pgd import SearchResult
from rrjax.core.representation import invert, visualize

# An array, or what reads or draws its rows when they are asked for, as `data.Images`.
Rows = Any


def invert_images(
    apply: objectives.Apply,
    descend: objectives.Apply,
    starts: jax.Array | np.ndarray,
    targets: jax.Array | np.ndarray,
    begins: jax.Array | np.ndarray | None = None,
    **options: Any,
) -> SearchResult:
    """Invert the representations that images `targets` have under `apply`, all at once.

    Args:
      apply: image -> (logits, reps): the network whose representations of `targets` are inverted.
      descend: the network whose gradients are followed: `apply` again, or its straight-through
        version; a `Frozen` network has both.
      starts: (N, H, W, C), float in [0,1].
      targets: images of the same shape.
      begins: `invert`'s `begin`, an image for each; None for `starts`.
      **options: those of `invert`.

    Returns:
      `SearchResult` with x (N, H, W, C), value (N,) and, if some are recorded, snapshots (N,
      record, H, W, C).

    Raises:
      BadInput: for pixels outside [0,1], and for an eps, a step_size or steps out of range.
    """
    for name, images in (("starts", starts), ("targets", targets), ("begins", begins)):
        if images is not None:
            checks.check_pixels(name, images)
    _check_sizes(options)
    apply, descend = checks.as_pytree(apply), checks.as_pytree(descend)
    return _invert(apply, descend, starts, targets, begins, **options)


def _check_sizes(options: dict[str, Any]) -> None:
    """Check what is given of a search's sizes: under jit they have no value."""
    sizes = {"eps": 0, "step_size": 0, "steps": 0} | options
    checks.check_sizes("", "l2", sizes["eps"], sizes["step_size"], sizes["steps"])


@partial(jax.jit, static_argnames=("return_iterate", "record"))
def _invert(apply, descend, starts, targets, begins, **options):
    def one(start: jax.Array, target: jax.Array, begin: jax.Array) -> SearchResult:
        _, reps = apply(target)
        return invert(descend, start, reps["representation"], begin=begin, **options)

    return jax.vmap(one)(starts, targets, starts if begins is None else begins)


def represent(apply: objectives.Apply, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the logits (N, classes) and the representations (N, D) of images (N, H, W, C).

    Raises:
      BadInput: for pixels outside [0,1].
    """
    checks.check_pixels("images", images)
    return _represent(checks.as_pytree(apply), images)


@jax.jit
def _represent(apply, images):
    def one(image: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits, reps = apply(image)
        return logits, reps["representation"]

    return jax.vmap(one)(images)


def represent_images(
    apply: objectives.Apply, images: Rows, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Do as `represent`, `batch_size` images at a time.

    images: also what reads its rows when they are asked for, as `data.Images`.
    """
    if isinstance(images, np.ndarray | jax.Array):  # all at once, not again in every part
        checks.check_pixels("images", images)
    return in_parts(partial(_represent, checks.as_pytree(apply)), batch_size, images)


def nearest_distance(
    apply: objectives.Apply, images: np.ndarray, references: np.ndarray, batch_size: int
) -> np.ndarray:
    """Return the least normalized representation distance of each image to a gallery's: (N,).

    It is normalized by the gallery image's representation; one that is zero is passed over.

    references: the representations of the gallery's images under `apply`, (M, D).

    Raises:
      BadInput: if all of them are zero.
    """
    _, queries = represent_images(apply, images, batch_size)
    nonzero = references[references.any(1)]
    if not len(nonzero):
        raise BadInput(
            f"the representations of all {len(references)} gallery images are zero, so no distance "
            "to them can be normalized: use another network or a larger gallery"
        )
    return in_parts(partial(_nearest, nonzero), batch_size, queries)


@jax.jit
def _nearest(references, queries):
    def distance(query: jax.Array) -> jax.Array:
        # One reduction, so that the differences of all pairs are never in memory at once.
        distances = jnp.linalg.norm(query[None] - references, axis=-1)
        return (distances / jnp.linalg.norm(references, axis=-1)).min()

    return jax.vmap(distance)(queries)


def visualize_images(
    apply: objectives.Apply, starts: jax.Array, units: jax.Array, **options: Any
) -> SearchResult:
    """Grow a unit (N,) in each of many starts (N, H, W, C); options are those of `visualize`.

    Returns:
      `SearchResult` with x (N, H, W, C), value (N,) and, if some are recorded, snapshots (N,
      record, H, W, C).

    Raises:
      BadInput: for pixels outside [0,1], a unit that there is not, and for an eps, a step_size or
        steps out of range.
    """
    apply = checks.as_pytree(apply)
    checks.check_pixels("starts", starts)
    _check_sizes(options)
    _, reps = jax.eval_shape(apply, jax.ShapeDtypeStruct(starts.shape[1:], starts.dtype))
    checks.check_index("unit", units, len(reps["representation"]), "units")
    return _visualize(apply, starts, units, **options)


@partial(jax.jit, static_argnames=("return_iterate", "record"))
def _visualize(apply, starts, units, **options):
    return jax.vmap(partial(visualize, apply, **options))(starts, units)


def alive_units(
    representations: np.ndarray, n: int, rng: np.random.Generator, first: Sequence[int] = ()
) -> np.ndarray:
    """Choose `n` different coordinates: the first ones as given, then some that images differ in.

    Args:
      representations: of images, (N, D); a coordinate that is the same for all is not drawn.
      n: how many.
      rng: draws them.
      first: those that come first.

    Raises:
      BadInput: if there are fewer, and for a coordinate that there is not.
    """
    representations = np.asarray(representations)
    given = np.array(first, int)
    checks.check_index("first_units", given, representations.shape[1], "units")
    alive = np.setdiff1d(np.flatnonzero(np.ptp(representations, axis=0) > 0), given)
    if not 0 <= n - len(given) <= len(alive):
        given_too = f", {len(given)} of them by first_units" if len(given) else ""
        raise BadInput(
            f"{n} units are asked for{given_too}; {len(alive)} others tell images apart: give "
            "another number"
        )
    return np.concatenate([given, rng.choice(alive, n - len(given), replace=False)])


def in_parts(
    function: Callable[..., Any],
    size: int,
    *stacks: Rows,
    each: Callable[[Iterable], Iterable] = iter,
) -> Any:
    """Call `function` on stacks of n rows, `size` rows at a time, and concatenate the results.

    A part is split over all devices of all processes; the processes call it alike, and each gets
    all results. The last part is filled up with the first rows, so that `function` is compiled
    once.

    Args:
      function: arrays of as many rows each -> a pytree of arrays of as many rows. A row's result
        depends on that row alone.
      size: the number of rows of a part, over all devices.
      *stacks: arrays of n rows each, or what reads its rows when they are asked for.
      each: wraps the parts, as a progress bar does.

    Returns:
      The pytree of `function`, of numpy arrays of n rows.
    """
    n, rows = len(stacks[0]), devices.share(len(stacks[0]))
    size = -(-size // jax.process_count())
    mine = in_local_parts(function, size, *stacks, rows=rows, each=each)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n], devices.gathered(mine))


def in_local_parts(
    function: Callable[..., Any],
    size: int,
    *stacks: Rows,
    rows: np.ndarray | None = None,
    each: Callable[[Iterable], Iterable] = iter,
) -> Any:
    """Do as `in_parts`, on the devices of this process alone; traced stacks are one part.

    Args:
      function: as in `in_parts`, and so are `size`, `stacks` and `each`.
      size: the number of rows of a part, over the devices of this process.
      *stacks: arrays of n rows each.
      rows: which of them; None: all.
      each: wraps the parts.

    Returns:
      The pytree of `function`, of numpy arrays of as many rows.
    """
    if not all(map(checks.known, stacks)):  # in a caller's jit
        return function(*stacks)
    rows = np.arange(len(stacks[0])) if rows is None else rows
    n, size = len(rows), min(size, len(rows))
    parts = rows[np.arange(-(-n // size) * size) % n].reshape(-1, size)
    outputs = devices.results(
        devices.started(function, *(stack[part] for stack in stacks)) for part in each(parts)
    )
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:n], *outputs)


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Return what `function` returns, and the seconds that it took."""
    begun = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    return result, time.perf_counter() - begun
