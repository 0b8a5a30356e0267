"""Examples of classes that a training has not seen."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from rrjax.configs import robust_digits
from rrjax.data import datasets
from rrjax.errors import BadInput

DIGITS = ConfigDict({"name": "digits", "path": ""})


def training(groups, names):
    config = robust_digits.get_config()
    config.data.update(groups=groups, group_names=names)
    return config


def test_unseen_classes_are_those_of_no_group():
    config = training(((0, 1), ("5",)), ("round", "five"))
    assert datasets.trained_classes(config.data) == {"0", "1", "5"}
    images, labels = datasets.unseen_examples(config, DIGITS, 200, np.random.default_rng(0))
    assert len(images) == 200 and set(labels) == {2, 3, 4, 6, 7, 8, 9}


def test_of_restricted_imagenet_203_classes_are_seen():
    config = ConfigDict({"name": "restricted_imagenet"})
    assert len(datasets.trained_classes(config)) == 203
    assert "n02085620" in datasets.trained_classes(config)  # 151, a dog


def test_where_all_classes_were_trained_none_is_left():
    with pytest.raises(BadInput, match="trained on all 10 classes of it; choose a set"):
        datasets.unseen_examples(training((), ()), DIGITS, 2, np.random.default_rng(0))


def test_photographs_serve_what_needs_no_labels_and_are_refused_elsewhere(tmp_path):
    for i in range(3):
        Image.fromarray(np.full((20, 30), 51 * i, np.uint8)).save(tmp_path / f"{i}.png")
    config = training(((0, 1), ("5",)), ("round", "five"))
    config.data.update(name="photographs", path=str(tmp_path))
    config.model.classes = 2
    rng = np.random.default_rng(0)
    images = datasets.eval_images(config, 3, rng)
    size = config.data.image_size
    assert images.shape == (3, size, size, 1)
    np.testing.assert_allclose(np.sort(images[:, 0, 0, 0]), [0, 0.2, 0.4], atol=1e-6)
    assert not datasets.has_labels(config) and datasets.has_labels(training((), ()))
    mine = ConfigDict({"name": "photographs", "path": str(tmp_path)})
    for use in (
        lambda: datasets.eval_examples(config, 2, rng),
        lambda: next(datasets.eval_batches(config, 2)),
        lambda: datasets.examples(config, "test", 2, rng),
        lambda: datasets.unseen_examples(config, DIGITS, 2, rng),
        lambda: datasets.unseen_examples(training((), ()), mine, 2, rng),
    ):
        with pytest.raises(BadInput, match="photographs have no labels, which are needed here"):
            use()
