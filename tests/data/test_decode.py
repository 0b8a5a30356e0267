"""Decoding: Pillow's pixels from every kind of file, and a name for what cannot be read."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from rrjax.data.decode import Corrupt, decode


def encoded(mode, form, size=(37, 23), **options):
    """Cut a piece out of a photograph, and give it in a mode as a file's bytes."""
    photo = Image.fromarray(load_sample_images().images[0]).crop(
        (100, 50, 100 + size[0], 50 + size[1])
    )
    file = io.BytesIO()
    photo.convert(mode).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_has_the_pixels_that_pillow_gives(mode, subsampling, progressive):
    options = {} if mode == "L" else {"subsampling": subsampling}
    content = encoded(mode, "JPEG", progressive=progressive, quality=85, **options)
    image = decode(content, "x")
    assert image.dtype == np.uint8 and image.shape == (23, 37, 1 if mode == "L" else 3)
    np.testing.assert_array_equal(image.squeeze(), np.asarray(Image.open(io.BytesIO(content))))


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        ("RGB", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("CMYK", "JPEG"), ("CMYK", "TIFF"),
        ("RGB", "BMP"), ("RGB", "PPM"), ("RGB", "WEBP"), ("YCbCr", "TIFF"),
        ("L", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("L", "PPM"),
    ],
)  # fmt: skip
def test_every_8_bit_mode_becomes_rgb_or_gray_as_pillow_makes_it(mode, form):
    content = encoded(mode, form)
    target = "L" if mode in ("L", "LA", "1") else "RGB"
    image = decode(content, "x")
    assert image.shape == (23, 37, {"L": 1, "RGB": 3}[target])
    expected = np.asarray(Image.open(io.BytesIO(content)).convert(target))
    np.testing.assert_array_equal(image.squeeze(), expected)


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_other_modes_are_refused(mode):
    file = io.BytesIO()
    Image.new(mode, (3, 2)).save(file, "TIFF")
    with pytest.raises(Corrupt, match=f"x.tif: .*its mode is {mode}; convert it to RGB or 8-bit"):
        decode(file.getvalue(), "x.tif")


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_half_a_file_is_refused(form):
    content = encoded("RGB", form, size=(200, 200))
    with pytest.raises(Corrupt, match=r"cut: not a readable image .*; replace or remove it"):
        decode(content[: len(content) // 2], "cut")


@pytest.mark.parametrize("content", [b"", b"P6 no image", b"\xff\xd8", b"<html>"])
def test_what_is_no_image_is_refused(content):
    with pytest.raises(Corrupt, match=r"^page.jpg: not a.* replace or remove it$"):
        decode(content, "page.jpg")
