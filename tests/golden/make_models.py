"""Write the golden files of test_models.py with PyTorch: `python tests/golden/make_models.py`.

Needs torch (made with 2.13, CPU), torchvision (0.29, torch 2.14) and numpy; nothing else in the
repository does. Each <model>.npz
holds, in float64 and eval mode: the state dict's names and shapes (the weights are redrawn from
them), images as uint8 (N, H, W, C), logits, representation, and the gradient of
sum(logits * direction) with respect to the images in [0, 1].

The networks have the published layers and connections, and fewer channels (ResNet, PreActResNet,
WideResNet) or fewer hidden units (VGG, AlexNet), so that the test takes seconds. CIFAR's ResNet-50,
whose blocks are those of ImageNet's, has fewer of them, too, and so has the WideResNet. The wide
ResNet-50, ResNeXt, DenseNet, MobileNetV2, ShuffleNetV2 and MNASNet are torchvision's own modules,
of fewer channels and layers.
"""

from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn
from weights import SMALL, draw
from weights import WIDTH as NARROW

MEAN, STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)
WIDTH = 8  # of the ResNets, in place of 64
HIDDEN = 48  # units, in place of 4096


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.name = shortcut
        if stride != 1 or inputs != 4 * width:
            conv = nn.Conv2d(inputs, 4 * width, 1, stride, bias=False)
            self.add_module(shortcut, nn.Sequential(conv, nn.BatchNorm2d(4 * width)))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (getattr(self, self.name)(x) if hasattr(self, self.name) else x))


class ResNet(nn.Module):
    def __init__(self, imagenet, classes, stages):
        super().__init__()
        self.imagenet = imagenet
        self.conv1 = nn.Conv2d(3, WIDTH, *((7, 2, 3) if imagenet else (3, 1, 1)), bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTH)
        inputs, shortcut = WIDTH, "downsample" if imagenet else "shortcut"
        for layer, blocks in enumerate(stages, 1):
            width, sequence = WIDTH * 2 ** (layer - 1), []
            for i in range(blocks):
                stride = 2 if layer > 1 and i == 0 else 1
                sequence.append(Bottleneck(inputs, width, stride, shortcut))
                inputs = 4 * width
            self.add_module(f"layer{layer}", nn.Sequential(*sequence))
        self.add_module("fc" if imagenet else "linear", nn.Linear(inputs, classes))

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        if self.imagenet:
            x = nn.functional.max_pool2d(x, 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        representation = x.mean((2, 3)) if self.imagenet else nn.functional.avg_pool2d(x, 4)
        representation = representation.flatten(1)
        head = self.fc if self.imagenet else self.linear
        return head(representation), representation


class PreActBlock(nn.Module):
    """A pre-activation block, of PreActResNet-18 or of a WideResNet, by their names."""

    def __init__(self, inputs, width, stride, shortcut, activated):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.name, self.activated = shortcut, activated
        if stride != 1 or inputs != width:
            conv = nn.Conv2d(inputs, width, 1, stride, bias=False)
            self.add_module(shortcut, nn.Sequential(conv) if shortcut == "shortcut" else conv)

    def forward(self, x):
        activated = torch.relu(self.bn1(x))
        y = self.conv2(torch.relu(self.bn2(self.conv1(activated))))
        if not hasattr(self, self.name):
            return x + y
        return getattr(self, self.name)(activated if self.activated else x) + y


class PreActResNet(nn.Module):
    """That of pytorch-cifar, and what others made of it."""

    def __init__(self, activated_shortcut, final_norm, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, 3, 1, 1, bias=False)
        inputs = WIDTH
        for layer in range(1, 5):
            width, sequence = WIDTH * 2 ** (layer - 1), []
            for i in range(2):
                stride = 2 if layer > 1 and i == 0 else 1
                sequence.append(PreActBlock(inputs, width, stride, "shortcut", activated_shortcut))
                inputs = width
            self.add_module(f"layer{layer}", nn.Sequential(*sequence))
        if final_norm:
            self.bn = nn.BatchNorm2d(inputs)
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        if hasattr(self, "bn"):
            x = torch.relu(self.bn(x))
        representation = nn.functional.avg_pool2d(x, 4).flatten(1)
        return self.linear(representation), representation


class Stage(nn.Module):
    def __init__(self, inputs, width, blocks, stride):
        super().__init__()
        sequence = [
            PreActBlock(width if i else inputs, width, 1 if i else stride, "convShortcut", True)
            for i in range(blocks)
        ]
        self.layer = nn.Sequential(*sequence)

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    """That of TRADES, of two blocks a stage."""

    def __init__(self, widen, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.block1 = Stage(16, 16 * widen, 2, 1)
        self.block2 = Stage(16 * widen, 32 * widen, 2, 2)
        self.block3 = Stage(32 * widen, 64 * widen, 2, 2)
        self.bn1 = nn.BatchNorm2d(64 * widen)
        self.fc = nn.Linear(64 * widen, classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.block3(self.block2(self.block1(self.conv1(x))))))
        representation = nn.functional.avg_pool2d(x, 8).flatten(1)
        return self.fc(representation), representation


class Headed(nn.Module):
    """Features, an adaptive pool and a classifier whose last Linear reads the representation."""

    def __init__(self, features, size, classifier, tail):
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(size)
        self.classifier = classifier
        self.tail = tail

    def forward(self, x):
        x = self.avgpool(self.features(x)).flatten(1)
        representation = self.classifier[: self.tail](x)
        return self.classifier[self.tail :](representation), representation


def vgg16(batch_norm, classes):
    features, inputs = [], 3
    for channels, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            features.append(nn.Conv2d(inputs, channels, 3, padding=1))
            features += [nn.BatchNorm2d(channels)] * batch_norm
            features.append(nn.ReLU())
            inputs = channels
        features.append(nn.MaxPool2d(2, 2))
    classifier = nn.Sequential(
        *(nn.Linear(25088, HIDDEN), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout()),
        nn.Linear(HIDDEN, classes),
    )
    return Headed(nn.Sequential(*features), (7, 7), classifier, 5)


def alexnet(classes):
    features = nn.Sequential(
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )
    classifier = nn.Sequential(
        *(nn.Dropout(), nn.Linear(9216, HIDDEN), nn.ReLU()),
        *(nn.Dropout(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()),
        nn.Linear(HIDDEN, classes),
    )
    return Headed(features, (6, 6), classifier, 6)


class NarrowResNet(torchvision.models.ResNet):
    """torchvision's, of bottlenecks, with fewer channels than 64 in its first stage."""

    def __init__(self, stages, classes, **fields):
        block = torchvision.models.resnet.Bottleneck
        super().__init__(block, stages, num_classes=classes, **fields)
        self.conv1 = nn.Conv2d(3, NARROW, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(NARROW)
        self.fc = nn.Linear(self.inplanes, classes)

    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        planes = planes * NARROW // 64
        if planes == NARROW:  # the first stage
            self.inplanes = NARROW
        return super()._make_layer(block, planes, blocks, stride, dilate)


class Torchvisions(nn.Module):
    """A network of torchvision, and the input of its last Linear, before a dropout."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        linear = [m for m in self.network.modules() if isinstance(m, nn.Linear)][-1]
        inputs = []
        hook = linear.register_forward_pre_hook(lambda _, arguments: inputs.append(*arguments))
        logits = self.network(x)
        hook.remove()
        return logits, inputs[0]


def write(name, make, shape):
    """Write <name>.npz for uint8 images of `shape` (N, H, W, 3)."""
    with torch.device("meta"):
        model = make()
    named = model.network if isinstance(model, Torchvisions) else model
    state = named.state_dict()  # its metadata say a version, without which MNASNet loads nothing
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    state.update({key: torch.from_numpy(value) for key, value in draw(shapes).items()})
    named.load_state_dict(state, assign=True)
    model = model.double().eval()
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, shape, np.uint8)
    x = (torch.from_numpy(images).double() / 255).requires_grad_()
    mean, std = (torch.tensor(values, dtype=torch.float64) for values in (MEAN, STD))
    logits, representation = model(((x - mean) / std).permute(0, 3, 1, 2))
    direction = rng.standard_normal(logits.shape)
    (logits * torch.from_numpy(direction)).sum().backward()
    print(name, "logits", logits.std().item(), "representation", representation.std().item())
    np.savez_compressed(
        Path(__file__).parent / f"{name}.npz",
        keys=np.array([f"{key} {' '.join(map(str, shape))}" for key, shape in shapes.items()]),
        images=images,
        logits=logits.detach().numpy(),
        representation=representation.detach().numpy(),
        direction=direction,
        gradient=x.grad.numpy(),
    )


def write_torchvisions():
    """Write those of torchvision's own modules."""
    stages, shape = (2, 1, 1, 1), (1, 48, 32, 3)
    small = {
        "wide_resnet50_2": lambda: NarrowResNet(stages, 9, width_per_group=128),
        "wide_resnet50_4": lambda: NarrowResNet(stages, 9, width_per_group=256),
        "resnext50_32x4d": lambda: NarrowResNet(stages, 9, groups=32, width_per_group=4),
        "densenet161": lambda: torchvision.models.DenseNet(num_classes=9, **SMALL["densenet161"]),
        "mobilenet_v2": lambda: torchvision.models.MobileNetV2(9, **SMALL["mobilenet_v2"]),
        "shufflenet_v2_x1_0": lambda: torchvision.models.ShuffleNetV2(
            num_classes=9, **SMALL["shufflenet_v2_x1_0"]
        ),
        "mnasnet1_0": lambda: torchvision.models.MNASNet(0.25, 9),
    }
    for name, make in small.items():
        write(f"{name}_imagenet", lambda make=make: Torchvisions(make()), shape)


if __name__ == "__main__":
    write("resnet50_imagenet", lambda: ResNet(True, 9, (3, 4, 6, 3)), (1, 64, 32, 3))
    write("resnet50_cifar", lambda: ResNet(False, 10, (2, 1, 1, 1)), (2, 32, 32, 3))
    shape = (1, 32, 32, 3)
    write("preact_resnet18_pytorch_cifar", lambda: PreActResNet(True, False, 10), shape)
    write("preact_resnet18_robustbench", lambda: PreActResNet(False, False, 10), shape)
    write("preact_resnet18_fast_adversarial", lambda: PreActResNet(False, True, 10), shape)
    write("preact_resnet18_robust_overfitting", lambda: PreActResNet(True, True, 10), shape)
    write("wideresnet28_10_cifar", lambda: WideResNet(2, 10), (1, 32, 32, 3))
    write("vgg16_imagenet", lambda: vgg16(False, 9), (1, 64, 32, 3))
    write("vgg16_bn_imagenet", lambda: vgg16(True, 9), (1, 32, 64, 3))
    write("alexnet_imagenet", lambda: alexnet(9), (1, 96, 80, 3))
    write_torchvisions()
