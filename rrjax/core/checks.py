"""Is what a caller gave possible? Shapes, dtypes and options always, values where they are known.

Under jit and vmap an argument has no value yet: there its shape and dtype are checked. Without
these checks an index out of range would be clipped, and a batch taken for one image, silently.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rrjax import BadInput

_ROUNDING = 1e-5  # of pixels that were resized or decoded


def known(x: Any) -> bool:
    """Return whether a number or an array has a value: it has none under jit, grad and vmap."""
    return not isinstance(x, jax.core.Tracer)


def check_index(name: str, index: Any, size: int, axis: str) -> None:
    """Check an index, or an array of them, into `size` entries of `axis`, such as "classes".

    Raises:
      BadInput: unless it is a whole number of 0 to size - 1.
    """
    if not jnp.issubdtype(jnp.result_type(index), jnp.integer):
        raise BadInput(f"{name} is {jnp.result_type(index)}: give whole numbers")
    if known(index):
        wrong = np.asarray(index)[(np.asarray(index) < 0) | (np.asarray(index) >= size)]
        if wrong.size:
            raise BadInput(f"{name}={wrong.flat[0]}: there are {size} {axis}, 0 to {size - 1}")


def check_pixels(name: str, image: Any) -> None:
    """Check that an image, or an array of them, is floating point and in [0,1].

    Raises:
      BadInput: if it is not.
    """
    if not jnp.issubdtype(jnp.result_type(image), jnp.floating):
        raise BadInput(
            f"{name} is {jnp.result_type(image)}: give floats in [0,1], divided by 255 if they are "
            "bytes"
        )
    if not np.size(image):
        raise BadInput(f"{name} has the shape {np.shape(image)}: there is no pixel in it")
    if known(image):
        # On the device that holds it, and at once, where what surrounds it is traced.
        least, most = (jnp.min, jnp.max) if isinstance(image, jax.Array) else (np.min, np.max)
        with jax.ensure_compile_time_eval():
            low, high = float(least(image)), float(most(image))
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
            raise BadInput(
                f"{name} has pixels from {low:g} to {high:g}: give floats in [0,1], divided by 255 "
                "and not normalized (the network normalizes inside)"
            )


def check_vector(name: str, x: jax.Array) -> None:
    """Check that what a network says of one image is a vector.

    Raises:
      BadInput: if it is not: several images were taken for one.
    """
    if x.ndim != 1:
        raise BadInput(
            f"{name} of shape {x.shape}: of one image it is a vector. Give one image (H, W, C), "
            "and add a batch axis by jax.vmap"
        )


def check_target(target: Any, representation: jax.Array) -> None:
    """Check a representation that is to be reached, beside that of an image.

    Raises:
      BadInput: for another shape, a value that is not finite, and a norm of zero, in units of
        which distances are.
    """
    if jnp.shape(target) != representation.shape:
        raise BadInput(
            f"a target of shape {jnp.shape(target)}: the representation of one image has "
            f"{representation.shape}. Give one target, and add a batch axis by jax.vmap"
        )
    if known(target):
        norm = np.linalg.norm(np.asarray(target, np.float64))
        if not (np.isfinite(norm) and norm > 0):
            raise BadInput(f"a target of norm {norm:g}: it must be finite and above 0")


def check_sizes(prefix: str, norm: str, eps: Any, step_size: Any, steps: Any) -> None:
    """Check the radius and the steps of a search; `prefix` is of their names, such as "attack.".

    Raises:
      BadInput: for what is not one number, a value below 0 or not finite, a fraction of a step, and
        an linf radius above 1.
    """
    for name, value in (("eps", eps), ("step_size", step_size), ("steps", steps)):
        if not known(value):
            continue
        if np.ndim(value) or not np.issubdtype(np.asarray(value).dtype, np.number):
            raise BadInput(f"{prefix}{name}={value!r}: give one number")
        if not 0 <= value < np.inf:
            raise BadInput(f"{prefix}{name}={value}: it must not be negative, and finite")
    if known(steps) and int(steps) != steps:
        raise BadInput(f"{prefix}steps={steps}: give a whole number")
    if known(eps) and norm == "linf" and eps > 1:
        raise BadInput(
            f"{prefix}eps={eps:g}: an linf eps is in units of [0,1] pixels, at most 1: did you "
            f"mean {eps:g}/255?"
        )


def check_search(images: Mapping[str, Any], eps: Any, step_size: Any, steps: Any) -> None:
    """Check the images, by their names, and the sizes of a search in an l2 ball.

    Raises:
      BadInput: as `check_pixels` and `check_sizes`.
    """
    for name, image in images.items():
        check_pixels(name, image)
    check_sizes("", "l2", eps, step_size, steps)


def check_steps(norm: str, random_start: str, eps: Any, step_size: Any, steps: Any) -> None:
    """Check the size of an attack; without a ball, norm "unconstrained", eps is not used.

    Raises:
      BadInput: as `check_sizes`, and for an eps above 0 whose attack would not move: without a
        random start, and with steps or step_size of 0.
    """
    check_sizes("attack.", norm, eps, step_size, steps)
    if random_start != "none" or norm == "unconstrained" or not (known(eps) and eps > 0):
        return
    for name, value in (("step_size", step_size), ("steps", steps)):
        if known(value) and value == 0:
            raise BadInput(
                f"attack.{name}=0 with eps={eps:g}: this attack never moves; give {name} above 0, "
                "or eps=0 for clean images"
            )


def check_batch(images: jax.Array, labels: jax.Array) -> None:
    """Check that there are images (N, ...) and a label (N,) for each.

    Raises:
      BadInput: if there are not.
    """
    if not len(images) or labels.shape != images.shape[:1]:
        raise BadInput(
            f"labels of shape {labels.shape} for images of shape {images.shape}: give at least one "
            "image, (N, H, W, C), and a label for each, (N,)"
        )


def check_mixture(left: Any, right: Any, weight: Any) -> None:
    """Check two images, and how much of the second is mixed into the first.

    Raises:
      BadInput: for another shape, and for a weight that is not one number of 0 to 1.
    """
    if np.shape(left) != np.shape(right):
        raise BadInput(f"images of shape {np.shape(left)} and {np.shape(right)}: give one shape")
    if np.ndim(weight) or (known(weight) and not 0 <= weight <= 1):
        raise BadInput(f"weight={weight}: give one number of 0 to 1; many by jax.vmap")


def check_key(key: Any) -> None:
    """Check a key of jax.random.

    Raises:
      BadInput: for a plain number.
    """
    if isinstance(key, int):
        raise BadInput(f"key={key}: give jax.random.key({key})")


def as_pytree(apply: Callable) -> jax.tree_util.Partial:
    """Return a network's function of one image such that it passes through jit.

    Raises:
      BadInput: for what is not a function of one image, as a loaded network itself.
    """
    if isinstance(apply, jax.tree_util.Partial):
        return apply
    if not callable(apply) or hasattr(apply, "apply"):
        raise BadInput(
            f"a {type(apply).__name__} for apply: give a function of one image, such as "
            "network.apply of a loaded network"
        )
    return jax.tree_util.Partial(apply)
