"""Train a decoder to invert a stage of a frozen network (Rojas-Gomez et al. 2021).

Losses of pixels, of features and of a discriminator that is trained in turn, in that paper's order:
its step comes first. As in the authors' code all are sums, over pixels, features and images.
"""

import operator
from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from ml_collections import ConfigDict

from rrjax import BadInput, runs
from rrjax.data.augment import augmented, pixels
from rrjax.models import autoencoder, folding
from rrjax.models.autoencoder import Networks
from rrjax.runs import checkpoints
from rrjax.train.tasks import EvalStep, Metrics, Task, TrainState, TrainStep, device_key, optimizer

ENCODER = "encoder"  # its copy's place in the run's folder
PIXEL_LOSSES = {"l1": jnp.abs, "l2": jnp.square}
Optimizers = dict[str, optax.GradientTransformation]  # one a trained network, by its name


def source(config: ConfigDict, workdir: str | Path) -> runs.Frozen:
    """Load the network to invert; in a run that is resumed, the copy that its folder keeps.

    Raises:
      BadInput: if there is none, or the run has begun with another one.
    """
    name, copy = config.model.encoder, Path(workdir) / ENCODER
    if not name:
        raise BadInput("model.encoder is empty: name the run folder of the network to invert")
    if not checkpoints.has_checkpoint(copy):
        network = runs.load(name)
        if network.model is None:
            raise BadInput(
                f"model.encoder={name}: made by rrjax.wrap, and a decoder's run keeps a copy of "
                "its encoder: train yours by --config.model.module, and name that run"
            )
        return network
    begun = runs.read_config(workdir).model.encoder
    if begun != name:
        raise BadInput(f"{workdir} inverts {begun}, not {name}: choose another workdir")
    return runs.load(copy)


def create(config: ConfigDict, steps_per_epoch: int, network: runs.Frozen) -> Task:
    """Make the task of a training config (`configs/autoencoder_digits.py`); `network` is inverted.

    Batches hold "image" uint8 (B, H, W, C); for training the color changes that were drawn, for
    evaluation "index" int32 (B,) and "mask" float (B,).

    Raises:
      BadInput: naming a field that is not possible.
    """
    _check(config)
    folded, arrays = folding.fold(network.model, network.variables)
    size = config.data.image_size
    networks = autoencoder.create(config, folded, arrays, size)
    optimizers = _optimizers(config, steps_per_epoch)
    init_key, train_key, eval_key = jax.random.split(jax.random.key(config.seed), 3)

    def init():
        shape = (size, size, len(folded.mean))
        variables = autoencoder.init(networks, arrays, shape, init_key)
        params = variables["params"]
        return TrainState(
            step=jnp.array(0, jnp.int32),
            opt_state={name: tx.init(params[name]) for name, tx in optimizers.items()},
            **variables,
        )

    return Task(
        init=init,
        train_step=make_train_step(networks, optimizers, config, train_key),
        eval_step=make_eval_step(networks, config, eval_key),
        score="psnr",
        fixed=arrays,
        networks=[(ENCODER, network)],
    )


def make_train_step(
    networks: Networks, optimizers: Optimizers, config: ConfigDict, root_key: jax.Array
) -> TrainStep:
    """Make the training step of one device."""

    def train_step(state, batch):
        """Step the discriminator, if there is one, and then the decoder."""
        key = device_key(root_key, state.step)
        noise_key, real_key, decoded_key, decoder_key = jax.random.split(key, 4)
        images = augmented(batch)
        encode, compare = map(jax.vmap, autoencoder.frozen_encoder(networks, state.fixed))
        noise_keys = jax.random.split(noise_key, len(images))
        features = encode(_noisy(images, config.noise, noise_keys))
        target = compare(images)

        def decode(params):
            variables = {"params": params, "batch_stats": state.batch_stats["decoder"]}
            return autoencoder.decode(networks, variables, features)

        # The images are decoded once, for the losses of both networks.
        decoded, pullback, stats = jax.vjp(decode, state.params["decoder"], has_aux=True)
        metrics, logits_of = {}, None
        if networks.discriminator:
            batch = images, decoded, target
            state, metrics = _step_discriminator(
                networks,
                optimizers,
                config.loss.discriminator,
                (real_key, decoded_key),
                state,
                batch,
            )
            discriminate = _discriminator(networks, state.params["discriminator"], target)
            own_stats = state.batch_stats["discriminator"]

            def logits_of(decoded):
                return discriminate(decoder_key, own_stats, decoded)[0]

        loss = partial(decoder_loss, config.loss, images, target, compare, logits_of)
        (_, terms), gradient = jax.value_and_grad(loss, has_aux=True)(decoded)
        (grads,) = pullback(gradient)
        state = _updated(optimizers, "decoder", state, grads, stats)
        metrics |= {name: value / len(images) for name, value in terms.items()}
        return state.replace(step=state.step + 1), lax.pmean(metrics, "batch")

    return train_step


def _check(config: ConfigDict) -> None:
    loss, rates = config.loss, config.optimizer
    if config.micro_batches != 1:
        raise BadInput(
            f"micro_batches={config.micro_batches}: an autoencoder takes whole batches, set 1"
        )
    if config.model.sync_batch_norm:
        raise BadInput("model.sync_batch_norm=True: a decoder normalizes on each device, set False")
    if loss.norm not in PIXEL_LOSSES:
        raise BadInput(f"loss.norm={loss.norm!r}: choose one of {', '.join(PIXEL_LOSSES)}")
    weights = (loss.pixel, loss.feature, loss.adversarial, loss.discriminator, config.noise)
    if min(weights) < 0 or not max(weights[:2]):
        raise BadInput(
            f"loss.pixel={loss.pixel}, loss.feature={loss.feature}, "
            f"loss.adversarial={loss.adversarial}, loss.discriminator={loss.discriminator}, "
            f"noise={config.noise}: none may be negative, and pixel or feature must be above 0"
        )
    if min(rates.learning_rate, rates.discriminator_rate) <= 0:
        raise BadInput(
            f"optimizer.learning_rate={rates.learning_rate}, "
            f"optimizer.discriminator_rate={rates.discriminator_rate}: both must be above 0"
        )


def _optimizers(config: ConfigDict, steps_per_epoch: int) -> Optimizers:
    """Return Adam for each network; both rates follow the config's schedule."""
    fields = config.optimizer
    rate = optimizer.rate(fields, config.epochs, steps_per_epoch)
    ratio = fields.discriminator_rate / fields.learning_rate
    optimizers = {"decoder": optax.adam(rate, fields.b1, fields.b2)}
    if config.loss.adversarial:
        optimizers["discriminator"] = optax.adam(
            lambda step: ratio * rate(step), fields.discriminator_b1, fields.discriminator_b2
        )
    return optimizers


def _noisy(images: jax.Array, level: float, keys: jax.Array) -> jax.Array:
    """Add noise of `level` / 255, clipped as the paper's is, to what is encoded."""
    if not level:
        return images
    noise = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:]))(keys)
    return jnp.clip(images + level / 255 * noise, 0, 1)


def decoder_loss(
    weights: ConfigDict,
    images: jax.Array,
    target: jax.Array,
    compare: Callable[[jax.Array], jax.Array],
    logits_of: Callable[[jax.Array], jax.Array] | None,
    decoded: jax.Array,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return what the decoded images cost, a sum over them, and its unweighted terms.

    Args:
      weights: the config's `loss`.
      images: (N, H, W, C), float in [0,1].
      target: their features, as `compare` gives them.
      compare: images -> features; a feature loss alone calls it.
      logits_of: images -> the discriminator's logits, (N,); None where there is none.
      decoded: (N, H, W, C).
    """
    terms = {"pixel": jnp.sum(PIXEL_LOSSES[weights.norm](decoded - images))}
    if weights.feature:
        terms["feature"] = jnp.sum((compare(decoded) - target) ** 2)
    if logits_of:
        terms["adversarial"] = -jnp.sum(jax.nn.log_sigmoid(logits_of(decoded)))
    total = reduce(operator.add, [weights[name] * value for name, value in terms.items()])
    return total, terms | {"loss": total}


def _step_discriminator(
    networks: Networks,
    optimizers: Optimizers,
    weight: float,
    keys: tuple[jax.Array, jax.Array],
    state: TrainState,
    batch: tuple[jax.Array, jax.Array, jax.Array],
) -> tuple[TrainState, Metrics]:
    """Step the discriminator on images and decoded ones; its metric is in nats an image."""
    (real_key, decoded_key), (images, decoded, target) = keys, batch

    def loss_fn(params):
        discriminate = _discriminator(networks, params, target)
        # Its BN statistics are updated by the images and then by the decoded ones.
        real, stats = discriminate(real_key, state.batch_stats["discriminator"], images)
        fake, stats = discriminate(decoded_key, stats, decoded)
        nats = -jnp.sum(jax.nn.log_sigmoid(real) + jax.nn.log_sigmoid(-fake))
        return weight * nats, (nats, stats)

    grads, (nats, stats) = jax.grad(loss_fn, has_aux=True)(state.params["discriminator"])
    state = _updated(optimizers, "discriminator", state, grads, stats)
    return state, {"discriminator": nats / len(images)}


def _discriminator(networks: Networks, params: Any, target: jax.Array) -> Callable:
    """Return (key, batch_stats, images) -> (logits, batch_stats after them), in train mode."""

    def discriminate(key, batch_stats, images):
        logits, updates = networks.discriminator.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            target,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        return logits, updates["batch_stats"]

    return discriminate


def _updated(
    optimizers: Optimizers, name: str, state: TrainState, grads: Any, stats: Any
) -> TrainState:
    """Step one network; the losses are sums, over devices too."""
    grads, stats = lax.psum(grads, "batch"), lax.pmean(stats, "batch")
    updates, opt_state = optimizers[name].update(grads, state.opt_state[name])
    return state.replace(
        params=state.params | {name: optax.apply_updates(state.params[name], updates)},
        batch_stats=state.batch_stats | {name: stats},
        opt_state=state.opt_state | {name: opt_state},
    )


def make_eval_step(networks: Networks, config: ConfigDict, root_key: jax.Array) -> EvalStep:
    """Make the evaluation step of one device; `root_key` is of all images."""

    def eval_step(state, batch):
        """Sum over images the PSNR, in dB, and the unweighted losses of pixels and features."""
        encode, compare = autoencoder.frozen_encoder(networks, state.fixed)
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        decode = autoencoder.frozen_decoder(networks, variables)
        images, mask = pixels(batch["image"]), batch["mask"]
        # A key an image, not a place in a batch: the result does not depend on batching.
        keys = jax.vmap(partial(jax.random.fold_in, root_key))(batch["index"])

        def scores(image, noisy):
            decoded = decode(encode(noisy))
            return {
                "psnr": -10 * jnp.log10(jnp.mean((decoded - image) ** 2) + 1e-8),  # the paper's
                "pixel": jnp.sum(PIXEL_LOSSES[config.loss.norm](decoded - image)),
                "feature": jnp.sum((compare(decoded) - compare(image)) ** 2),
            }

        by_image = jax.vmap(scores)(images, _noisy(images, config.noise, keys))
        sums = {name: (mask * values).sum() for name, values in by_image.items()}
        return lax.psum(sums | {"count": mask.sum()}, "batch")

    return eval_step
