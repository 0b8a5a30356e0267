"""Write tests/golden/torch_files/ with PyTorch: `python tests/golden/make_torch_files.py`.

Needs torch (made with 2.13, CPU), dill and safetensors. One ResNet-8 of width 2 (ImageNet's stem, 5
classes, weights of golden.weights.draw) as each tool saves it; logits.npz holds its eval-mode
logits of uint8 images. strides_*: views of arange(24.), whose values the tests write out.
"""

from pathlib import Path

import dill
import numpy as np
import safetensors.torch
import torch
from torch import nn
from weights import draw

FOLDER = Path(__file__).parent / "torch_files"
MEAN, STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)


class Basic(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = nn.Identity()
        if stride != 1:
            conv = nn.Conv2d(inputs, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.downsample(x))


class ResNet8(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 2, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(2)
        self.layer1 = nn.Sequential(Basic(2, 2, 1))
        self.layer2 = nn.Sequential(Basic(2, 4, 2))
        self.layer3 = nn.Sequential(Basic(4, 8, 2))
        self.fc = nn.Linear(8, classes)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


class Level(nn.Module):
    """A module that holds another as `model`."""

    def __init__(self, model):
        super().__init__()
        self.model = model


class Normalize(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("new_mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("new_std", torch.tensor(STD)[:, None, None])


class AttackerModel(Level):
    """robustness' wrapper, by its names."""

    def __init__(self, model):
        super().__init__(model)
        self.normalizer = Normalize()
        self.attacker = Level(model)
        self.attacker.normalize = Normalize()


def checkpoint(network):
    """Return what robustness' trainer saves, a dilled function in it."""
    model = nn.DataParallel(AttackerModel(network))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    weight = next(model.parameters())
    optimizer.state[weight]["momentum_buffer"] = torch.ones_like(weight)
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": {"lr_lambdas": [lambda epoch: 0.1 ** (epoch // 30)]},
        "epoch": 61,
        "amp": None,
        "adv_prec1": torch.tensor(81.5),
    }


def views():
    """Return tensors that share a storage in every way."""
    base = torch.arange(24.0)
    return {
        "whole": base.view(2, 3, 4),
        "transposed": base.view(4, 6).t(),
        "permuted": base.view(2, 3, 4).permute(2, 0, 1),
        "offset": base[5:9],
        "stepped": base[1::3],
        "expanded": base[7].expand(3, 2),
        "scalar": base[7],
        "empty": base[:0],
        "parameter": nn.Parameter(base[20:]),
        **{
            str(dtype).removeprefix("torch."): (base - 3).to(dtype)[2:6]
            for dtype in (torch.bfloat16, torch.half, torch.double, torch.int64, torch.uint8)
        },
    }


def main():
    FOLDER.mkdir(exist_ok=True)
    network = ResNet8(5).eval()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    network.load_state_dict({key: torch.from_numpy(v) for key, v in draw(shapes).items()})
    bare = network.state_dict()
    stream = {"_use_new_zipfile_serialization": False}
    old = {key: value for key, value in bare.items() if "num_batches_tracked" not in key}
    torch.save(old, FOLDER / "torchvision_stream.pth", **stream)
    torch.save(bare, FOLDER / "torchvision_zip.pth")
    torch.save(checkpoint(network), FOLDER / "robustness_stream.pt", dill, **stream)
    torch.save(checkpoint(network), FOLDER / "robustness_zip.pt", dill)
    torch.save(checkpoint(Level(network)), FOLDER / "transfer_zip.ckpt", dill)
    safetensors.torch.save_file(bare, FOLDER / "plain.safetensors")
    torch.save(views(), FOLDER / "strides_stream.pt", **stream)
    torch.save(views(), FOLDER / "strides_zip.pt")
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), np.uint8)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    with torch.no_grad():
        logits = network((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std)
    np.savez_compressed(FOLDER / "logits.npz", images=images, logits=logits.numpy())


if __name__ == "__main__":
    main()
