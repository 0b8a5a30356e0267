"""Laws of fine-tuning: what is taken, what starts anew; its run goes on without its source."""

import shutil

import flax.linen as nn
import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from rrjax import BadInput, data, models, runs
from rrjax.configs import robust_digits
from rrjax.train import loop
from rrjax.train.__main__ import create_task
from rrjax.train.tasks import classifier, finetune, optimizer

pytestmark = pytest.mark.slow

# Two groups of digits: another class count than the source's ten.
EVEN_ODD = ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9))
SMALL = {"model.width": 2, "attack.steps": 1, "epochs": 1, "batch_size": 718, "log_every": 1}
SMALL |= {"data.image_size": 8, "data.resize": 8}


def config(**changes):
    c = robust_digits.get_config()
    c.update_from_flattened_dict(SMALL | changes)
    return c


def fit(c, workdir):
    batches = data.create(c)
    task = create_task(c, batches.steps_per_epoch, str(workdir))
    loop.fit(task, batches, c, workdir)
    return runs.load(workdir)


def arrays(network):
    return flatten_dict(network.variables, sep="/")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finetune") / "source"
    fit(config(), workdir)
    return workdir


def started_from(source, **changes):
    c = config(**{"start_from": str(source)} | changes)
    start = finetune.source(c, "no/run/yet")
    state = classifier.create(c, 2, start).init()
    return flatten_dict({"params": state.params, "batch_stats": state.batch_stats}, sep="/")


def test_everything_is_taken_but_a_head_of_another_class_count(source):
    expected = arrays(runs.load(source))
    same = started_from(source, **{"model.sync_batch_norm": True})  # which has no array
    assert same.keys() == expected.keys()
    for path, array in same.items():
        np.testing.assert_array_equal(array, expected[path])
    other = started_from(source, **{"model.classes": 2, "seed": 5})
    fresh = classifier.create(config(**{"model.classes": 2, "seed": 5}), 2).init().params
    for path, array in other.items():
        head = path.startswith("params/linear/")
        start = fresh["linear"][path.split("/")[-1]] if head else expected[path]
        np.testing.assert_array_equal(array, start)


def test_a_fine_tuned_run_trains_its_head_alone_and_goes_on_without_its_source(source, tmp_path):
    changes = {
        "model.classes": 2,
        "data.groups": EVEN_ODD,
        "data.group_names": ("even", "odd"),
        "optimizer.train_only": "linear",
        "ema_decay": 0.9,
        "save_every": 1,
    }
    copy = tmp_path / "source"
    shutil.copytree(source, copy)
    c = config(start_from=str(copy), **changes)
    tuned = arrays(fit(c, tmp_path / "run"))
    before = started_from(source, **changes)
    for path, array in tuned.items():
        moved = not np.array_equal(array, before[path])
        assert moved == ("linear" in path or "batch_stats" in path), path
    shutil.rmtree(copy)
    shutil.rmtree(tmp_path / "run/checkpoints/2")
    again = arrays(fit(c, tmp_path / "run"))
    for path, array in again.items():
        np.testing.assert_array_equal(array, tuned[path])


def test_frozen_parameters_neither_step_nor_decay():
    c = config(**{"optimizer.train_only": "fc|layer4", "optimizer.weight_decay": 0.5}).optimizer
    params = {name: {"kernel": np.ones(2, np.float32)} for name in ("conv1", "layer4_0", "fc")}
    sgd = optimizer.create(c, 1, 10)
    updates, _ = sgd.update(params, sgd.init(params), params)
    np.testing.assert_array_equal(updates["conv1"]["kernel"], 0)
    for name in ("layer4_0", "fc"):
        np.testing.assert_allclose(updates[name]["kernel"], -0.1 * 1.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.width": 4}, "its model.width is 2, here 4: set --config.model.width"),
        ({"model.mean": (0.5,)}, r"its model.mean is \[0.3098\], here \[0.5\]"),
        ({"start_from": "/no/such"}, "/no/such: not a run folder"),
        ({"optimizer.train_only": "fc|layer4"}, "train_only='fc|layer4' names no parameter"),
        ({"optimizer.train_only": "("}, r"train_only='\(' is no regular expression"),
    ],
)
def test_what_does_not_fit_is_named(source, change, message):
    with pytest.raises(BadInput, match=message):
        started_from(source, **change)


def test_another_shape_than_the_heads_is_named():
    c = config(**{"model.name": "mnist_cnn", "model.width": 64})
    model = models.create(c.model)
    small, large = (models.init(model, jax.random.key(0), (n, n, 1)) for n in (8, 16))
    with pytest.raises(BadInput, match=r"params/fc1/kernel is \(1024, 1024\) there and \(4096,"):
        finetune.graft(model, (16, 16, 1), large, small)


def test_a_run_that_has_begun_asks_for_no_source(source):
    assert finetune.source(config(start_from="/no/such"), str(source)) is None


class Fixed(nn.Module):
    """A network of one's own that is made for ten classes, and has no field to say so."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @nn.compact
    def __call__(self, images, train):
        reps = {"representation": images.mean((1, 2))}
        return nn.Dense(10)(reps["representation"]), reps


def test_a_network_without_a_number_of_classes_is_taken_whole():
    model = Fixed((0.5,), (0.5,))
    fresh, other = (models.init(model, jax.random.key(i), (8, 8, 1)) for i in range(2))
    taken = flatten_dict(finetune.graft(model, (8, 8, 1), fresh, other))
    for path, array in flatten_dict(other).items():
        np.testing.assert_array_equal(taken[path], array)
