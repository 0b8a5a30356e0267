"""*Free* adversarial training: one backward pass moves the network and the perturbation.

Shafahi et al. (2019), Algorithm 1, as their code (mahyarnajibi/FreeAdversarialTraining) has it. One
forward a replay, in train mode: BN normalizes by the batch and is updated every replay.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax
from ml_collections import ConfigDict

from rrjax import BadInput
from rrjax.core.attack import BALLS, projected_ascent_step
from rrjax.data.augment import augmented
from rrjax.train.tasks import TrainStep, device_key, losses, optimizer
from rrjax.train.tasks.adversaries import Radius
from rrjax.train.tasks.forward import train_apply


def check(config: ConfigDict) -> None:
    """Raise BadInput, naming the field, for what a training config asks of Free in vain."""
    if config.attack.norm not in BALLS:
        raise BadInput(f"attack.norm={config.attack.norm!r}: replays need {tuple(BALLS)}")
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


def make_train_step(
    model: nn.Module,
    tx: optax.GradientTransformation,
    config: ConfigDict,
    eps: Radius,
    root_key: jax.Array,
) -> TrainStep:
    """Make the training step of one device; `eps(step)` is in units of [0,1] pixels."""
    loss = losses.create(config.loss)

    def train_step(state, batch):
        """Train on a minibatch `replays` times, each time moving `carried["delta"]` as well."""
        keys = jax.random.split(device_key(root_key, state.step), config.replays)
        images, labels = augmented(batch), batch["label"]
        # delta, (images a step, H, W, C), is replicated, since the state is: a device moves its
        # own rows. It stays in the ball and goes on to the next minibatch.
        rows, device = len(images), lax.axis_index("batch")
        delta = lax.dynamic_slice_in_dim(state.carried["delta"], device * rows, rows)
        attack_options = {name: config.attack[name] for name in ("norm", "step_size")}
        ascend = partial(projected_ascent_step, eps=eps(state.step), **attack_options)

        def replay(carry, dropout_key):
            state, delta = carry
            perturbed = images + delta

            def loss_fn(params, images):
                forward = partial(train_apply, model, params, dropout_key)
                value, (logits, stats) = loss(forward, state.batch_stats, images, images, labels)
                accuracy = jnp.mean(logits.argmax(-1) == labels)
                return value, (stats, {"loss": value, "accuracy": accuracy})

            gradient = jax.grad(loss_fn, argnums=(0, 1), has_aux=True)
            (grads, ascent), (stats, metrics) = gradient(state.params, perturbed.clip(0, 1))
            grads = optimizer.trained(config.optimizer.train_only, grads)
            grads, stats, metrics = lax.pmean((grads, stats, metrics), "batch")
            metrics["grad_norm"] = optax.tree.norm(grads)
            state = optimizer.apply_gradients(state, tx, grads, stats)
            # The images are cut to [0,1], delta is not; where the cut binds its gradient is 0.
            inside = (perturbed >= 0) & (perturbed <= 1)
            delta = jax.vmap(ascend)(delta, jnp.where(inside, ascent, 0))
            return (state, delta), metrics

        (state, delta), metrics = lax.scan(replay, (state, delta), keys)
        delta = lax.all_gather(delta, "batch", tiled=True)
        state = state.replace(step=state.step + 1, carried=state.carried | {"delta": delta})
        return state, jax.tree.map(jnp.mean, metrics)

    return train_step
