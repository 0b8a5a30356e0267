"""Examples of classes that a training has not seen."""

import numpy as np
import pytest
from ml_collections import ConfigDict

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
