"""Train a classifier, against an adversary (Madry et al. 2018) or without.

The attack sees the network in eval mode: running BN statistics, no dropout. The training forward
then sees the adversarial image alone, in train mode, so BN is updated once a step; a loss that asks
for the clean image too (`tasks.losses`) updates it twice, *Free* (`tasks.free`) once a replay.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax
from ml_collections import ConfigDict

from rrjax import BadInput, models
from rrjax.core.losses import cross_entropy
from rrjax.data.augment import augmented, pixels
from rrjax.models import folding
from rrjax.train.tasks import (
    EvalStep,
    Task,
    TrainState,
    TrainStep,
    adversaries,
    device_key,
    finetune,
    free,
    losses,
    optimizer,
    penalties,
)
from rrjax.train.tasks.average import averaged
from rrjax.train.tasks.forward import eval_apply, train_apply
from rrjax.train.tasks.micro_batches import accumulated


def create(config: ConfigDict, steps_per_epoch: int, start: Any = None) -> Task:
    """Make the classifier task of a training config (`rrjax/runs/defaults.py`).

    Batches hold "image" uint8 (B, H, W, C), "label" int32 (B,); for training the color changes
    that were drawn (`rrjax.data.augment.augmented`), for evaluation "index" int32 (B,) and "mask"
    float (B,).

    start: the variables of another run's network to begin with (`finetune.source`), or None.

    Raises:
      BadInput: naming a field that is not possible, or a model whose BN does not fold as declared.
    """
    _check(config)
    robust = config.attack.eps > 0
    model = models.create(config.model)
    updates_per_epoch = steps_per_epoch * max(1, config.replays)
    tx = optimizer.create(config.optimizer, config.epochs, updates_per_epoch)
    init_key, train_key, eval_key = jax.random.split(jax.random.key(config.seed), 3)

    def init():
        return _init(model, tx, init_key, config, start)

    _check_shapes(init, config)
    size = config.data.image_size
    folding.check(model, (size, size, len(model.mean)))  # it is folded in every step
    eps = adversaries.radius(config.attack, steps_per_epoch)
    adversary = evaluation_adversary = None
    if robust:
        adversary = adversaries.training_adversary(config.attack, eps)
        evaluation_adversary = adversaries.evaluation_adversary(
            config.attack, config.eval_attack_steps
        )
    train_step = make_train_step(model, tx, adversary, config, train_key)
    if config.replays:
        train_step = free.make_train_step(model, tx, config, eps, train_key)
    task = Task(
        init=init,
        train_step=train_step,
        eval_step=make_eval_step(model, evaluation_adversary, eval_key),
        score="adversarial_accuracy" if robust else "accuracy",
    )
    return averaged(task, config.ema_decay)


def make_train_step(
    model: nn.Module,
    tx: optax.GradientTransformation,
    adversary: adversaries.Adversary | None,
    config: ConfigDict,
    root_key: jax.Array,
) -> TrainStep:
    """Make the training step of one device; without an adversary it is standard training."""
    loss, penalty = losses.create(config.loss), penalties.create(config.loss)

    def train_step(state, batch):
        """Attack the batch in eval mode, then take one optimizer step on the adversarial images."""
        attack_key, dropout_key = jax.random.split(device_key(root_key, state.step))
        images, labels = augmented(batch), batch["label"]
        keys = jax.random.split(attack_key, len(images))  # one an image, whatever its batch

        # Each micro-batch is attacked by itself: the attack needs the most memory.
        @partial(accumulated, n=config.micro_batches)
        def gradient(batch_stats, batch, dropout_key):
            images, labels, keys = batch
            attacked = images
            if adversary:
                # In eval mode, as the network will be attacked; so no iterate of the attack
                # updates BN. No gradient flows through the attack: pgd stops it.
                apply = eval_apply(model, state.params, batch_stats)
                attacked = adversary(apply, state.step, images, labels, keys)

            def loss_fn(params):
                forward = partial(train_apply, model, params, dropout_key)
                value, (logits, stats) = loss(forward, batch_stats, images, attacked, labels)
                metrics = {"accuracy": jnp.mean(logits.argmax(-1) == labels)}
                if penalty:  # of the clean images
                    added, terms = penalty(eval_apply(model, params, batch_stats), images, labels)
                    value, metrics = value + added, metrics | terms
                return value, (stats, metrics | {"loss": value})

            grads, (stats, metrics) = jax.grad(loss_fn, has_aux=True)(state.params)
            return grads, stats, metrics

        grads, stats, metrics = gradient(state.batch_stats, (images, labels, keys), dropout_key)
        # Before the average: what is not trained is not sent between devices.
        grads = optimizer.trained(config.optimizer.train_only, grads)
        # One collective a step. Until here BN statistics are of each device's own images.
        grads, stats, metrics = lax.pmean((grads, stats, metrics), "batch")
        metrics["grad_norm"] = optax.tree.norm(grads)
        state = optimizer.apply_gradients(state, tx, grads, stats)
        return state.replace(step=state.step + 1), metrics

    return train_step


def make_eval_step(
    model: nn.Module, adversary: adversaries.Adversary | None, root_key: jax.Array
) -> EvalStep:
    """Make the evaluation step of one device; `root_key` is of all images."""

    def eval_step(state, batch):
        """Sum what the batch's real examples score, clean and, in a robust run, under attack."""
        apply = eval_apply(model, state.params, state.batch_stats)
        images, labels, mask = pixels(batch["image"]), batch["label"], batch["mask"]
        logits, _ = jax.vmap(apply)(images)
        nats = cross_entropy(logits, labels)
        sums = {
            "count": mask.sum(),
            "loss": (mask * nats).sum(),
            "accuracy": (mask * (logits.argmax(-1) == labels)).sum(),
        }
        if adversary:
            # A key an image, not a place in a batch: the result does not depend on batching.
            keys = jax.vmap(partial(jax.random.fold_in, root_key))(batch["index"])
            logits, _ = jax.vmap(apply)(adversary(apply, state.step, images, labels, keys))
            sums["adversarial_accuracy"] = (mask * (logits.argmax(-1) == labels)).sum()
        return lax.psum(sums, "batch")

    return eval_step


def _check(config: ConfigDict) -> None:
    adversaries.check(config.attack)
    if config.model.classes < 2:
        raise BadInput(
            f"model.classes={config.model.classes}: a classifier of one class is always right; "
            "give at least 2"
        )
    if min(config.replays, config.eval_attack_steps) < 0:
        raise BadInput(
            f"replays={config.replays}, eval_attack_steps={config.eval_attack_steps}: "
            "neither may be negative"
        )
    needs_adversary = {"replays": config.replays, "loss.clean_weight": config.loss.clean_weight}
    needs_adversary["loss.name"] = config.loss.name == "trades" and config.loss.name
    for field, value in needs_adversary.items():
        if value and not config.attack.eps:
            raise BadInput(f"{field}={value!r} needs an adversary: set --config.attack.eps above 0")
    if config.replays:
        free.check(config)


def _init(
    model: nn.Module,
    tx: optax.GradientTransformation,
    key: jax.Array,
    config: ConfigDict,
    start: Any,
) -> TrainState:
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
        opt_state=tx.init(variables["params"]),
        carried=carried,
    )


def _check_shapes(init: Callable[[], TrainState], config: ConfigDict) -> None:
    """Raise BadInput if there can be no first state, or none of its parameters is trained."""
    models.variable_shapes(config.model, config.data.image_size)
    state = jax.eval_shape(init)
    jax.eval_shape(partial(optimizer.trained, config.optimizer.train_only), state.params)
