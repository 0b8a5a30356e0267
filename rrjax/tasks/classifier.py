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
from rrjax.data import pixels
from rrjax.errors import BadInput
from rrjax.tasks import Task, TrainState


def create(config, steps_per_epoch: int) -> Task:
    """Make the classifier task of a training config (`configs/defaults.py`).

    Batches hold "image" uint8 (B, H, W, C), "label" int32 (B,), and for evaluation "index" int32
    (B,) and "mask" float (B,).

    Raises:
      BadInput: naming a field of model, attack or optimizer that is not possible.
    """
    model = models.create(config.model)
    optimizer = _optimizer(config.optimizer, config.epochs, steps_per_epoch)
    adversary = _adversary(config.attack)
    init_key, train_key, test_key = jax.random.split(jax.random.key(config.seed), 3)
    image_shape = (config.data.image_size, config.data.image_size, len(config.model.mean))

    if config.seed < 0:
        raise BadInput(f"seed={config.seed}: it must be at least 0")

    def init() -> TrainState:
        variables = models.init(model, init_key, image_shape)
        params = variables["params"]
        return TrainState(
            step=jnp.array(0, jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=optimizer.init(params),
        )

    def train_step(state: TrainState, batch):
        key = jax.random.fold_in(train_key, state.step)
        key = jax.random.fold_in(key, lax.axis_index("batch"))
        attack_key, dropout_key = jax.random.split(key)
        images, labels = pixels(batch["image"]), batch["label"]
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

        (loss, (logits, batch_stats)), grads = jax.value_and_grad(loss_fn, has_aux=True)(
            state.params
        )
        accuracy = jnp.mean(logits.argmax(-1) == labels)
        grads, batch_stats, loss, accuracy = lax.pmean(
            (grads, batch_stats, loss, accuracy), "batch"
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        metrics = {"loss": loss, "accuracy": accuracy, "grad_norm": optax.tree.norm(grads)}
        state = TrainState(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            batch_stats=batch_stats,
            opt_state=opt_state,
        )
        return state, metrics

    def eval_step(state: TrainState, batch):
        apply = _frozen(model, state)
        images, labels, mask = pixels(batch["image"]), batch["label"], batch["mask"]
        logits, _ = jax.vmap(apply)(images)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        sums = {
            "count": mask.sum(),
            "loss": (mask * losses).sum(),
            "accuracy": (mask * (logits.argmax(-1) == labels)).sum(),
        }
        if config.attack.eps:
            # A key an image, not a place in a batch: the result does not depend on batching.
            keys = jax.vmap(partial(jax.random.fold_in, test_key))(batch["index"])
            logits, _ = jax.vmap(apply)(adversary(apply, images, labels, keys))
            sums["adversarial_accuracy"] = (mask * (logits.argmax(-1) == labels)).sum()
        return lax.psum(sums, "batch")

    try:
        jax.eval_shape(init)
    except (ZeroDivisionError, TypeError, ValueError) as error:
        raise BadInput(
            f"model {config.model.name} ({config.model.variant}) cannot take images of "
            f"{config.data.image_size} pixels ({error}): set --config.data.image_size"
        ) from error
    score = "adversarial_accuracy" if config.attack.eps else "accuracy"
    return Task(init, train_step, eval_step, score)


def _frozen(model, state: TrainState):
    return models.frozen(model, {"params": state.params, "batch_stats": state.batch_stats})


def _adversary(config):
    """Return (apply, images, labels, keys) -> images; with eps 0 the images as they are."""
    if not min(config.eps, config.step_size, config.steps) >= 0:  # so that a NaN is refused too
        raise BadInput(
            f"attack.eps={config.eps}, step_size={config.step_size}, steps={config.steps}: "
            "none may be negative"
        )
    if config.eps == 0:
        return lambda apply, images, labels, keys: images
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
