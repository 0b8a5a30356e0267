"""Free against Algorithm 1 of Shafahi et al. (2019), written out; its check of a config."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rrjax import BadInput, models
from rrjax.configs import free_digits
from rrjax.core import attack
from rrjax.train.tasks import classifier, free

N, EPS, STEP, RATE = 6, {"l2": 1.0, "linf": 0.1}, {"l2": 0.7, "linf": 0.06}, 0.1


def config(model, norm):
    c = free_digits.get_config()
    c.model.update(name=model, width=64 if model == "tiny" else 2)
    c.model.update(dtype="float64", param_dtype="float64")
    c.attack.update(norm=norm, eps=EPS[norm], step_size=STEP[norm])
    c.optimizer.update(learning_rate=RATE, momentum=0.0, weight_decay=0.0, schedule="step")
    c.data.image_size, c.batch_size, c.replays = 8, N, 3
    return c


def algorithm_1(c, variables, batches):
    """Return the variables and delta after a plain loop over minibatches and replays."""
    model, norm = models.create(c.model), c.attack.norm
    delta = np.zeros((N, 8, 8, 1))

    @jax.jit
    def gradients(params, stats, images, delta, labels):
        def loss(params, delta):
            # torch's clamp: its gradient is 1 on the bounds too, where jnp.clip's is 1/2.
            x = images + delta
            x = jnp.where((x < 0) | (x > 1), jax.lax.stop_gradient(x.clip(0, 1)), x)
            (logits, _), new = model.apply(
                {"params": params, "batch_stats": stats}, x, train=True, mutable=["batch_stats"]
            )
            picked = jax.nn.log_softmax(logits)[jnp.arange(N), labels]
            return -picked.mean(), new.get("batch_stats", {})

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(params, delta)

    params, stats = variables["params"], variables.get("batch_stats", {})
    for images, labels in batches:
        for _ in range(c.replays):
            (grads, ascent), stats = gradients(params, stats, images, delta, labels)
            params = jax.tree.map(lambda p, g: p - RATE * g, params, grads)
            for i, g in enumerate(np.asarray(ascent)):
                if norm == "linf":
                    delta[i] = np.clip(delta[i] + STEP[norm] * np.sign(g), -EPS[norm], EPS[norm])
                else:
                    delta[i] += STEP[norm] * g / np.linalg.norm(g)
                    length = np.linalg.norm(delta[i])
                    delta[i] *= EPS[norm] / (length + 1e-7) if length > EPS[norm] else 1.0
    return {"params": params, "batch_stats": stats}, delta


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "norm", "devices"), [("tiny", "linf", 2), ("tiny", "l2", 1), ("resnet8", "l2", 1)]
)
def test_free_is_algorithm_1(float64, monkeypatch, model, norm, devices):
    """On two devices without BN; with BN in train mode, its statistics updated every replay."""
    # The batches hold float64 images, for the comparison to be tight.
    monkeypatch.setattr(free, "augmented", lambda batch: batch["image"])
    c = config(model, norm)
    task = classifier.create(c, 10)
    state = first = jax.device_get(task.init())
    rng = np.random.default_rng(0)
    batches = [
        (rng.random((N, 8, 8, 1)).round(1), rng.integers(0, 10, N)) for _ in range(3)
    ]  # rounded: some pixels are 0 or 1, where the cut to [0,1] binds
    variables = {"params": first.params, "batch_stats": first.batch_stats}
    expected, delta = algorithm_1(c, variables, batches)
    step = jax.pmap(
        task.train_step,
        "batch",
        in_axes=(None, 0),
        out_axes=None,
        devices=jax.devices()[:devices],
    )
    state = state.replace(carried={"delta": np.zeros((N, 8, 8, 1))})
    for images, labels in batches:
        batch = {"image": images, "label": labels}
        batch = {k: x.reshape(devices, -1, *x.shape[1:]) for k, x in batch.items()}
        state = jax.device_get(step(state, batch)[0])
    close = partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-8)
    close(state.carried["delta"], delta)
    jax.tree.map(close, {"params": state.params, "batch_stats": state.batch_stats}, expected)
    assert optax.tree.norm(jax.tree.map(jnp.subtract, state.params, variables["params"])) > 0.01


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_perturbation_of_gradient_zero_stays(norm):
    delta = np.full((2, 2, 1), 0.05, np.float32)
    moved = attack.projected_ascent_step(
        delta, jnp.zeros((2, 2, 1)), norm=norm, eps=1.0, step_size=0.5
    )
    np.testing.assert_array_equal(moved, delta)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attack.norm": "unconstrained"}, "attack.norm='unconstrained': replays need"),
        ({"attack.loss": "margin"}, "attack.loss='margin': with replays=8 it must be"),
        ({"attack.random_start": "sphere"}, "attack.random_start='sphere'"),
        ({"micro_batches": 2}, "micro_batches=2: with replays=8"),
        ({"loss.name": "trades"}, "loss.name='trades': with replays"),
        ({"attack.eps": 0.0}, "replays=8 needs an adversary"),
        ({"replays": -1}, "replays=-1"),
    ],
)
def test_what_free_cannot_do_is_named(change, message):
    c = free_digits.get_config()
    c.update_from_flattened_dict(change)
    with pytest.raises(BadInput, match=message):
        classifier.create(c, 10)
