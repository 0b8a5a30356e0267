"""Train a classifier, against an adversary (Madry et al. 2018) or without.

The attack sees the network in eval mode: running BN statistics, no dropout. The training forward
then sees the adversarial image alone, in train mode, so BN is updated once a step.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import lax

from rrjax import attack, models
from rrjax.data import augmented, pixels
from rrjax.errors import BadInput
from rrjax.tasks import Task, TrainState


def create(config, steps_per_epoch: int) -> Task:
    """Make the classifier task of a training config (`configs/defaults.py`).

    Batches hold "image" uint8 (B, H, W, C), "label" int32 (B,); for training the colour changes
    that were drawn (`rrjax.data.augmented`), for evaluation "index" int32 (B,), "mask" float (B,).

    Raises:
      BadInput: naming a field of model, attack or optimizer that is not possible.
    """
    model = models.create(config.model)
    optimizer = _optimizer(config.optimizer, config.epochs, steps_per_epoch)
    adversary = _adversary(config.attack)
    init_key, train_key, test_key = jax.random.split(jax.random.key(config.seed), 3)
    init = partial(_init, model, optimizer, init_key, config.data.image_size)
    try:
        jax.eval_shape(init)
    except (ZeroDivisionError, TypeError, ValueError) as error:
        raise BadInput(
            f"model {config.model.name} ({config.model.variant}) cannot take images of "
            f"{config.data.image_size} pixels ({error}): set --config.data.image_size"
        ) from error
    return Task(
        init=init,
        train_step=partial(_train_step, model, optimizer, adversary, train_key),
        eval_step=partial(_eval_step, model, adversary, test_key),
        score="adversarial_accuracy" if adversary else "accuracy",
    )


def _init(model, optimizer, key: jax.Array, image_size: int) -> TrainState:
    variables = models.init(model, key, (image_size, image_size, len(model.mean)))
    return TrainState(
        step=jnp.array(0, jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(variables["params"]),
    )


def _train_step(model, optimizer, adversary, key: jax.Array, state: TrainState, batch):
    """Attack the batch, then step on the adversarial images alone."""
    key = jax.random.fold_in(jax.random.fold_in(key, state.step), lax.axis_index("batch"))
    attack_key, dropout_key = jax.random.split(key)
    images, labels = augmented(batch), batch["label"]
    if adversary:
        keys = jax.random.split(attack_key, images.shape[0])
        images = adversary(_frozen(model, state), images, labels, keys)

    def loss_fn(params):
        (logits, _), updates = model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": dropout_key},
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), (logits, updates.get("batch_stats", {}))

    (loss, (logits, batch_stats)), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
    accuracy = jnp.mean(logits.argmax(-1) == labels)
    grads, batch_stats, loss, accuracy = lax.pmean((grads, batch_stats, loss, accuracy), "batch")
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    state = TrainState(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        batch_stats=batch_stats,
        opt_state=opt_state,
    )
    return state, {"loss": loss, "accuracy": accuracy, "grad_norm": optax.tree.norm(grads)}


def _eval_step(model, adversary, key: jax.Array, state: TrainState, batch):
    """Sum what the batch's real examples score, clean and, in a robust run, under attack."""
    apply = _frozen(model, state)
    images, labels, mask = pixels(batch["image"]), batch["label"], batch["mask"]
    logits, _ = jax.vmap(apply)(images)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    sums = {
        "count": mask.sum(),
        "loss": (mask * losses).sum(),
        "accuracy": (mask * (logits.argmax(-1) == labels)).sum(),
    }
    if adversary:
        # A key an image, not a place in a batch: the result does not depend on batching.
        keys = jax.vmap(partial(jax.random.fold_in, key))(batch["index"])
        logits, _ = jax.vmap(apply)(adversary(apply, images, labels, keys))
        sums["adversarial_accuracy"] = (mask * (logits.argmax(-1) == labels)).sum()
    return lax.psum(sums, "batch")


def _frozen(model, state: TrainState):
    return models.frozen(model, {"params": state.params, "batch_stats": state.batch_stats})


def _adversary(config):
    """Return (apply, images, labels, keys) -> images, or None for standard training, eps 0."""
    if not min(config.eps, config.step_size, config.steps) >= 0:  # so that a NaN is refused too
        raise BadInput(
            f"attack.eps={config.eps}, step_size={config.step_size}, steps={config.steps}: "
            "none may be negative"
        )
    if config.eps == 0:
        return None
    options = config.to_dict()
    checked = ("norm", "loss", "random_start", "restarts", "keep")
    attack.check(**{name: options[name] for name in checked})
    return lambda apply, *batch: jax.vmap(partial(attack.adversary, apply, **options))(*batch)


def _optimizer(config, epochs: int, steps_per_epoch: int) -> optax.GradientTransformation:
    """Make torch's SGD: momentum on gradient + weight_decay * parameter, every parameter."""
    if not config.learning_rate > 0:
        raise BadInput(f"optimizer.learning_rate={config.learning_rate}: it must be above 0")
    if config.schedule == "step":
        drops = {epoch * steps_per_epoch: config.gamma for epoch in config.drops}
        rate = optax.piecewise_constant_schedule(config.learning_rate, drops)
    elif config.schedule == "cosine":
        rate = optax.cosine_decay_schedule(config.learning_rate, epochs * steps_per_epoch)
    else:
        raise BadInput(f'optimizer.schedule={config.schedule!r}: choose "step" or "cosine"')
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay), optax.sgd(rate, config.momentum)
    )
