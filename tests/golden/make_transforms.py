"""Write the golden file of test_data_transforms.py: `python tests/golden/make_transforms.py`.

Needs torchvision (made with 0.28.0, on torch 2.13 and Pillow 13), which nothing else in the
repository does, and the photographs in ../shared/data/imagenet_samples. Writes transforms.json: of
each image that torchvision's transforms give, the sha256 of its uint8 (H, W, C) bytes. Where torch
has no CUDA and torchvision wants it, declare the operators torchvision::nms and qnms first.
"""

import hashlib
import json
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

PHOTOGRAPHS = Path(__file__).parents[2] / "../shared/data/imagenet_samples"
# height, width, channels, resize, size
RESIZES = (
    "41 67 3 16 13", "67 41 3 16 13", "41 67 1 17 8", "50 75 3 8 7", "32 32 3 32 32",
    "37 32 3 32 32", "32 37 3 32 31", "9 20 1 32 28", "20 9 3 32 27", "333 500 3 256 224",
    "375 500 1 256 224", "224 224 3 256 224", "1 3 3 2 1",
)  # fmt: skip
# height, width, channels, size, least and most of the area
CROPS = (
    "60 80 3 16 0.08 1", "80 60 1 16 0.08 1", "50 50 3 24 0.5 1", "240 320 3 224 0.08 1",
    "10 90 3 12 0.9 1", "90 11 1 12 0.9 1", "21 25 3 16 1 1",
)  # fmt: skip


def synthetic(height, width, channels):
    """Make the image that the test makes, too."""
    y, x, c = np.indices((height, width, channels))
    image = ((y * y + 7 * x * y + 13 * x + 59 * c) % 256).astype(np.uint8)
    return Image.fromarray(image[..., 0] if channels == 1 else image)


def sha256(transform, pillow):
    """Hash a transformed image, in RGB as ImageFolder loads it, but one channel if it is gray."""
    channels = 1 if pillow.mode == "L" else 3
    image = np.asarray(transform(pillow.convert("RGB")))[..., :channels]
    return hashlib.sha256(image.tobytes()).hexdigest()


def eval_transform(resize, size):
    return transforms.Compose([transforms.Resize(resize), transforms.CenterCrop(size)])


def photographs():
    hashes = {}
    for file in sorted(PHOTOGRAPHS.glob("*/*")):
        with Image.open(file) as image:
            name = file.relative_to(PHOTOGRAPHS).as_posix()
            hashes[name] = sha256(eval_transform(256, 224), image)
    return hashes


def resizes():
    hashes = {}
    for case in RESIZES:
        height, width, channels, resize, size = map(int, case.split())
        image = synthetic(height, width, channels)
        hashes[case] = sha256(eval_transform(resize, size), image)
    return hashes


def played(seed):
    """Let torch draw, for RandomResizedCrop, the numbers that the test's generator draws."""
    numbers = ((seed / 7 + 0.618033988749895 * k) % 1 for k in range(1, 100))

    class Empty:
        def uniform_(self, low, high):
            return torch.tensor([low + (high - low) * next(numbers)])

    def randint(low, high, size):
        return torch.tensor([low + int((high - low) * next(numbers))])

    return mock.patch.multiple(torch, empty=lambda n: Empty(), randint=randint)


def crops():
    hashes = {}
    for case in CROPS:
        height, width, channels, size, *scale = case.split()
        image = synthetic(int(height), int(width), int(channels))
        transform = transforms.RandomResizedCrop(int(size), tuple(map(float, scale)))
        for seed in range(6):
            with played(seed):
                hashes[f"{case} {seed}"] = sha256(transform, image)
    return hashes


if __name__ == "__main__":
    golden = {"photographs": photographs(), "resizes": resizes(), "crops": crops()}
    Path(__file__).with_name("transforms.json").write_text(json.dumps(golden, indent=0) + "\n")
