"""Train a classifier, against an adversary (Madry et al. 2018) or without.

The attack sees the network in eval mode: running BN statistics, no dropout. The training forward
then sees the adversarial image alone, in train mode, so BN is updated once a step; a loss that asks
for the clean image too (`tasks.losses`) updates it twice, *Free* (`tasks.free`) once a replay.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import lax

from rrjax import models
from rrjax.core import attack
from rrjax.data.augment import augmented, pixels
from rrjax.errors import BadInput
from rrjax.train.tasks import (
    Task,
    TrainState,
    adversaries,
    finetune,
    free,
    gradients,
    losses,
    optimizer,
    penalties,
)
from rrjax.train.tasks.average import averaged


def create(config, steps_per_epoch: int, start=None) -> Task:
    """Make the classifier task of a training config (`rrjax/runs/defaults.py`).

    start: the variables of another run's network to begin with (`finetune.source`), or None.

    Batches hold "image" uint8 (B, H, W, C), "label" int32 (B,); for training the color changes
    that were drawn (`rrjax.data.augment.augmented`), for evaluation "index" int32 (B,) and "mask" float
    (B,).

    Raises:
      BadInput: naming a field that is not possible.
    """
    _check(config)
    model = models.create(config.model)
    updates_per_epoch = steps_per_epoch * max(1, config.replays)
    descent = optimizer.create(config.optimizer, config.epochs, updates_per_epoch)
    init_key, train_key, test_key = jax.random.split(jax.random.key(config.seed), 3)
    init = partial(_init, model, descent, init_key, config, start)
    trained = partial(optimizer.trained, config.optimizer.train_only)
    jax.eval_shape(trained, _shapes(init, config).params)
    robust = config.attack.eps > 0
    judge = adversaries.judge(config.attack, config.eval_attack_steps) if robust else None
    eps = adversaries.radius(config.attack, steps_per_epoch)
    move = _move(model, partial(_update, descent, trained), config, eps)
    task = Task(
        init=init,
        train_step=partial(_train_step, move, train_key),
        eval_step=partial(_eval_step, model, judge, test_key),
        score="adversarial_accuracy" if robust else "accuracy",
    )
    return averaged(task, config.ema_decay)


def _check(config) -> None:
    adversaries.check(config.attack)
    if min(config.replays, config.eval_attack_steps) < 0:
        raise BadInput(
            f"replays={config.replays}, eval_attack_steps={config.eval_attack_steps}: "
            "neither may be negative"
        )
    needing = {"replays": config.replays, "loss.clean_weight": config.loss.clean_weight}
    needing["loss.name"] = config.loss.name == "trades" and config.loss.name
    for field, value in needing.items():
        if value and not config.attack.eps:
            raise BadInput(f"{field}={value!r} needs an adversary: set --config.attack.eps above 0")
    if config.replays:
        free.check(config)


def _init(model, descent, key: jax.Array, config, start) -> TrainState:
    size = config.data.image_size
    shape = (size, size, len(model.mean))
    variables = models.init(model, key, shape)
    if start is not None:
        variables = finetune.graft(model, shape, variables, start)
    carried = {"delta": jnp.zeros((config.batch_size, *shape))} if config.replays else {}
    return TrainState(
        step=jnp.array(0, jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=descent.init(variables["params"]),
        carried=carried,
    )


def _shapes(init: Callable, config) -> TrainState:
    """Return the shapes of the first state; BadInput if there can be none."""
    try:
        return jax.eval_shape(init)
    except BadInput:
        raise
    except (ZeroDivisionError, TypeError, ValueError) as error:
        raise BadInput(
            f"model {config.model.name} ({config.model.variant}) cannot take images of "
            f"{config.data.image_size} pixels ({error}): set --config.data.image_size"
        ) from error


def _move(model, update: Callable, config, eps: Callable) -> Callable:
    """Return (state, images, labels, key) -> (state, metrics): what a step does with its batch."""
    loss, penalty = losses.create(config.loss), penalties.create(config.loss)
    if config.replays:
        projected_ascent_step = partial(_ascend, config.attack, eps)
        gradient = partial(gradients.joint, model, loss)
        return partial(free.train_step, gradient, update, projected_ascent_step, config.replays)
    adversary = adversaries.trainer(config.attack, eps) if config.attack.eps else None
    gradient = partial(gradients.adversarial, model, loss, penalty, adversary)
    return partial(_one_step, gradients.accumulated(gradient, config.micro_batches), update)


def _ascend(config, eps: Callable, step, delta, gradient):
    norm, step_size = config.norm, config.step_size
    return attack.projected_ascent_step(
        delta, gradient, norm=norm, eps=eps(step), step_size=step_size
    )


def _train_step(move: Callable, key: jax.Array, state: TrainState, batch):
    key = jax.random.fold_in(jax.random.fold_in(key, state.step), lax.axis_index("batch"))
    state, metrics = move(state, augmented(batch), batch["label"], key)
    return state.replace(step=state.step + 1), metrics


def _one_step(gradient: Callable, update: Callable, state: TrainState, images, labels, key):
    """Attack the batch, then step on what the loss makes of it."""
    attack_key, dropout_key = jax.random.split(key)
    keys = jax.random.split(attack_key, images.shape[0])
    return update(state, *gradient(state, (images, labels, keys), dropout_key))


def _update(descent, trained: Callable, state: TrainState, grads, batch_stats, metrics):
    """Average over devices and step the optimizer once.

    BN statistics of frozen layers move on too, as in the reference's partial training.
    """
    grads, batch_stats, metrics = lax.pmean((trained(grads), batch_stats, metrics), "batch")
    updates, opt_state = descent.update(grads, state.opt_state, state.params)
    state = state.replace(
        params=optax.apply_updates(state.params, updates),
        batch_stats=batch_stats,
        opt_state=opt_state,
    )
    return state, metrics | {"grad_norm": optax.tree.norm(grads)}


def _eval_step(model, adversary, key: jax.Array, state: TrainState, batch):
    """Sum what the batch's real examples score, clean and, in a robust run, under attack."""
    apply = gradients.frozen(model, state)
    images, labels, mask = pixels(batch["image"]), batch["label"], batch["mask"]
    logits, _ = jax.vmap(apply)(images)
    nats = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    sums = {
        "count": mask.sum(),
        "loss": (mask * nats).sum(),
        "accuracy": (mask * (logits.argmax(-1) == labels)).sum(),
    }
    if adversary:
        # A key an image, not a place in a batch: the result does not depend on batching.
        keys = jax.vmap(partial(jax.random.fold_in, key))(batch["index"])
        logits, _ = jax.vmap(apply)(adversary(apply, state.step, images, labels, keys))
        sums["adversarial_accuracy"] = (mask * (logits.argmax(-1) == labels)).sum()
    return lax.psum(sums, "batch")
