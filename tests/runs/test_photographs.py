"""Photographs of one's own: read upright, shown without pyplot, written for a study."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import rrjax
from rrjax import BadInput
from rrjax.data import npy
from rrjax.runs import photographs


def a_network(channels=3, size=4, resize=4):
    model, data = {"mean": (0.5,) * channels}, {"image_size": size, "resize": resize}
    return SimpleNamespace(config=ConfigDict({"model": model, "data": data}))


def marked(height, width):
    """Return an image whose upper left corner is white."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:2, :2] = 255
    return pixels


def test_a_photograph_is_scaled_and_cut_as_test_images_are(tmp_path):
    Image.fromarray(marked(8, 16)).save(tmp_path / "a.png")
    image = rrjax.read_image(tmp_path / "a.png", a_network(size=8, resize=8))
    assert image.shape == (8, 8, 3) and image.dtype == np.float32
    assert image.max() == 0  # the corner is cut off
    Image.fromarray(marked(8, 8)).save(tmp_path / "b.png")
    gray = rrjax.read_image(str(tmp_path / "b.png"), a_network(channels=1))
    assert gray.shape == (4, 4, 1) and gray[0, 0, 0] > 0.7 and gray[3, 3, 0] == 0


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_photograph_is_upright_as_pillow_turns_it(turned, tmp_path):
    from PIL import ImageOps

    pixels = np.random.default_rng(turned).integers(0, 256, (3, 5, 3), np.uint8)
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = turned
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(photographs._decoded(tmp_path / "a.png"), expected)


def test_what_is_shown_needs_no_pyplot():
    stack = np.zeros((2, 4, 4, 3), np.float32)
    before = set(sys.modules)
    figure = rrjax.show(stack, stack + 0.5, titles=["black", "gray"], labels=["a", "b"])
    assert "matplotlib.pyplot" not in set(sys.modules) - before
    assert [axis.get_title() for axis in figure.axes] == ["black", "gray", "", ""]
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert len(rrjax.show(stack[0], np.eye(4)).axes) == 2  # an image and a map


def test_images_that_are_saved_are_data(tmp_path):
    images = np.random.default_rng(0).uniform(size=(3, 5, 5, 1)).astype(np.float32)
    rrjax.save_images(tmp_path / "mine", images, [2, 0, 1], classes=("a", "b", "c", "d"))
    source = npy.npy(str(tmp_path / "mine"), "test")
    assert len(source) == 3 and source.class_names == ("a", "b", "c", "d")
    assert [source[i]["label"] for i in range(3)] == [2, 0, 1]
    assert np.abs(source[1]["image"] / 255 - images[1]).max() <= 0.5 / 255 + 1e-6
    file = npy.npy(str(tmp_path / "mine/images.npy"), "test")
    np.testing.assert_array_equal(file[2]["image"], source[2]["image"])
    rrjax.save_images(tmp_path / "grid.png", images)
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (10, 10) and grid.mode == "L"


def test_splits_and_images_without_labels(tmp_path):
    images = np.zeros((2, 4, 4, 3), np.uint8)
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        np.save(tmp_path / split / "images.npy", images)
        np.save(tmp_path / split / "labels.npy", np.array([0, 9]))
    assert npy.npy(str(tmp_path), "train").class_names == tuple("0123456789")
    (tmp_path / "test/labels.npy").unlink()
    assert npy.npy(str(tmp_path), "test").class_names == ()


def _folder(path):
    (path / "holiday").mkdir()
    (path / "holiday/a.jpg").touch()
    return path / "holiday"


def _text(path):
    (path / "notes.jpg").write_text("no image")
    return path / "notes.jpg"


ZEROS = np.zeros((2, 4, 4, 3), np.float32)
MISTAKES = [
    (lambda p: rrjax.read_image(p / "dgo.jpg", a_network()), "dgo.jpg: cannot be read (No such"),
    (lambda p: rrjax.read_image(_folder(p), a_network()), "is a folder: name its images (a.jpg)"),
    (lambda p: rrjax.read_image(_text(p), a_network()), "not an image of a known format"),
    (lambda p: rrjax.read_image("https://x.org/dog.jpg", a_network()), "download it first"),
    (lambda p: rrjax.read_image("dog.jpg", "cifar10_standard"), "a str for the network: load it"),
    (lambda p: rrjax.show(ZEROS, ZEROS[0]), "2, 1 images: give every column as many"),
    (lambda p: rrjax.show(ZEROS, titles=["a", "b"]), "titles=['a', 'b']: give a list of 1"),
    (lambda p: rrjax.show(255 * ZEROS + 255), "divided by 255"),
    (lambda p: rrjax.show(ZEROS[..., 0]), "image 0 has the shape (2, 4, 4)"),
    (lambda p: rrjax.save_images(p, ZEROS, [0.5, 1.0]), "labels float64(2,): give one for each"),
    (lambda p: [rrjax.save_images(p / "x", ZEROS) for _ in "12"], "holds images.npy already"),
    (lambda p: npy.npy(str(p), "test"), "holds no images.npy: set --config.data.path"),
    (lambda p: npy.npy("", "train"), "'' holds no train/images.npy"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_a_mistake_is_answered_by_one_line(mistake, message, tmp_path):
    with pytest.raises(BadInput) as caught:
        mistake(tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
