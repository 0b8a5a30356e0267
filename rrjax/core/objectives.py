"""Scalar objectives of one image: what `pgd` minimizes, or an adversary maximizes.

Each takes `apply`, one image -> (logits, reps), and what is asked of it, and returns
image -> scalar. Norms are over the whole representation.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from rrjax.core import checks, losses

Apply = Callable[[jax.Array], tuple[jax.Array, dict[str, jax.Array]]]
Objective = Callable[[jax.Array], jax.Array]


def predicted(apply: Apply, image: jax.Array) -> jax.Array:
    """Return the label that the network gives an image.

    For objectives that ask about it: they hold it fixed, wherever the image moves.
    """
    return jnp.argmax(apply(image)[0])


def _logits(apply: Apply, image: jax.Array, label: jax.Array) -> jax.Array:
    """Return the logits of one image, of which `label` is one."""
    logits, _ = apply(image)
    checks.check_vector("logits", logits)
    checks.check_index("label", label, len(logits), "classes")
    return logits


def cross_entropy(apply: Apply, label: jax.Array) -> Objective:
    """Return the cross-entropy of the image with `label`, in nats."""

    def objective(image):
        logits = _logits(apply, image, label)
        return losses.cross_entropy(logits, label)

    return objective


def logit(apply: Apply, label: jax.Array) -> Objective:
    """Return the logit of `label`."""
    return lambda image: _logits(apply, image, label)[label]


def probability(apply: Apply, label: jax.Array) -> Objective:
    """Return the probability of `label`, in [0,1]."""
    nats = cross_entropy(apply, label)
    return lambda image: jnp.exp(-nats(image))


def margin(apply: Apply, label: jax.Array) -> Objective:
    """Return the best other logit minus the logit of `label`; positive means misclassified.

    The loss of Carlini and Wagner (2017), the other logit masked with -inf.
    """

    def objective(image):
        logits = _logits(apply, image, label)
        others = jnp.where(jnp.arange(logits.shape[0]) == label, -jnp.inf, logits)
        return jnp.max(others) - logits[label]

    return objective


def divergence(apply: Apply, logits: jax.Array) -> Objective:
    """Return KL(p || q), p = softmax(logits) and q the image's prediction, in nats.

    With the logits of the clean image, what the adversary of TRADES maximizes (Zhang et al. 2019).
    """
    return lambda image: losses.kl_divergence(logits, apply(image)[0])


def match(apply: Apply, target: jax.Array) -> Objective:
    """Return |R(x) - target| / |target|, the normalized representation distance.

    The inversion loss of Engstrom et al. (2019), eq. 1, divided by |target| as in their code.
    """

    def objective(image):
        _, reps = apply(image)
        checks.check_target(target, reps["representation"])
        # safe_norm: the gradient at zero distance is 0, where that of a plain norm is NaN.
        distance = optax.safe_norm(reps["representation"] - target, 0.0)
        return distance / jnp.linalg.norm(target)

    return objective


def activate(apply: Apply, unit: jax.Array) -> Objective:
    """Return -R(x)[unit]: minimizing it grows that coordinate of the representation."""

    def objective(image):
        _, reps = apply(image)
        representation = reps["representation"]
        checks.check_vector("a representation", representation)
        checks.check_index("unit", unit, len(representation), "units")
        return -representation[unit]

    return objective
