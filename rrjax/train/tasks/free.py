"""*Free* adversarial training: one backward pass moves the network and the perturbation.

Shafahi et al. (2019), Algorithm 1, as their code (mahyarnajibi/FreeAdversarialTraining) has it.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from rrjax.core import attack
from rrjax.errors import BadInput
from rrjax.train.tasks import TrainState


def check(config) -> None:
    """Raise BadInput, naming the field, for what a training config asks of Free in vain."""
    if config.attack.norm not in attack.BALLS:
        raise BadInput(f"attack.norm={config.attack.norm!r}: replays need {tuple(attack.BALLS)}")
    for field, plain in (
        ("attack.loss", "cross_entropy"),
        ("attack.random_start", "none"),
        ("attack.restarts", 1),
        ("loss.name", "cross_entropy"),
        ("loss.clean_weight", 0.0),
        ("loss.gradient_penalty", 0.0),
        ("loss.alignment_penalty", 0.0),
        ("micro_batches", 1),
    ):
        value = config
        for name in field.split("."):
            value = value[name]
        if value != plain:
            raise BadInput(f"{field}={value!r}: with replays={config.replays} it must be {plain!r}")


def train_step(
    gradient: Callable,
    update: Callable,
    projected_ascent_step: Callable,
    replays: int,
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    key: jax.Array,
):
    """Train on a minibatch `replays` times, each time moving `carried["delta"]` as well.

    gradient: (state, images, labels, dropout_key) -> (gradients of parameters and images,
    batch_stats, metrics), one forward in train mode: BN normalizes by the batch and is updated
    every replay, as in the paper's code. delta, (images a step, H, W, C), is replicated, since the
    state is: a device moves its own rows. It stays in the ball and goes on to the next minibatch;
    the images are cut to [0,1], delta is not, and where the cut binds its gradient is 0.
    """
    rows, place = images.shape[0], lax.axis_index("batch")
    delta = lax.dynamic_slice_in_dim(state.carried["delta"], place * rows, rows)

    def replay(carry, dropout_key):
        state, delta = carry
        moved = images + delta
        (grads, ascent), stats, metrics = gradient(state, moved.clip(0, 1), labels, dropout_key)
        inside = (moved >= 0) & (moved <= 1)
        state, metrics = update(state, grads, stats, metrics)
        delta = jax.vmap(partial(projected_ascent_step, state.step))(
            delta, jnp.where(inside, ascent, 0)
        )
        return (state, delta), metrics

    keys = jax.random.split(key, replays)
    (state, delta), metrics = lax.scan(replay, (state, delta), keys)
    delta = lax.all_gather(delta, "batch", tiled=True)
    state = state.replace(carried=state.carried | {"delta": delta})
    return state, jax.tree.map(jnp.mean, metrics)
