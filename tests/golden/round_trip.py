"""Round trips with PyTorch, by hand: `python tests/golden/round_trip.py FOLDER [model ...]`.

Needs rrjax and, beside it, torch, torchvision, robustness, dill, safetensors, and 8 GB; not run in
CI. For each model at full size and 224 pixels torch saves the files that other projects publish,
rrjax.convert.networks imports each, and the logits are compared; then torch loads the exports.
"""

import shutil
import sys
from pathlib import Path

import dill
import numpy as np
import safetensors.torch
import torch
import torchvision
from torch import nn
from weights import draw

from rrjax import runs
from rrjax.configs import export_torch, import_torch
from rrjax.convert import networks

# robustness 1.2.1 imports load_state_dict_from_url from where it once was.
sys.modules["torchvision.models.utils"] = torch.hub
from robustness import attacker, datasets  # noqa: E402

MODELS = ("resnet18", "resnet50", "vgg16", "vgg16_bn", "alexnet")
MEAN, STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)


class Dummy(nn.Module):
    """The second level that robust-models-transfer puts around torchvision's models."""

    def __init__(self, model):
        super().__init__()
        self.model = model


def make(name):
    net = torchvision.models.get_model(name, weights=None, num_classes=9).eval()
    shapes = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    net.load_state_dict({key: torch.from_numpy(value) for key, value in draw(shapes).items()})
    return net


def logits(net, images):
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        # Contiguous: torch would convolve images laid out as ours with other sums.
        return net((torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() - mean) / std).numpy()


def robust(name, net):
    """Wrap as robustness does, in its own class of the architecture."""
    data = datasets.RestrictedImageNet("")
    model = attacker.AttackerModel(data.get_model(name, False), data)
    # Its AlexNet calls the last Linear otherwise.
    names = zip(model.model.state_dict(), net.state_dict().values(), strict=True)
    model.model.load_state_dict(dict(names))
    return nn.DataParallel(model)


def saved(name, net, folder):
    """Save the net in each style; yield the style and its file."""

    def extras(model):
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        for parameter in list(model.parameters())[:2]:
            optimizer.state[parameter]["momentum_buffer"] = torch.ones_like(parameter)
        return {
            "optimizer": optimizer.state_dict(),
            "schedule": {"lr_lambdas": [lambda epoch: 0.1 ** (epoch // 30)]},
            "epoch": 61,
            "adv_prec1": torch.tensor(81.9),
        }

    bare = net.state_dict()
    path = folder / "net.pth"
    torch.save(bare, path)
    yield "torchvision, zip", path
    counted = [key for key in bare if key.endswith("num_batches_tracked")]
    old = {key: value for key, value in bare.items() if key not in counted}
    torch.save(old, path, _use_new_zipfile_serialization=False)
    yield "torchvision, stream, no num_batches_tracked", path
    wrapped = robust(name, net)
    content = {"model": wrapped.state_dict(), **extras(wrapped)}
    path = folder / "net.pt"
    torch.save(content, path, dill, _use_new_zipfile_serialization=False)
    yield "robustness, stream, dilled", path
    if not name.startswith("resnet"):
        wrapped.module.model = wrapped.module.attacker.model = Dummy(net)
    content = {"model": wrapped.state_dict(), **extras(wrapped)}
    path = folder / "net.ckpt"
    torch.save(content, path, dill)
    yield "robust-models-transfer, zip, dilled", path
    path = folder / "net.safetensors"
    safetensors.torch.save_file(bare, path)
    yield "safetensors", path


def imported(name, path, folder):
    shutil.rmtree(folder, ignore_errors=True)
    config = import_torch.get_config("robust_rin")
    config.model.name = name
    config.file = str(path)
    networks.import_network(config, folder)
    return runs.load(folder)


def exported(folder, file, layout):
    config = export_torch.get_config()
    config.run, config.file, config.layout = str(folder / "run"), file, layout
    networks.export_network(config, folder / "exports")
    return folder / "exports" / file


def main(folder, names):
    images = np.random.default_rng(0).random((4, 224, 224, 3), np.float32)
    for name in names:
        net = make(name)
        truth = logits(net, images)
        for style, path in saved(name, net, folder):
            network = imported(name, path, folder / "run")
            error = np.abs(network(images)[0] - truth).max() / np.abs(truth).max()
            print(f"| {name} | {style} | {error:.1e} |", flush=True)
            assert error < 1e-5
            path.unlink()
        del network
        shutil.rmtree(folder / "exports", ignore_errors=True)
        back = torchvision.models.get_model(name, weights=None, num_classes=9).eval()
        back.load_state_dict(torch.load(exported(folder, "net.pth", "torchvision")))
        assert np.array_equal(logits(back, images), truth)
        path = exported(folder, "net.safetensors", "torchvision")
        back.load_state_dict(safetensors.torch.load_file(path))
        assert np.array_equal(logits(back, images), truth)
        content = torch.load(exported(folder, "net.pt", "robustness"))
        data = datasets.RestrictedImageNet("")
        model = nn.DataParallel(attacker.AttackerModel(data.get_model(name, False), data))
        model.load_state_dict(content["model"])
        with torch.no_grad():
            inputs = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
            there = model.module.eval()(inputs, with_image=False).numpy()
        print(f"| {name} | exports | equal; robustness' {np.abs(there - truth).max():.1e} |")
        assert np.abs(there - truth).max() <= 1e-6 * np.abs(truth).max()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or MODELS)
