"""Train a decoder to invert a stage of a frozen network (Rojas-Gomez et al. 2022).

Losses of pixels, of features and of a discriminator that is trained in turn, in that paper's order:
its step comes first. As in the authors' code all are sums, over pixels, features and images.
"""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from jax import lax

from rrjax import runs
from rrjax.data.augment import augmented, pixels
from rrjax.errors import BadInput
from rrjax.models import autoencoder, folding
from rrjax.models.autoencoder import Networks
from rrjax.runs import checkpoints
from rrjax.train.tasks import Task, TrainState, optimizer

ENCODER = "encoder"  # its copy's place in the run's folder
PIXEL_LOSSES = {"l1": jnp.abs, "l2": jnp.square}


def source(config, workdir: str) -> runs.Frozen:
    """Load the network to invert; in a run that goes on, the copy that its folder keeps.

    Raises:
      BadInput: if there is none, or the run has begun with another one.
    """
    name, copy = config.model.encoder, Path(workdir) / ENCODER
    if not name:
        raise BadInput("model.encoder is empty: name the run folder of the network to invert")
    if not checkpoints.has_checkpoint(copy):
        return runs.load(name)
    begun = runs.read_config(workdir).model.encoder
    if begun != name:
        raise BadInput(f"{workdir} inverts {begun}, not {name}: choose another workdir")
    return runs.load(copy)


def create(config, steps_per_epoch: int, network: runs.Frozen) -> Task:
    """Make the task of a training config (`configs/autoencoder_digits.py`); `network` is inverted.

    Raises:
      BadInput: naming a field that is not possible.
    """
    _check(config)
    folded, arrays = folding.fold(network.model, network.variables)
    size = config.data.image_size
    networks = autoencoder.create(config, folded, arrays, size)
    adams = _adams(config, steps_per_epoch)
    init_key, train_key, test_key = jax.random.split(jax.random.key(config.seed), 3)
    shape = (size, size, len(folded.mean))
    return Task(
        init=partial(_init, networks, arrays, adams, shape, init_key),
        train_step=partial(_train_step, networks, adams, config, train_key),
        eval_step=partial(_eval_step, networks, config, test_key),
        score="psnr",
        fixed=arrays,
        networks=[(ENCODER, network)],
    )


def _check(config) -> None:
    loss, rates = config.loss, config.optimizer
    if config.micro_batches != 1:
        raise BadInput(
            f"micro_batches={config.micro_batches}: an autoencoder takes whole batches, set 1"
        )
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


def _adams(config, steps_per_epoch: int) -> dict[str, optax.GradientTransformation]:
    """Return an optimizer a network; their rates fall alike."""
    ours = config.optimizer
    rate = optimizer.rate(ours, config.epochs, steps_per_epoch)
    times = ours.discriminator_rate / ours.learning_rate
    adams = {"decoder": optax.adam(rate, ours.b1, ours.b2)}
    if config.loss.adversarial:
        adams["discriminator"] = optax.adam(lambda step: times * rate(step), ours.b1, ours.b2)
    return adams


def _init(networks: Networks, arrays, adams, shape, key: jax.Array) -> TrainState:
    variables = autoencoder.init(networks, arrays, shape, key)
    return TrainState(
        step=jnp.array(0, jnp.int32),
        opt_state={name: adam.init(variables["params"][name]) for name, adam in adams.items()},
        **variables,
    )


def _train_step(networks: Networks, adams, config, key: jax.Array, state: TrainState, batch):
    """Step the discriminator, if there is one, and then the decoder."""
    key = jax.random.fold_in(jax.random.fold_in(key, state.step), lax.axis_index("batch"))
    noise_key, *keys = jax.random.split(key, 4)
    images = augmented(batch)
    encode, compare = map(jax.vmap, autoencoder.frozen_encoder(networks, state.fixed))
    features = encode(_noisy(images, config.noise, jax.random.split(noise_key, len(images))))
    target = compare(images)

    def decode(params):
        variables = {"params": params, "batch_stats": state.batch_stats["decoder"]}
        return autoencoder.decode(networks, variables, features)

    # The images are decoded once, and both losses look at them.
    decoded, pullback, stats = jax.vjp(decode, state.params["decoder"], has_aux=True)
    metrics, judge = {}, None
    if networks.discriminator:
        state, metrics = _discriminate(
            networks, adams, config.loss, keys[:2], state, (images, decoded, target)
        )
        judge = partial(_judged, networks, state.params["discriminator"], keys[2])
        judge = partial(judge, state.batch_stats["discriminator"], target=target)
    loss = partial(_loss, config.loss, compare, judge, images, target)
    (_, terms), gradient = jax.value_and_grad(loss, has_aux=True)(decoded)
    (grads,) = pullback(gradient)
    state = _updated(adams, "decoder", state, grads, stats)
    metrics |= {name: value / len(images) for name, value in terms.items()}
    return state.replace(step=state.step + 1), lax.pmean(metrics, "batch")


def _noisy(images, level: float, keys):
    """Add noise of `level` / 255, clipped as the paper's is, to what is encoded."""
    if not level:
        return images
    noise = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:]))(keys)
    return jnp.clip(images + level / 255 * noise, 0, 1)


def _loss(weights, compare, judge, images, target, decoded):
    """Return what a decoder's images cost, a sum over them, and its terms."""
    terms = {"pixel": jnp.sum(PIXEL_LOSSES[weights.norm](decoded - images))}
    if weights.feature:
        terms["feature"] = jnp.sum((compare(decoded) - target) ** 2)
    if judge:
        terms["adversarial"] = -jnp.sum(jax.nn.log_sigmoid(judge(decoded)[0]))
    total = sum(weights[name] * value for name, value in terms.items())
    return total, terms | {"loss": total}


def _judged(networks: Networks, params, key, stats, images, *, target):
    """Return the discriminator's logits of images, and its statistics after them."""
    logits, updates = networks.discriminator.apply(
        {"params": params, "batch_stats": stats},
        images,
        target,
        train=True,
        mutable=["batch_stats"],
        rngs={"dropout": key},
    )
    return logits, updates["batch_stats"]


def _discriminate(networks: Networks, adams, weights, keys, state: TrainState, seen):
    images, decoded, target = seen

    def loss(params):
        stats = state.batch_stats["discriminator"]
        known, stats = _judged(networks, params, keys[0], stats, images, target=target)
        caught, stats = _judged(networks, params, keys[1], stats, decoded, target=target)
        nats = -jnp.sum(jax.nn.log_sigmoid(known) + jax.nn.log_sigmoid(-caught))
        return weights.discriminator * nats, (nats, stats)

    grads, (nats, stats) = jax.grad(loss, has_aux=True)(state.params["discriminator"])
    state = _updated(adams, "discriminator", state, grads, stats)
    return state, {"discriminator": nats / len(images)}


def _updated(adams, name: str, state: TrainState, grads, stats) -> TrainState:
    """Step one network; the losses are sums, over devices too."""
    grads, stats = lax.psum(grads, "batch"), lax.pmean(stats, "batch")
    updates, opt_state = adams[name].update(grads, state.opt_state[name])
    return state.replace(
        params=state.params | {name: optax.apply_updates(state.params[name], updates)},
        batch_stats=state.batch_stats | {name: stats},
        opt_state=state.opt_state | {name: opt_state},
    )


def _eval_step(networks: Networks, config, key: jax.Array, state: TrainState, batch):
    """Sum over images the PSNR, in dB, and the unweighted losses of pixels and features."""
    encode, compare = autoencoder.frozen_encoder(networks, state.fixed)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    decode = autoencoder.frozen_decoder(networks, variables)
    images, mask = pixels(batch["image"]), batch["mask"]
    # A key an image, not a place in a batch: the result does not depend on batching.
    keys = jax.vmap(partial(jax.random.fold_in, key))(batch["index"])

    def scores(image, seen):
        decoded = decode(encode(seen))
        return {
            "psnr": -10 * jnp.log10(jnp.mean((decoded - image) ** 2) + 1e-8),  # the paper's
            "pixel": jnp.sum(PIXEL_LOSSES[config.loss.norm](decoded - image)),
            "feature": jnp.sum((compare(decoded) - compare(image)) ** 2),
        }

    found = jax.vmap(scores)(images, _noisy(images, config.noise, keys))
    sums = {name: (mask * values).sum() for name, values in found.items()}
    return lax.psum(sums | {"count": mask.sum()}, "batch")
