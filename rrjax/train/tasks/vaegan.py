"""Train a VAE-GAN: an encoder, a generator and a discriminator, in turn (Kim et al. 2019).

Not Larsen's (2016): what is reconstructed is compared pixel by pixel. The three losses, their order
and their optimizers are those of the paper's code, in whose units, pixels in [-1,1], the
reconstruction is counted.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import lax

from rrjax.data.augment import augmented, pixels
from rrjax.errors import BadInput
from rrjax.models import vaegan
from rrjax.train.tasks import Task, TrainState

UNIT = 2.0  # of the paper's pixels to ours


def create(config) -> Task:
    """Make the VAE-GAN task of a training config (`configs/vaegan_digits.py`).

    Raises:
      BadInput: naming a field that is not possible.
    """
    _check(config)
    networks = vaegan.create(config.model, config.data.image_size)
    adam = optax.adam(config.optimizer.learning_rate, config.optimizer.b1, config.optimizer.b2)
    init_key, train_key = jax.random.split(jax.random.key(config.seed))
    return Task(
        init=partial(_init, networks, adam, init_key),
        train_step=partial(_train_step, networks, adam, config.loss, train_key),
        eval_step=partial(_eval_step, networks),
        score="psnr",
    )


def _check(config) -> None:
    if config.micro_batches != 1:
        raise BadInput(f"micro_batches={config.micro_batches}: a vaegan takes whole batches, set 1")
    if not (config.optimizer.learning_rate > 0 and config.loss.reconstruction > 0):
        raise BadInput(
            f"optimizer.learning_rate={config.optimizer.learning_rate}, "
            f"loss.reconstruction={config.loss.reconstruction}: both must be above 0"
        )
    if config.loss.discriminator_steps < 1:
        raise BadInput(f"loss.discriminator_steps={config.loss.discriminator_steps}: at least 1")


def _init(networks, adam, key: jax.Array) -> TrainState:
    variables = vaegan.init(networks, key)
    return TrainState(
        step=jnp.array(0, jnp.int32),
        opt_state={name: adam.init(params) for name, params in variables["params"].items()},
        **variables,
    )


def _train_step(networks, adam, loss, key: jax.Array, state: TrainState, batch):
    """Step the encoder, the generator, and the discriminator as often as it is to be."""
    key = jax.random.fold_in(jax.random.fold_in(key, state.step), lax.axis_index("batch"))
    images = augmented(batch)
    metrics = {}
    turns = [("encoder", partial(_encoder_loss, images))]
    turns += [("generator", partial(_generator_loss, images, loss.reconstruction))]
    turns += [("discriminator", partial(_discriminator_loss, images))] * loss.discriminator_steps
    for i, (name, objective) in enumerate(turns):
        objective = partial(objective, key=jax.random.fold_in(key, i))
        state, values = _turn(networks, adam, state, name, objective)
        metrics |= values
    metrics["loss"] = metrics.pop("encoder_loss")  # the bound on the images' likelihood
    return state.replace(step=state.step + 1), lax.pmean(metrics, "batch")


def _turn(networks, adam, state: TrainState, name: str, objective):
    """Step one network down its loss; its BN statistics alone move."""

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
    updates, opt_state = adam.update(grads, state.opt_state[name])
    state = state.replace(
        params=state.params | {name: optax.apply_updates(state.params[name], updates)},
        batch_stats=stats,
        opt_state=state.opt_state | {name: opt_state},
    )
    return state, metrics


def _encoder_loss(images, run, key):
    mean, log_variance = run("encoder", images)
    decoded = run("generator", _drawn(mean, log_variance, key))
    reconstruction = _reconstruction(images, decoded)
    divergence = -0.5 * jnp.sum(1 + log_variance - mean**2 - jnp.exp(log_variance), axis=-1)
    metrics = {"reconstruction": reconstruction.mean(), "divergence": divergence.mean()}
    return jnp.mean(reconstruction + divergence), metrics


def _generator_loss(images, weight, run, key):
    decoded, dreamt = _made(images, run, key)
    fooled = sum(jax.nn.log_sigmoid(run("discriminator", made)) for made in (decoded, dreamt))
    return jnp.mean(weight * _reconstruction(images, decoded) - fooled), {}


def _discriminator_loss(images, run, key):
    decoded, dreamt = _made(images, run, key)
    known = jax.nn.log_sigmoid(run("discriminator", images))
    caught = sum(jax.nn.log_sigmoid(-run("discriminator", made)) for made in (decoded, dreamt))
    return -jnp.mean(known + caught), {}


def _made(images, run, key):
    """Return what becomes of the images, and of latents drawn from the prior."""
    drawn, prior = jax.random.split(key)
    latents = _drawn(*run("encoder", images), drawn)
    decoded = run("generator", latents)
    return decoded, run("generator", jax.random.normal(prior, latents.shape))


def _drawn(mean, log_variance, key):
    return mean + jnp.exp(log_variance / 2) * jax.random.normal(key, mean.shape)


def _reconstruction(images, decoded):
    return UNIT * jnp.sum(jnp.abs(images - decoded), axis=(1, 2, 3))


def _eval_step(networks, state: TrainState, batch):
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
