"""Train a VAE-GAN: an encoder, a generator and a discriminator, in turn (Kim et al. 2019).

Not Larsen's (2016): what is reconstructed is compared pixel by pixel. The three losses, their order
and their optimizers are those of the paper's code, in whose units, pixels in [-1,1], the
reconstruction is counted.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax
from ml_collections import ConfigDict

from rrjax import BadInput
from rrjax.data.augment import augmented, pixels
from rrjax.models import vaegan
from rrjax.train.tasks import EvalStep, Metrics, Task, TrainState, TrainStep, device_key

UNIT = 2.0  # the width of the paper's pixels, in [-1,1], in units of those in [0,1]
Networks = dict[str, nn.Module]  # encoder, generator, discriminator
# run(name, *inputs): what that network gives, in train mode
Run = Callable[..., Any]
Objective = Callable[[Run], tuple[jax.Array, Metrics]]  # run -> (loss, metrics)


def create(config: ConfigDict) -> Task:
    """Make the VAE-GAN task of a training config (`configs/vaegan_digits.py`).

    Batches hold "image" uint8 (B, H, W, C); for training the color changes that were drawn, for
    evaluation "mask" float (B,).

    Raises:
      BadInput: naming a field that is not possible.
    """
    _check(config)
    networks = vaegan.create(config.model, config.data.image_size)
    tx = optax.adam(config.optimizer.learning_rate, config.optimizer.b1, config.optimizer.b2)
    init_key, train_key = jax.random.split(jax.random.key(config.seed))

    def init():
        variables = vaegan.init(networks, init_key)
        return TrainState(
            step=jnp.array(0, jnp.int32),
            opt_state={name: tx.init(params) for name, params in variables["params"].items()},
            **variables,
        )

    return Task(
        init=init,
        train_step=make_train_step(networks, tx, config.loss, train_key),
        eval_step=make_eval_step(networks),
        score="psnr",
    )


def _check(config: ConfigDict) -> None:
    if config.micro_batches != 1:
        raise BadInput(f"micro_batches={config.micro_batches}: a vaegan takes whole batches, set 1")
    if config.model.sync_batch_norm:
        raise BadInput("model.sync_batch_norm=True: a vaegan normalizes on each device, set False")
    if not (config.optimizer.learning_rate > 0 and config.loss.reconstruction > 0):
        raise BadInput(
            f"optimizer.learning_rate={config.optimizer.learning_rate}, "
            f"loss.reconstruction={config.loss.reconstruction}: both must be above 0"
        )
    if config.loss.discriminator_steps < 1:
        raise BadInput(f"loss.discriminator_steps={config.loss.discriminator_steps}: at least 1")


def make_train_step(
    networks: Networks, tx: optax.GradientTransformation, loss: ConfigDict, root_key: jax.Array
) -> TrainStep:
    """Make the training step of one device; `loss` is the config's."""

    def train_step(state, batch):
        """Step the encoder, the generator, and the discriminator as often as it is to be."""
        key, images = device_key(root_key, state.step), augmented(batch)
        losses = {
            "encoder": encoder_loss,
            "generator": generator_loss,
            "discriminator": discriminator_loss,
        }
        turns = ["encoder", "generator", *["discriminator"] * loss.discriminator_steps]
        metrics = {}
        for i, name in enumerate(turns):
            turn_key = jax.random.fold_in(key, i)

            def objective(run, name=name, turn_key=turn_key):
                return losses[name](run, images, turn_key, loss.reconstruction)

            state, values = step_one_network(networks, tx, state, name, objective)
            metrics |= values
        metrics["loss"] = metrics.pop("encoder_loss")  # the bound on the images' likelihood
        return state.replace(step=state.step + 1), lax.pmean(metrics, "batch")

    return train_step


def step_one_network(
    networks: Networks,
    tx: optax.GradientTransformation,
    state: TrainState,
    name: str,
    objective: Objective,
) -> tuple[TrainState, Metrics]:
    """Step one network down its objective; its BN statistics alone move."""

    def value_of(params):
        stats = dict(state.batch_stats)

        def run(which, *inputs):
            own = which == name
            variables = {
                "params": params if own else state.params[which],
                "batch_stats": stats[which],
            }
            outputs, updates = networks[which].apply(
                variables, *inputs, train=True, mutable=["batch_stats"]
            )
            if own:
                stats[which] = updates.get("batch_stats", {})
            return outputs

        value, metrics = objective(run)
        return value, (stats, metrics | {f"{name}_loss": value})

    (_, (stats, metrics)), grads = jax.value_and_grad(value_of, has_aux=True)(state.params[name])
    grads, stats = lax.pmean((grads, stats), "batch")
    updates, opt_state = tx.update(grads, state.opt_state[name])
    state = state.replace(
        params=state.params | {name: optax.apply_updates(state.params[name], updates)},
        batch_stats=stats,
        opt_state=state.opt_state | {name: opt_state},
    )
    return state, metrics


def encoder_loss(
    run: Run,
    images: jax.Array,
    key: jax.Array,
    weight: float,  # noqa: ARG001  the generator's
) -> tuple[jax.Array, Metrics]:
    """Return the bound on the images' likelihood, in nats an image, and its two terms."""
    mean, log_variance = run("encoder", images)
    decoded = run("generator", _sampled(mean, log_variance, key))
    reconstruction = _reconstruction(images, decoded)
    divergence = -0.5 * jnp.sum(1 + log_variance - mean**2 - jnp.exp(log_variance), axis=-1)
    metrics = {"reconstruction": reconstruction.mean(), "divergence": divergence.mean()}
    return jnp.mean(reconstruction + divergence), metrics


def generator_loss(
    run: Run, images: jax.Array, key: jax.Array, weight: float
) -> tuple[jax.Array, Metrics]:
    """Return `weight` * the reconstruction, minus how far the discriminator is fooled."""
    decoded, sampled = _generated(run, images, key)
    fooled = sum(jax.nn.log_sigmoid(run("discriminator", x)) for x in (decoded, sampled))
    return jnp.mean(weight * _reconstruction(images, decoded) - fooled), {}


def discriminator_loss(
    run: Run,
    images: jax.Array,
    key: jax.Array,
    weight: float,  # noqa: ARG001  the generator's
) -> tuple[jax.Array, Metrics]:
    """Return the cross-entropy of telling images from generated ones."""
    decoded, sampled = _generated(run, images, key)
    real = jax.nn.log_sigmoid(run("discriminator", images))
    fake = sum(jax.nn.log_sigmoid(-run("discriminator", x)) for x in (decoded, sampled))
    return -jnp.mean(real + fake), {}


def _generated(run: Run, images: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return what the generator makes of the images' latents, and of latents of the prior."""
    latent_key, prior_key = jax.random.split(key)
    mean, log_variance = run("encoder", images)
    latents = _sampled(mean, log_variance, latent_key)
    decoded = run("generator", latents)
    return decoded, run("generator", jax.random.normal(prior_key, latents.shape))


def _sampled(mean: jax.Array, log_variance: jax.Array, key: jax.Array) -> jax.Array:
    return mean + jnp.exp(log_variance / 2) * jax.random.normal(key, mean.shape)


def _reconstruction(images: jax.Array, decoded: jax.Array) -> jax.Array:
    return UNIT * jnp.sum(jnp.abs(images - decoded), axis=(1, 2, 3))


def make_eval_step(networks: Networks) -> EvalStep:
    """Make the evaluation step of one device."""

    def eval_step(state, batch):
        """Sum the PSNR, in dB, and the l2 distance of the images' projections on the manifold."""
        images, mask = pixels(batch["image"]), batch["mask"]

        def run(name, *inputs):
            variables = {"params": state.params[name], "batch_stats": state.batch_stats[name]}
            return networks[name].apply(variables, *inputs, train=False)

        decoded = run("generator", run("encoder", images)[0])
        squares = jnp.sum((images - decoded) ** 2, axis=(1, 2, 3))
        psnr = -10 * jnp.log10(squares / images[0].size)
        sums = {
            "count": mask.sum(),
            "psnr": (mask * psnr).sum(),
            "distance": (mask * jnp.sqrt(squares)).sum(),
        }
        return lax.psum(sums, "batch")

    return eval_step
