"""Every architecture of the published networks, in a file that PyTorch itself writes, by its name.

Skipped where they are not installed: pip install torch torchvision dill.
"""

import io

import numpy as np
import pytest

import rrjax
from golden.weights import draw
from hub import serve_client
from rrjax.runs import published

pytest.importorskip("huggingface_hub")
torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
dill = pytest.importorskip("dill")  # by which robustness saves

NAMES = {network.architecture: name for name, network in published.NETWORKS.items()}
# Those that the publishers wrap once; the others lie in one module more.
RESNETS = ("resnet18", "resnet50", "wide_resnet50_2", "wide_resnet50_4")


def untrained(architecture):
    """Return torchvision's network, in eval mode, with weights that are drawn."""
    if architecture == "wide_resnet50_4":  # torchvision has no name for it
        from torchvision.models import resnet

        model = resnet.ResNet(resnet.Bottleneck, [3, 4, 6, 3], width_per_group=256)
    else:
        model = torchvision.models.get_model(architecture, weights=None)
    state = model.state_dict()
    for name, value in draw({name: tuple(value.shape) for name, value in state.items()}).items():
        state[name].copy_(torch.from_numpy(value))
    return model.eval()


def saved(model, architecture):
    """Return the bytes of the file that robustness would save of a network."""
    state = {}
    inner = "" if architecture in RESNETS else "model."
    for holder, normalizer in (("module.", "normalizer"), ("module.attacker.", "normalize")):
        for name, values in (("mean", published.IMAGENET.mean), ("std", published.IMAGENET.std)):
            state[f"{holder}{normalizer}.new_{name}"] = torch.tensor(values)[:, None, None]
        state |= {f"{holder}model.{inner}{key}": x for key, x in model.state_dict().items()}
    content = io.BytesIO()
    torch.save({"model": state, "epoch": 89}, content, pickle_module=dill)
    return content.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", NAMES)
def test_a_name_gives_torchs_logits(architecture, monkeypatch, tmp_path):
    model, name = untrained(architecture), NAMES[architecture]
    images = np.random.default_rng(0).random((2, 224, 224, 3), np.float32)
    mean, std = (np.float32(getattr(published.IMAGENET, each)) for each in ("mean", "std"))
    normalized = torch.from_numpy(((images - mean) / std).transpose(0, 3, 1, 2))
    with torch.no_grad():
        expected = model(normalized).numpy()
    shared = published.IMAGENET
    path = f"/{shared.repository}/resolve/{shared.revision}/{published.NETWORKS[name].file}"
    with serve_client(monkeypatch, tmp_path) as server:
        server.files[path] = saved(model, architecture)
        logits, _ = rrjax.load(name)(images, stages=())
    scale = np.abs(expected).max()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * scale)
