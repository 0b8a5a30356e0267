"""Write attributions.npz for test_attribution.py: `python tests/golden/make_attributions.py`.

Needs torch and captum (made with 2.14, CPU, and 0.9.0). Of two networks, in float64 and eval mode,
`tiny` and `resnet8` (cifar; narrow): the state dict's names and shapes (the weights are redrawn
from them), images as uint8 (N, H, W, C), labels, and the attributions of their logits in [0, 1],
Captum's names in lower case, DeepLIFT's from mid-gray. LRP is of the pixels as the normalization
leaves them, with an epsilon of 0.1 behind convolutions and of 1e-15 elsewhere; Grad-CAM is of the
last stage, enlarged by torch. Keys begin with the network's name.

Two cases are avoided in which the maps of Captum's DeepLIFT do not add up: a ReLU and a max-pool
whose hooks are on one tensor, by copies of it below; and max-pools that overlap, whose shares
max_unpool2d overwrites where it should add, by a network without.
"""

from pathlib import Path

import numpy as np
import torch
from captum.attr import (
    LRP,
    DeepLift,
    InputXGradient,
    IntegratedGradients,
    LayerGradCam,
    Saliency,
)
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import nn
from weights import draw

MEAN, STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)
EPSILON = 0.1


class Normalized(nn.Module):
    """Images (N, H, W, C) in [0, 1] -> logits; `last` is the module of the last stage."""

    def forward(self, x):
        mean, std = (torch.tensor(values, dtype=x.dtype) for values in (MEAN, STD))
        return self.logits((x - mean) / std)


class Tiny(Normalized):
    def __init__(self, size, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 8, 3, padding=1)
        self.fc2 = nn.Linear(8 * (size // 4) ** 2, classes)
        # A module each: Captum hangs its rules on them.
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.pool1, self.last = nn.MaxPool2d(2), nn.MaxPool2d(2)

    def logits(self, x):
        x = x.permute(0, 3, 1, 2)
        x = self.pool1(self.relu1(self.conv1(x)).clone())
        x = self.last(self.relu2(self.conv2(x)).clone())
        return self.fc2(x.flatten(1))


class OfNormalized(nn.Module):
    """A network of pixels that are normalized already."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network.logits(x)


class Basic(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        if stride != 1:
            conv = nn.Conv2d(inputs, width, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(y + (self.shortcut(x) if hasattr(self, "shortcut") else x))


class ResNet8(Normalized):
    def __init__(self, width, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU()
        self.layer1 = nn.Sequential(Basic(width, width, 1))
        self.layer2 = nn.Sequential(Basic(width, 2 * width, 2))
        self.layer3 = nn.Sequential(Basic(2 * width, 4 * width, 2))
        self.linear = nn.Linear(4 * width, classes)

    @property
    def last(self):
        return self.layer3

    def logits(self, x):
        x = self.relu(self.bn1(self.conv1(x.permute(0, 3, 1, 2))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def relevance(model, x, target):
    """Return Captum's LRP of a Tiny, of normalized pixels; it has no rule for a residual sum."""
    for name, module in model.named_modules():
        if name in ("conv1", "conv2", "pool1", "last", "fc2"):
            module.rule = EpsilonRule(epsilon=EPSILON if name.startswith("conv") else 1e-15)
    mean, std = (torch.tensor(values, dtype=x.dtype) for values in (MEAN, STD))
    normalized = ((x.detach() - mean) / std).requires_grad_()
    return LRP(OfNormalized(model)).attribute(normalized, target)


def enlarged_grad_cam(model, x, target):
    cam = LayerGradCam(model, model.last).attribute(x, target, relu_attributions=True)
    cam = nn.functional.interpolate(cam, x.shape[1:3], mode="bilinear", align_corners=False)
    return cam.permute(0, 2, 3, 1)


def attributed(name, model, size, n):
    """Return the arrays of one network, of `n` images; of `resnet8` no mere gradients."""
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    state = {key: torch.from_numpy(value) for key, value in draw(shapes).items()}
    model.load_state_dict(state)
    model = model.double().eval()
    images = np.random.default_rng(1).integers(0, 256, (n, size, size, 3), np.uint8)
    labels = np.array([0, 4, 2])[:n]
    x, target = torch.tensor(images / 255, requires_grad=True), torch.from_numpy(labels)
    attributions = {
        "deeplift": DeepLift(model).attribute(x, 0.5, target),
        "layergradcam": enlarged_grad_cam(model, x, target),
    }
    if name == "tiny":
        attributions |= {
            "saliency": Saliency(model).attribute(x, target, abs=False),
            "inputxgradient": InputXGradient(model).attribute(x, target),
            "integratedgradients": IntegratedGradients(model).attribute(x, 0.5, target),
            "lrp": relevance(model, x, target),
        }
    arrays = {
        "keys": np.array([f"{key} {' '.join(map(str, shape))}" for key, shape in shapes.items()]),
        "images": images,
        "labels": labels,
        **{name: value.detach().numpy() for name, value in attributions.items()},
    }
    return {f"{name}_{key}": value for key, value in arrays.items()}


if __name__ == "__main__":
    written = attributed("tiny", Tiny(8, 5), 8, 3) | attributed("resnet8", ResNet8(4, 5), 16, 1)
    np.savez_compressed(Path(__file__).with_name("attributions.npz"), **written)
