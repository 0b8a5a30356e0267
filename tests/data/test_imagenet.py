"""Restricted ImageNet has the paper's classes and images."""

from collections import Counter

import numpy as np
import pytest

from rrjax import BadInput
from rrjax.data import imagenet
from rrjax.data.sources import Source, describe


def test_restricted_imagenet_is_the_papers():
    indices = [index for members in imagenet.RESTRICTED.values() for index in members]
    assert len(indices) == len(set(indices)) == 203
    wnids, counts = imagenet.wnids(), Counter(imagenet.validation_labels())
    validation = {
        name: sum(counts[wnids[index]] for index in members)
        for name, members in imagenet.RESTRICTED.items()
    }
    assert [*validation.items()] == [
        ("dog", 5900),
        ("cat", 250),
        ("frog", 150),
        ("turtle", 250),
        ("bird", 1050),
        ("primate", 900),
        ("fish", 450),
        ("crab", 200),
        ("insect", 1000),
    ]
    assert sum(validation.values()) == 10_150 and counts.total() == 50_000
    first = {name: wnids[members[0]] for name, members in imagenet.RESTRICTED.items()}
    assert first["dog"] == "n02085620" and first["cat"] == "n02123045"  # Chihuahua, tabby
    last = {name: wnids[members[-1]] for name, members in imagenet.RESTRICTED.items()}
    assert last["dog"] == "n02113978" and last["cat"] == "n02124075"  # Mexican hairless, Egyptian
    assert list(wnids) == sorted(wnids)


def test_the_view_of_the_whole_validation_set_has_10150_images():
    wnids = imagenet.wnids()
    labels = np.array([wnids.index(wnid) for wnid in imagenet.validation_labels()], np.int32)
    whole = Source("imagenet2012/validation", lambda i: i, labels, wnids)
    view = imagenet.restricted(whole)
    assert describe(view) == (
        "restricted_imagenet/validation: 10,150 images of 9 classes (dog 5,900, cat 250, frog 150, "
        "turtle 250, bird 1,050, primate 900, fish 450, crab 200, insect 1,000)"
    )
    assert all(
        whole.labels[view.read(i)] in range(151, 269) for i in np.flatnonzero(view.labels == 0)
    )
    labels[np.flatnonzero(labels == 0)[0]] = 151
    with pytest.raises(
        BadInput, match="10,151 of its images are of Restricted ImageNet, not 10,15"
    ):
        imagenet.restricted(whole)
