"""What a training may ask of its input gradients beside its loss: "double backpropagation".

Drucker and LeCun (1992); against adversaries, Ross and Doshi-Velez (2018); Kim et al. (2019),
section 3.2, propose such a regularizer. At the clean images, one at a time. BN: the network is in
eval mode, as the attack sees it, so no image's penalty depends on its batch and none moves the
running statistics.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from rrjax import BadInput
from rrjax.core import objectives

# (apply, images, labels) -> (scalar, metrics)
Penalty = Callable[[objectives.Apply, jax.Array, jax.Array], tuple[jax.Array, dict[str, jax.Array]]]


def create(config: ConfigDict) -> Penalty | None:
    """Make the penalty of a training config's `loss`.

    None if neither penalty has a weight.

    Raises:
      BadInput: naming a weight that is negative.
    """
    weights = {
        squared_gradient: config.gradient_penalty,
        misalignment: config.alignment_penalty,
    }
    if not all(weight >= 0 for weight in weights.values()):  # so that a NaN is refused too
        raise BadInput(
            f"loss.gradient_penalty={config.gradient_penalty}, "
            f"alignment_penalty={config.alignment_penalty}: neither may be negative"
        )
    weights = {term: weight for term, weight in weights.items() if weight}
    if not weights:
        return None

    def penalty(apply, images, labels):
        means = {term: jax.vmap(partial(term, apply))(images, labels).mean() for term in weights}
        metrics = {term.__name__: mean for term, mean in means.items()}
        return sum(weight * means[term] for term, weight in weights.items()), metrics

    return penalty


def squared_gradient(apply: objectives.Apply, image: jax.Array, label: jax.Array) -> jax.Array:
    """Return the squared l2 norm of the cross-entropy's gradient, in nats per unit of a pixel."""
    return jnp.sum(jax.grad(objectives.cross_entropy(apply, label))(image) ** 2)


def misalignment(apply: objectives.Apply, image: jax.Array, label: jax.Array) -> jax.Array:
    """Return 1 - the cosine of the image and the gradient of its class's logit: from 0 to 2.

    1 where either is zero.
    """
    gradient = jax.grad(objectives.logit(apply, label))(image)
    # safe_norm: a plain norm's gradient at zero is NaN.
    lengths = optax.safe_norm(image, 1e-12) * optax.safe_norm(gradient, 1e-12)
    return 1 - jnp.sum(image * gradient) / lengths
