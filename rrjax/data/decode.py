"""Decode an image file: uint8 (H, W, 1) if it is gray, (H, W, 3) otherwise.

JPEG is read by simplejpeg, which gives Pillow's pixels in 0.7 of its time (docs/performance.md),
and everything else by Pillow.
"""

import io

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from rrjax import BadInput

# Pillow turns these into RGB as torchvision's ImageFolder does; the others (16 or 32 bits a
# channel) it would cut off at 255.
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")


class Corrupt(BadInput):
    """One image that cannot be read, among others that may."""


def decode(content: bytes, name: str) -> np.ndarray:
    """Decode a file's bytes as they are stored: EXIF rotation is not applied.

    Raises:
      Corrupt: naming `name`, for bytes that are no whole image of 8 bits a channel.
    """
    if content.startswith(b"\xff\xd8"):
        try:
            space = simplejpeg.decode_jpeg_header(content)[2]
            if space in ("Gray", "YCbCr"):
                return simplejpeg.decode_jpeg(content, "Gray" if space == "Gray" else "RGB")
        except ValueError:
            pass  # Pillow says what is wrong, or reads what is only unusual.
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode not in MODES:
                raise ValueError(f"its mode is {image.mode}; convert it to RGB or 8-bit gray")
            gray = image.mode in ("1", "L", "LA")
            pixels = np.asarray(image.convert("L" if gray else "RGB"))
    except UnidentifiedImageError as error:
        raise Corrupt(f"{name}: not an image of a known format; replace or remove it") from error
    except Exception as error:  # OSError, ValueError, SyntaxError, ...: it depends on the format.
        raise Corrupt(f"{name}: not a readable image ({error}); replace or remove it") from error
    return pixels[..., None] if gray else pixels
