"""Which pixels does a scalar of one image depend on? Maps of one image, (H, W, C); vmap for many.

Every attribution takes an objective (image -> scalar), as `rrjax.objectives` makes them, and an
image.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

Objective = Callable[[jax.Array], jax.Array]
Attribution = Callable[[jax.Array], jax.Array]


def gradient(objective: Objective, image: jax.Array) -> jax.Array:
    """Return the objective's gradient (saliency; Simonyan et al. 2013)."""
    return jax.grad(objective)(image)


def gradient_x_input(
    objective: Objective, image: jax.Array, baseline: jax.Array | float = 0.5
) -> jax.Array:
    """Return the gradient times the image, less `baseline`.

    Kim et al. (2019) take pixels in [-1,1]: mid-grey, 0.5 here, counts nothing.
    """
    return gradient(objective, image) * (image - baseline)


def integrated_gradients(
    objective: Objective, image: jax.Array, baseline: jax.Array | float = 0.5, points: int = 50
) -> jax.Array:
    """Return the gradient averaged from `baseline` to the image, times their difference.

    Sundararajan et al. (2017); the map sums to objective(image) - objective(baseline). The average
    is a Gauss-Legendre quadrature of `points` points, as Captum's.
    """
    nodes, weights = np.polynomial.legendre.leggauss(points)
    along = jnp.asarray((nodes + 1) / 2, image.dtype)
    weights = jnp.asarray(weights / 2, image.dtype)

    def add(total, point):
        fraction, weight = point
        between = baseline + fraction * (image - baseline)
        return total + weight * gradient(objective, between), None

    average, _ = jax.lax.scan(add, jnp.zeros_like(image), (along, weights))
    return average * (image - baseline)


def smooth(
    attribute: Attribution, image: jax.Array, key: jax.Array, *, n: int = 50, sigma: float = 0.15
) -> jax.Array:
    """Average an attribution over `n` noisy copies of the image (SmoothGrad; Smilkov et al. 2017).

    attribute: image -> map. sigma: the noise's standard deviation, in units of pixels in [0,1].
    """

    def add(total, key):
        noisy = image + sigma * jax.random.normal(key, image.shape, image.dtype)
        return total + attribute(noisy), None

    total, _ = jax.lax.scan(add, jnp.zeros_like(image), jax.random.split(key, n))
    return total / n


def magnitude(attribution: jax.Array) -> jax.Array:
    """Reduce a map (H, W, C) to one number a pixel, (H, W): the sum over channels of |.|."""
    return jnp.abs(attribution).sum(-1)


def ranks(importance: jax.Array) -> jax.Array:
    """Return each pixel's place among all, (H, W) int32: 0 is the largest; ties by pixel index."""
    order = jnp.argsort(-importance.ravel(), stable=True)
    places = (
        jnp.zeros(order.shape, jnp.int32).at[order].set(jnp.arange(len(order), dtype=jnp.int32))
    )
    return places.reshape(importance.shape)


def occlude(
    image: jax.Array, places: jax.Array, count: jax.Array | int, fill: jax.Array, keep: bool = False
) -> jax.Array:
    """Replace the `count` most important pixels of an image by those of `fill`.

    Args:
      image: (H, W, C).
      places: of its pixels, (H, W), as `ranks` gives them.
      count: exactly so many pixels; it may be traced.
      fill: what takes their place, such that it broadcasts to the image.
      keep: replace all other pixels instead (KAR, where the default is ROAR's).
    """
    most = (places < count)[..., None]
    return jnp.where(most != keep, jnp.broadcast_to(fill, image.shape), image)
