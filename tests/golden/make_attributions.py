"""Write attributions.npz for test_attribution.py: `python tests/golden/make_attributions.py`.

Needs torch and captum (made with 2.13, CPU, and 0.9.0). Of the network `tiny`, in float64 and eval
mode: the state dict's names and shapes (the weights are redrawn from them), images as uint8
(N, H, W, C), labels, and the attributions of their logits in [0, 1], Captum's names in lower case.
"""

from pathlib import Path

import numpy as np
import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from torch import nn
from weights import draw

MEAN, STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)


class Tiny(nn.Module):
    def __init__(self, size, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 8, 3, padding=1)
        self.fc2 = nn.Linear(8 * (size // 4) ** 2, classes)

    def forward(self, x):
        mean, std = (torch.tensor(values, dtype=x.dtype) for values in (MEAN, STD))
        x = ((x - mean) / std).permute(0, 3, 1, 2)
        x = nn.functional.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2)
        return self.fc2(x.flatten(1))


if __name__ == "__main__":
    model = Tiny(8, 5)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    state = {key: torch.from_numpy(value) for key, value in draw(shapes).items()}
    model.load_state_dict(state)
    model = model.double().eval()
    images = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), np.uint8)
    labels = np.array([0, 4, 2])
    x, target = torch.tensor(images / 255, requires_grad=True), torch.from_numpy(labels)
    attributions = {
        "saliency": Saliency(model).attribute(x, target, abs=False),
        "inputxgradient": InputXGradient(model).attribute(x, target),
        "integratedgradients": IntegratedGradients(model).attribute(x, 0.5, target),
    }
    np.savez_compressed(
        Path(__file__).with_name("attributions.npz"),
        keys=np.array([f"{key} {' '.join(map(str, shape))}" for key, shape in shapes.items()]),
        images=images,
        labels=labels,
        **{name: value.detach().numpy() for name, value in attributions.items()},
    )
