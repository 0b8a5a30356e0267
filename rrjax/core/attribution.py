"""Which pixels does a scalar of one image depend on? Maps of one image, (H, W, C); vmap for many.

Every attribution takes an objective (image -> scalar), as `rrjax.core.objectives` makes them, and
an image; Grad-CAM, which looks at a stage of the network, takes the network.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.sparse.linalg import cg

from rrjax import BadInput
from rrjax.core import checks, objectives, rules
from rrjax.core.objectives import Apply

Objective = Callable[[jax.Array], jax.Array]
Attribution = Callable[[jax.Array], jax.Array]


def gradient(objective: Objective, image: jax.Array) -> jax.Array:
    """Return the objective's gradient (saliency; Simonyan et al. 2013).

    Raises:
      BadInput: for pixels outside [0,1].
    """
    checks.check_pixels("image", image)
    return jax.grad(objective)(image)


def gradient_x_input(
    objective: Objective, image: jax.Array, baseline: jax.Array | float = 0.5
) -> jax.Array:
    """Return the gradient times the image, less `baseline`.

    Kim et al. (2019) take pixels in [-1,1]: mid-gray, 0.5 here, counts nothing.
    """
    return gradient(objective, image) * (image - baseline)


def integrated_gradients(
    objective: Objective, image: jax.Array, baseline: jax.Array | float = 0.5, points: int = 50
) -> jax.Array:
    """Return the gradient averaged from `baseline` to the image, times their difference.

    Sundararajan et al. (2017); the map sums to objective(image) - objective(baseline). The average
    is a Gauss-Legendre quadrature of `points` points, as Captum's.
    """
    checks.check_pixels("image", image)
    if points < 1:
        raise BadInput(f"points={points}: give at least 1")
    nodes, weights = np.polynomial.legendre.leggauss(points)
    along = jnp.asarray((nodes + 1) / 2, image.dtype)
    weights = jnp.asarray(weights / 2, image.dtype)

    def add(total, point):
        fraction, weight = point
        between = baseline + fraction * (image - baseline)
        return total + weight * gradient(objective, between), None

    average, _ = jax.lax.scan(add, jnp.zeros_like(image), (along, weights))
    return average * (image - baseline)


def deep_lift(
    objective: Objective, image: jax.Array, baseline: jax.Array | float = 0.5
) -> jax.Array:
    """Return DeepLIFT's multipliers times the image, less `baseline`, by the rescale rule.

    Shrikumar et al. (2017), at max-pools as Captum; the map sums to objective(image) -
    objective(baseline), up to rounding.

    Raises:
      BadInput: for pixels outside [0,1], and for an objective other than a logit of a network of
        ReLU, ReLU6 and max-pools, or a sum of such.
    """
    checks.check_pixels("image", image)
    reference = jnp.broadcast_to(jnp.asarray(baseline, image.dtype), image.shape)
    return rules.gradient(objective, image, reference, rules.rescale) * (image - reference)


def lrp(
    objective: Objective,
    image: jax.Array,
    baseline: jax.Array | float = 0.5,
    eps: float = 1e-4,
) -> jax.Array:
    """Return layer-wise relevance by the epsilon rule (Bach et al. 2015).

    As Ancona et al. (2018) compute it, whose code the paper's includes: a gradient times the input,
    in which every activation's derivative is its output over its input z + eps sign(z). As eps
    goes to 0 it becomes `gradient_x_input`; without biases that sums to the objective.

    Args:
      objective: a logit, as in `deep_lift`.
      image: (H, W, C), float in [0,1].
      baseline: the pixels that the network's normalization makes 0, its config.model.mean.
      eps: in units of the activations; 1e-4 is that code's.

    Raises:
      BadInput: as `deep_lift`, and for an eps that is not above 0.
    """
    checks.check_pixels("image", image)
    if not eps > 0:
        raise BadInput(f"eps={eps}: give LRP one above 0")
    origin = jnp.broadcast_to(jnp.asarray(baseline, image.dtype), image.shape)
    return rules.gradient(objective, image, origin, rules.epsilon(eps)) * (image - origin)


def grad_cam(apply: Apply, label: jax.Array, image: jax.Array, stage: str = "") -> jax.Array:
    """Return where a stage's channels speak for a class, (H, W, 1), not below 0 (Grad-CAM).

    Selvaraju et al. (2017): the channels, each times the mean over its pixels of the gradient of
    the logit of `label`, summed; ReLU; enlarged to the image's size, linearly.

    stage: the name of a representation (h, w, channels); "" for the one of fewest pixels, and of
    several such the one that is computed last.

    Raises:
      BadInput: for pixels outside [0,1], and for a stage that is none of the network's, or no map.
    """
    checks.check_pixels("image", image)
    _, reps = jax.eval_shape(apply, image)
    maps = {name: each.shape for name, each in reps.items() if each.ndim == 3}
    if maps and not stage:
        pixels = {name: height * width for name, (height, width, _) in maps.items()}
        fewest = [name for name in maps if pixels[name] == min(pixels.values())]
        stage = fewest[0] if len(fewest) == 1 else rules.last_stage(apply, image, fewest)
    if stage not in maps:
        raise BadInput(f"stage={stage!r}: choose from {', '.join(sorted(maps))}")
    activations, slopes = rules.at_stage(apply, label, image, stage)
    weighted = jnp.maximum(activations @ slopes.mean((0, 1)), 0)
    return jax.image.resize(weighted, image.shape[:2], "linear")[..., None]


# Attributions of any objective, which need no more than it.
OF_OBJECTIVE = {
    "gradient": gradient,
    "gradient_x_input": gradient_x_input,
    "integrated_gradients": integrated_gradients,
    "deep_lift": deep_lift,
}
METHODS = (*OF_OBJECTIVE, "lrp", "grad_cam")  # of `of_logit`


def of_logit(
    method: str, apply: Apply, label: jax.Array, image: jax.Array, mean: jax.Array
) -> jax.Array:
    """Attribute the logit of `label` by one of METHODS.

    mean: the pixels that the network's normalization makes 0, one a channel; LRP's baseline.
    """
    if method == "grad_cam":
        return grad_cam(apply, label, image)
    objective = objectives.logit(apply, label)
    if method == "lrp":
        return lrp(objective, image, mean)
    return OF_OBJECTIVE[method](objective, image)


def smooth(
    attribute: Attribution, image: jax.Array, key: jax.Array, *, n: int = 50, sigma: float = 0.15
) -> jax.Array:
    """Average an attribution over `n` noisy copies of the image (SmoothGrad; Smilkov et al. 2017).

    Args:
      attribute: image -> map.
      image: (H, W, C), float in [0,1].
      key: of the noise.
      n: the number of copies.
      sigma: the noise's standard deviation, in units of pixels in [0,1].
    """
    if n < 1:
        raise BadInput(f"n={n}: give at least 1 copy")

    def add(total, key):
        noisy = image + sigma * jax.random.normal(key, image.shape, image.dtype)
        return total + attribute(noisy), None

    total, _ = jax.lax.scan(add, jnp.zeros_like(image), jax.random.split(key, n))
    return total / n


def random(image: jax.Array, key: jax.Array) -> jax.Array:
    """Draw a map that depends on neither image nor network, uniform in [0,1): a control."""
    return jax.random.uniform(key, image.shape, image.dtype)


def sobel(image: jax.Array) -> jax.Array:
    """Return the length of Sobel's gradient, channel by channel: edges, a control of no network."""
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)), "edge")
    down = _weighted(padded[2:] - padded[:-2], axis=1)
    across = _weighted(padded[:, 2:] - padded[:, :-2], axis=0)
    return jnp.hypot(down, across)


def blur(image: jax.Array, sigma: float) -> jax.Array:
    """Blur an image or a map (H, W, C) by a Gaussian of `sigma` pixels, mirrored at the border.

    An image's is a fill for `occlude`, a map's is a control: retraining benchmarks reward blur
    (Rong et al. 2022).
    """
    import dm_pix  # a bench, where there is JAX and little else, loads networks without it

    radius = round(4 * sigma)
    padded = jnp.pad(image, ((radius, radius), (radius, radius), (0, 0)), "symmetric")
    return dm_pix.gaussian_blur(padded, sigma, 2 * radius + 1, padding="VALID")


def magnitude(attribution: jax.Array) -> jax.Array:
    """Reduce a map (H, W, C) to one number a pixel, (H, W): the sum over channels of |.|."""
    return jnp.abs(attribution).sum(-1)


def ranks(importance: jax.Array) -> jax.Array:
    """Return each pixel's rank among all, (H, W) int32: 0 is the largest; ties by pixel index."""
    order = jnp.argsort(-importance.ravel(), stable=True)
    positions = jnp.arange(len(order), dtype=jnp.int32)
    return jnp.zeros(order.shape, jnp.int32).at[order].set(positions).reshape(importance.shape)


def occlude(
    image: jax.Array,
    pixel_ranks: jax.Array,
    count: jax.Array | int,
    fill: jax.Array,
    invert_mask: bool = False,
) -> jax.Array:
    """Replace the `count` most important pixels of an image by those of `fill`.

    Args:
      image: (H, W, C).
      pixel_ranks: the ranks of its pixels, (H, W), as `ranks` gives them.
      count: exactly so many pixels; it may be traced.
      fill: what replaces them, such that it broadcasts to the image: the data's mean (C,), or
        an image, by `blur` or `noisy_linear`.
      invert_mask: replace all other pixels instead (KAR, where the default is ROAR's).
    """
    if not jnp.issubdtype(jnp.result_type(count), jnp.integer):
        raise BadInput(f"count={count}: give a whole number of pixels, of {pixel_ranks.size}")
    important = (pixel_ranks < count)[..., None]
    return jnp.where(important != invert_mask, jnp.broadcast_to(fill, image.shape), image)


def noisy_linear(
    image: jax.Array, missing: jax.Array, key: jax.Array, noise: float = 0.01
) -> jax.Array:
    """Return the image with its missing pixels, (H, W) bool, imputed from the others.

    Rong et al. (2022; ROAD): each becomes the mean of its eight neighbors, weighted 1/6 at its
    sides and 1/12 at its corners, plus noise of standard deviation `noise`, in units of pixels in
    [0,1], to which it is clipped. Where all are missing they become mid-gray.
    """
    missing = missing[..., None]
    weight = _neighbors(jnp.ones_like(missing, image.dtype))
    present = jnp.where(missing, 0, image)
    values, _ = cg(
        lambda x: jnp.where(missing, weight * x - _neighbors(x), 0),
        jnp.where(missing, _neighbors(present), 0),
        jnp.where(missing, jnp.full_like(image, 0.5), 0),
        # With every pixel missing the right side is 0, and no residual would be small beside it.
        atol=1e-7 * image.size**0.5,
    )
    noisy = values + noise * jax.random.normal(key, image.shape, image.dtype)
    return jnp.where(missing, jnp.clip(noisy, 0, 1), image)


def _neighbors(x: jax.Array) -> jax.Array:
    """Add up each pixel's neighbors, 1/6 of those at its sides, 1/12 of those at its corners."""
    padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)))
    return (_weighted(_weighted(padded, axis=0), axis=1) - 4 * x) / 12


def _weighted(x: jax.Array, axis: int) -> jax.Array:
    """Return x[i - 1] + 2 x[i] + x[i + 1] along an axis, two shorter."""
    before, at, after = (
        jax.lax.slice_in_dim(x, i, x.shape[axis] - 2 + i, axis=axis) for i in range(3)
    )
    return before + 2 * at + after
