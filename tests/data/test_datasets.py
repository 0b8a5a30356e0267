"""Examples of classes that a training has not seen."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from rrjax import BadInput
from rrjax.configs import robust_digits
from rrjax.data import datasets

DIGITS = ConfigDict({"name": "digits", "path": ""})


def training(groups, names):
    config = robust_digits.get_config()
    config.data.update(groups=groups, group_names=names)
    return config


def test_unseen_classes_are_those_of_no_group():
    config = training(((0, 1), ("5",)), ("round", "five"))
    assert datasets.trained_classes(config.data) == {"0", "1", "5"}
    images = datasets.open_unseen(config, DIGITS, 200, np.random.default_rng(0))
    assert len(images) == 200 and set(images.labels) == {2, 3, 4, 6, 7, 8, 9}


def test_of_restricted_imagenet_203_classes_are_seen():
    config = ConfigDict({"name": "restricted_imagenet"})
    assert len(datasets.trained_classes(config)) == 203
    assert "n02085620" in datasets.trained_classes(config)  # 151, a dog


def test_where_all_classes_were_trained_none_is_left():
    with pytest.raises(BadInput, match="trained on all 10 classes of it; choose a set"):
        datasets.open_unseen(training((), ()), DIGITS, 2, np.random.default_rng(0))


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
    assert datasets.class_names(config) == ()
    assert datasets.class_names(training((), ())) == tuple("0123456789")
    mine = ConfigDict({"name": "photographs", "path": str(tmp_path)})
    for use in (
        lambda: datasets.eval_examples(config, 2, rng),
        lambda: next(datasets.eval_batches(config, 2)),
        lambda: datasets.examples(config, "test", 2, rng),
        lambda: datasets.open_unseen(config, DIGITS, 2, rng),
        lambda: datasets.open_unseen(training((), ()), mine, 2, rng),
    ):
        with pytest.raises(BadInput, match="photographs have no labels, which are needed here"):
            use()


def test_images_that_are_read_when_asked_for_are_those_read_at_once():
    config = training((), ())
    at_once = datasets.eval_images(config, 9, np.random.default_rng(0))
    opened = datasets.open_images(config, 9, np.random.default_rng(0))
    assert len(opened) == 9
    np.testing.assert_array_equal(opened[:], at_once)
    np.testing.assert_array_equal(opened[np.array([7, 2])], at_once[[7, 2]])
    np.testing.assert_array_equal(opened.part(slice(3, 6))[1:], at_once[4:6])
    images, labels = opened.read(slice(None))
    np.testing.assert_array_equal(images, at_once)
    np.testing.assert_array_equal(labels, opened.labels)


def test_images_of_places_and_of_classes_come_first():
    config = training((), ())
    first = (5, "7", "7", 0)
    opened = datasets.open_images(config, 6, np.random.default_rng(1), first)
    everything = datasets.create_source(config.data, "test")
    assert opened.chosen[[0, 3]].tolist() == [5, 0]
    assert everything.labels[opened.chosen[1:3]].tolist() == [7, 7]
    assert len(set(opened.chosen)) == 6  # no image is there twice
    plain = datasets.open_images(config, 6, np.random.default_rng(1))
    rest = [place for place in plain.chosen if place not in opened.chosen[:4]]
    assert opened.chosen[4:].tolist() == rest[:2]  # the others are drawn as ever
    for wrong in ((360,), (-1,), (3, 3), ("cat",)):
        with pytest.raises(BadInput, match="first_images"):
            datasets.open_images(config, 6, np.random.default_rng(1), wrong)


def folder_of(root, names):
    """Write two images for each class, and return a training's config of them."""
    for split in ("train", "test"):
        for shade, name in enumerate(names):
            (root / split / name).mkdir(parents=True)
            for i in range(2):
                Image.fromarray(np.full((8, 8), 60 * shade + i, np.uint8)).save(
                    root / split / name / f"{i}.png"
                )
    config = training((), ())
    config.data.update(name="folder", path=str(root), image_size=8, resize=8)
    config.model.classes = len(names)
    return config


def test_a_study_does_not_put_another_image_under_a_label(tmp_path):
    config = folder_of(tmp_path, "abc")
    (tmp_path / "test/a/1.png").write_bytes(b"")
    images = datasets.open_examples(config, 0, np.random.default_rng(0))
    first, *others = np.argsort(images.labels, kind="stable")[::-1].reshape(3, 2)[::-1]
    assert set(images.labels[first]) == {0}
    with pytest.raises(BadInput, match=r"1\.png: not .*; replace or remove it"):
        images.read(first)
    for label, rows in enumerate(others, 1):
        assert images.read(rows)[1].tolist() == [label, label]


def test_classes_of_other_names_than_the_networks_are_said(tmp_path, capsys):
    config = folder_of(tmp_path, "abc")
    config.data.class_names = ("a", "c", "b")
    datasets.open_examples(config, 0, np.random.default_rng(0))
    assert "2 of its classes have other names than the network's, as b for c" in (
        capsys.readouterr().err
    )
    config.data.class_names = ("a", "b", "c")
    datasets.open_examples(config, 0, np.random.default_rng(0))
    assert not capsys.readouterr().err
