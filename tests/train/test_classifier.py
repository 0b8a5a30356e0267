"""Laws of one training step: what the attack sees, what BN sees, what the optimizer does."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rrjax import BadInput, models
from rrjax.configs import robust_digits
from rrjax.core.attack import adversary
from rrjax.train import parallel
from rrjax.train.tasks import classifier, optimizer


def config(model="tiny", eps=1.0, **optimizer):
    c = robust_digits.get_config()
    c.model.name, c.attack.eps, c.attack.steps = model, eps, 2
    c.model.width = 2 if model == "resnet8" else 64
    c.data.image_size = 8
    c.optimizer.update(optimizer)
    return c


def batch(n=8, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (n, 8, 8, 1), np.uint8),
        "label": rng.integers(0, 10, n, np.int32),
        "index": np.arange(n, dtype=np.int32),
        "mask": np.ones(n, np.float32),
    }


@cache
def program(step, n):
    return jax.pmap(
        step,
        axis_name="batch",
        in_axes=(None, 0),
        out_axes=None,
        devices=jax.devices()[:n],
    )


def on_devices(step, n, state, data):
    """Run a step on n devices, whatever their number here."""
    data = {k: v.reshape(n, -1, *v.shape[1:]) for k, v in data.items()}
    return jax.device_get(program(step, n)(state, data))


@pytest.fixture(scope="module")
def tiny():
    """The task of the config as it is."""
    return classifier.create(config(), 10)


def assert_trees_close(a, b, **tolerance):
    jax.tree.map(partial(np.testing.assert_allclose, **tolerance), a, b)


def test_two_devices_equal_one(tiny):
    task = tiny
    state = jax.device_get(task.init())
    assert state.batch_stats == {}  # BN off: its statistics are a device's own
    one = two = state
    for step in range(5):
        one, one_metrics = on_devices(task.train_step, 1, one, batch(seed=step))
        two, two_metrics = on_devices(task.train_step, 2, two, batch(seed=step))
        assert_trees_close(one_metrics, two_metrics, rtol=1e-3)
    assert_trees_close(one, two, rtol=1e-3, atol=1e-5)
    assert one.step == 5


def test_the_training_step_through_the_loop_equals_the_formula():
    """The gradient at adversarial images of the eval-mode network, then torch's SGD by hand."""
    c = config(weight_decay=0.1, momentum=0.9, learning_rate=0.5, schedule="step", drops=())
    task = classifier.create(c, 10)
    model = models.create(c.model)
    first = jax.device_get(task.init())
    data = batch()
    images, labels = data["image"].astype(np.float32) / 255, data["label"]
    params, momentum, state = first.params, None, first
    for _ in range(2):
        apply = models.frozen(model, {"params": params, "batch_stats": {}})
        attack = partial(adversary, apply, eps=c.attack.eps, step_size=c.attack.step_size, steps=2)
        attacked = jax.jit(jax.vmap(attack))(images, labels)

        def loss(params, attacked=attacked):
            logits, _ = model.apply({"params": params}, attacked, train=True)
            return -jax.nn.log_softmax(logits)[jnp.arange(8), labels].mean()

        grads = jax.jit(jax.grad(loss))(params)
        decayed = jax.tree.map(lambda g, p: g + 0.1 * p, grads, params)
        momentum = (
            jax.tree.map(lambda m, d: 0.9 * m + d, momentum, decayed) if momentum else decayed
        )
        params = jax.tree.map(lambda p, m: p - 0.5 * m, params, momentum)
        state, _ = on_devices(task.train_step, 2, state, data)
    assert_trees_close(state.params, params, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_bn_is_updated_once_and_on_adversarial_images_only():
    c = config("resnet8", eps=2.0)
    task = classifier.create(c, 10)
    model = models.create(c.model)
    state, data = jax.device_get(task.init()), batch()
    after, _ = on_devices(task.train_step, 1, state, data)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    images = data["image"].astype(np.float32) / 255
    attack = partial(adversary, models.frozen(model, variables), eps=2.0, step_size=0.5, steps=2)
    attacked = jax.jit(jax.vmap(attack))(images, data["label"])
    _, updates = model.apply(variables, attacked, train=True, mutable=["batch_stats"])
    assert_trees_close(after.batch_stats, updates["batch_stats"], rtol=1e-4, atol=1e-5)
    _, clean = model.apply(variables, images, train=True, mutable=["batch_stats"])
    mean = lambda stats: stats["bn1"]["mean"]  # noqa: E731
    assert np.abs(mean(after.batch_stats) - mean(clean["batch_stats"])).max() > 1e-4


@pytest.mark.slow
def test_bn_over_devices_sees_the_whole_batch():
    c = config("resnet8", eps=0.0)
    c.model.sync_batch_norm = True
    task = classifier.create(c, 10)
    state = jax.device_get(task.init())
    (one, metrics), (two, of_two) = (on_devices(task.train_step, n, state, batch()) for n in (1, 2))
    assert_trees_close(one, two, rtol=1e-3, atol=1e-5)
    assert_trees_close(metrics, of_two, rtol=1e-3)
    c.model.sync_batch_norm = False
    own, _ = on_devices(classifier.create(c, 10).train_step, 2, state, batch())
    largest = jax.tree.map(lambda a, b: np.abs(a - b).max(), own.batch_stats, two.batch_stats)
    assert max(jax.tree.leaves(largest)) > 1e-4


def test_eps_zero_is_standard_training():
    standard = classifier.create(config(eps=0.0), 10)
    state = jax.device_get(standard.init())
    assert standard.score == "accuracy"
    a, _ = on_devices(standard.train_step, 1, state, batch())
    near = classifier.create(config(eps=1e-9), 10)
    b, _ = on_devices(near.train_step, 1, state, batch())
    assert_trees_close(a.params, b.params, rtol=1e-4, atol=1e-6)


def test_masked_examples_count_nothing(tiny):
    task = tiny
    state = jax.device_get(task.init())
    whole, half = batch(8), batch(8)
    half["mask"][5:] = 0
    half["image"][5:] = 0
    step = parallel.data_parallel(task.eval_step)
    sums = jax.device_get(step(state, parallel.shard(half)))
    assert sums["count"] == 5
    first = {k: v[:5] for k, v in whole.items()}
    alone = on_devices(task.eval_step, 1, state, first)
    assert_trees_close(sums, alone, rtol=1e-5)


def test_random_starts_are_drawn_anew_each_step():
    c = config()
    c.attack.random_start, c.attack.step_size = "sphere", 1e-9
    task = classifier.create(c, 10)
    state = jax.device_get(task.init())
    _, first = on_devices(task.train_step, 1, state, batch())
    _, again = on_devices(task.train_step, 1, state, batch())
    _, later = on_devices(task.train_step, 1, state.replace(step=np.int32(5)), batch())
    assert first["loss"] == again["loss"] != later["loss"]


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("step", [0.5, 0.5, 0.05, 0.05, 0.005]),
        ("cosine", [0.5, 0.45225, 0.32725, 0.17275, 0.04775]),
        ("linear", [0.5, 0.5, 0.3, 0.1, 0.1]),
        ("cyclic", [0.0, 0.5, 0.375, 0.25, 0.125]),  # 5 epochs: the top is after 20 // 15
    ],
)
def test_the_learning_rate_of_each_epoch(schedule, rates):
    c = config(learning_rate=0.5, schedule=schedule, drops=(2, 4), momentum=0.0, weight_decay=0.0)
    c.optimizer.points = ((1, 1), (3, 0.2))
    observed = rates_of(c, epochs=5, steps_per_epoch=3)
    np.testing.assert_allclose(observed[::3], rates, rtol=1e-4)


def rates_of(c, epochs, steps_per_epoch):
    """Return the rate of every update of a run."""
    sgd = optimizer.create(c.optimizer, epochs, steps_per_epoch)
    params = {"w": jnp.array(0.0)}
    state, rates = sgd.init(params), []
    for _ in range(epochs * steps_per_epoch):
        updates, state = sgd.update({"w": jnp.array(1.0)}, state, params)
        rates.append(-float(updates["w"]))
    return rates


def test_adam_is_the_papers():
    """Kingma and Ba (2015), Algorithm 1, on gradient + weight_decay * parameter."""
    c = config(name="adam", learning_rate=0.1, momentum=0.8, weight_decay=0.5, drops=())
    c.optimizer.update(schedule="step", train_only="w")
    adam = optimizer.create(c.optimizer, 1, 10)
    params = {"w": jnp.array([1.0, -2.0]), "frozen": jnp.array(3.0)}
    state, w, first, second = adam.init(params), np.array([1.0, -2.0]), 0, 0
    for t, slope in enumerate(([0.3, -1.0], [-2.0, 0.1], [0.5, 0.5]), 1):
        grads = {"w": jnp.array(slope), "frozen": jnp.array(1.0)}
        updates, state = adam.update(grads, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        g = np.array(slope) + 0.5 * w
        first, second = 0.8 * first + 0.2 * g, 0.999 * second + 0.001 * g**2
        w = w - 0.1 * (first / (1 - 0.8**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(params["w"], w, rtol=1e-4)
    assert params["frozen"] == 3


def test_a_straight_schedule_moves_at_every_step():
    c = config(learning_rate=3.0, schedule="cyclic", momentum=0.0, weight_decay=0.0)
    np.testing.assert_allclose(rates_of(c, 5, 3)[:6], [0, 1, 2, 3, 2.75, 2.5], rtol=1e-5)
    np.testing.assert_allclose(rates_of(c, 2, 2), [3, 2.25, 1.5, 0.75], rtol=1e-5)  # no way up


def test_the_eps_schedule_moves_the_radius_of_training_alone():
    c = config(eps=2.0)
    c.attack.eps_schedule = ((0, 0), (2, 1))
    plain = config(eps=2.0)
    task, whole = classifier.create(c, 10), classifier.create(plain, 10)
    plain.attack.eps = 1.0
    half, standard = classifier.create(plain, 10), classifier.create(config(eps=0.0), 10)
    first = jax.device_get(task.init())

    def at(task, step):
        state = first.replace(step=np.int32(step))
        return on_devices(task.train_step, 1, state, batch())[0].params

    assert_trees_close(at(task, 0), at(standard, 0), rtol=1e-4, atol=1e-6)
    assert_trees_close(at(task, 10), at(half, 10), rtol=1e-4, atol=1e-6)
    assert_trees_close(at(task, 35), at(whole, 35), rtol=1e-4, atol=1e-6)
    sums = [on_devices(t.eval_step, 1, first, batch()) for t in (task, whole)]
    assert sums[0] == sums[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.optimizer.update(schedule="linearly"), "optimizer.schedule='linearly'"),
        (lambda c: c.optimizer.update(name="adamw"), "optimizer.name='adamw': choose one of"),
        (lambda c: c.attack.update(eps=-1.0), "attack.eps=-1.0"),
        (lambda c: c.attack.update(eps=float("nan")), "attack.eps=nan"),
        (lambda c: c.attack.update(norm="l7"), "attack.norm='l7'"),
        (lambda c: c.attack.update(return_iterate="first"), "attack.return_iterate='first'"),
        (lambda c: c.optimizer.update(learning_rate=-1.0), "learning_rate=-1.0"),
        (lambda c: c.optimizer.update(schedule="linear"), r"optimizer.points=\(\): give points"),
        (
            lambda c: c.optimizer.update(schedule="linear", points=((2, 1), (1, 0))),
            "optimizer.points=.*rising epochs",
        ),
        (lambda c: c.attack.update(eps_schedule=((0, -1.0),)), "attack.eps_schedule=.*negative"),
        (lambda c: c.attack.update(eps_schedule=(0, 1)), "attack.eps_schedule=.*points"),
        (lambda c: c.model.update(name="vgg16"), "cannot take images of 8 pixels"),
        (lambda c: c.model.update(dtype="float64"), "JAX_ENABLE_X64"),
        (lambda c: c.model.update(name="resnet9000"), "resnet9000"),
    ],
)
def test_impossible_configs_are_named(change, message):
    c = config()
    change(c)
    with pytest.raises(BadInput, match=message):
        classifier.create(c, 10)


def test_training_sees_the_color_changes_that_were_drawn():
    task = classifier.create(config(eps=0.0), 10)
    state = jax.device_get(task.init())
    images = batch()
    black = images | {"image": np.zeros_like(images["image"])}
    darkened = images | {
        "jitter": np.tile(np.float32([0, 1, 1]), (8, 1)),  # brightness 0
        "order": np.tile(np.int32([2, 0, 1]), (8, 1)),
    }
    one, two, other = (on_devices(task.train_step, 1, state, b) for b in (black, darkened, images))
    assert_trees_close(one[0].params, two[0].params, rtol=0, atol=0)
    assert abs(one[1]["loss"] - other[1]["loss"]) > 1e-4
