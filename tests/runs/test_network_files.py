"""Networks in files of any program: the right network, or a line that says what is missing."""

import ml_dtypes
import numpy as np
import pytest

import rrjax
from paths import GOLDEN
from rrjax import BadInput, models
from rrjax.runs import architectures, defaults, network_files, torch_checkpoint, torch_files

FILES = GOLDEN / "torch_files"
MEAN, STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)
STATISTICS = {"mean": MEAN, "std": STD}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def golden():
    """The state dict of a ResNet-8 of width 2, with 5 classes."""
    return dict(torch_files.read(FILES / "torchvision_zip.pth").state)


def prefixed(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def normalizer(prefix, names):
    arrays = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    return dict(zip((prefix + name for name in names), arrays, strict=True))


def averaged(state):
    """What torch.optim.swa_utils.AveragedModel saves."""
    return {"n_averaged": np.array(3)} | prefixed("module.", state)


WRAPPED = {
    "compiled": lambda state: prefixed("_orig_mod.", state),
    "parallel": lambda state: prefixed("module.", state),
    "average": averaged,
    "lightning": lambda state: {
        "state_dict": prefixed("model.", state) | {"criterion.weight": np.ones(5, np.float32)},
        "pytorch-lightning_version": "2.5.0",
        "epoch": 3,
    },
    "net": lambda state: {"net": prefixed("module.", state), "acc": 91.2, "epoch": 199},
    "sequential": lambda state: normalizer("0.", ("mean", "std")) | prefixed("1.", state),
    "robustbench": lambda state: {
        "state_dict": normalizer("", ("mu", "sigma")) | prefixed("model.", state)
    },
    "timm": lambda state: {"arch": "resnet8", "state_dict": state, "version": 2},
    "half": lambda state: {
        name: value.astype(np.float16) if value.ndim else value for name, value in state.items()
    },
    "bfloat16": lambda state: {
        name: value.astype(ml_dtypes.bfloat16) if value.ndim else value
        for name, value in state.items()
    },
    "optimizer": lambda state: {
        "model": state,
        "optimizer": {"state": {"0": {"momentum_buffer": np.ones(3, np.float32)}}, "lr": 0.1},
    },
    "sharded": lambda state: prefixed("_fsdp_wrapped_module._checkpoint_wrapped_module.", state),
}


def check(path, rounding=0.0):
    """The file at `path` is the golden network, to a relative rounding."""
    stored = "mean and std" if path.name.startswith(("robust", "transfer", "seq")) else ""
    config, variables = network_files.read(path, None if stored else STATISTICS)
    model = config.model
    assert (model.name, model.variant, model.width, model.classes) == ("resnet8", "imagenet", 2, 5)
    np.testing.assert_allclose((model.mean, model.std), (MEAN, STD), rtol=0, atol=1e-7)
    state = torch_checkpoint.to_state_dict(variables)
    for name, value in golden().items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_allclose(state[name], value, rtol=rounding, atol=rounding)


@pytest.mark.parametrize(
    "name",
    [
        "torchvision_stream.pth",
        "torchvision_zip.pth",
        "plain.safetensors",
        "robustness_stream.pt",
        "robustness_zip.pt",
        "transfer_zip.ckpt",
    ],
)
def test_a_file_that_torch_wrote_needs_no_config(name):
    check(FILES / name)


@pytest.mark.parametrize("name", WRAPPED)
def test_a_wrapped_network_needs_no_config(name, tmp_path):
    torch_files.write(tmp_path / f"{name}.pt", WRAPPED[name](golden()))
    check(tmp_path / f"{name}.pt", {"half": 1e-3, "bfloat16": 1e-2}.get(name, 0.0))


def test_load_gives_torchs_logits_and_says_what_it_read(capsys):
    network = rrjax.load(FILES / "robustness_zip.pt", data={"path": "photographs"})
    shown = capsys.readouterr().out
    assert "robustness_zip.pt: resnet8 (imagenet, width 2), 5 classes; mean (0.4717, 0.44" in shown
    assert shown.count("\n") == 1 and shown.endswith("as in the file\n")
    data = network.config.data
    assert (data.name, data.path, data.image_size, data.resize) == (
        "folder",
        "photographs",
        224,
        256,
    )
    images = np.load(FILES / "logits.npz")
    with pytest.warns(UserWarning, match="this network learned 224 by 224"):
        logits, _ = network(images["images"] / np.float32(255), stages=())
    scale = np.abs(images["logits"]).max()
    np.testing.assert_allclose(logits, images["logits"], rtol=0, atol=1e-5 * scale)


def test_imagenets_statistics_are_assumed_aloud(capsys):
    config, _ = network_files.read(FILES / "plain.safetensors")
    assert (config.model.mean, config.model.std) == IMAGENET
    assert "ImageNet's: none is in the file" in capsys.readouterr().out


def shapes(name, variant, **model):
    config = defaults.get_config().unlock()
    config.model.update({"name": name, "variant": variant, "classes": 10} | model)
    size = 224 if variant == "imagenet" else 28 if len(config.model.mean) == 1 else 32
    return torch_checkpoint.shapes(network_files.template(config.model, size))


PRESENT = [key for key in architectures.OUTLINES if key[0] in models.MODELS]


def test_every_architecture_has_an_outline():
    assert {name for name, _ in PRESENT} == set(models.MODELS)


def test_statistics_that_contradict_the_file_are_refused():
    with pytest.raises(BadInput, match=r"normalizes with \{'mean': \(0.4717, .* leave these out"):
        network_files.read(FILES / "robustness_zip.pt", {"mean": (0.5,) * 3, "std": STD})


def refusal(tmp_path, state, model=None, weights=""):
    torch_files.write(tmp_path / "net.pth", state)
    with pytest.raises(BadInput) as caught:
        network_files.read(tmp_path / "net.pth", model, weights)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'net.pth'}: ") or model
    assert "\n" not in message
    return message


def test_two_networks_in_a_file_are_named(tmp_path):
    other = {name: np.asarray(value + 1, value.dtype) for name, value in golden().items()}
    both = {"model": golden(), "model_ema": other}
    message = refusal(tmp_path, both)
    assert "of model, model_ema: choose by weights=model or weights=model_ema" in message
    _, variables = network_files.read(tmp_path / "net.pth", STATISTICS, "ema")
    np.testing.assert_array_equal(variables["params"]["fc"]["bias"], other["fc.bias"])
    message = refusal(tmp_path, golden(), weights="ema")
    assert "holds the weights of raw alone: leave out weights='ema'" in message


def test_a_network_of_several_variants_is_not_guessed(tmp_path):
    keys = shapes("preact_resnet18", "robustbench", width=2)
    state = {name: np.ones(shape, np.float32) for name, shape in keys.items()}
    message = refusal(tmp_path, state)
    assert "a preact_resnet18 of several variants" in message
    assert 'load(..., model={"variant": "pytorch_cifar" or "robustbench"})' in message
    variant = {"variant": "robustbench"}
    message = refusal(tmp_path, state, variant)
    assert "preact_resnet18 (robustbench, width 2) without a normalization in the file" in message
    pixels = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    config, _ = network_files.read(tmp_path / "net.pth", variant | pixels)
    assert (config.model.variant, config.data.image_size) == ("robustbench", 32)


def test_another_network_is_said_to_be_none(tmp_path):
    state = golden()
    state["layer1.0.conv1.weight"] = np.ones((3, 2, 3, 3), np.float32)
    message = refusal(tmp_path, state)
    assert (
        "nearest is resnet8 (imagenet, width 2), but state dict key layer1.0.conv1.wei" in message
    )
    message = refusal(tmp_path, {"fc.weight": np.ones((2, 3), np.float32)})
    assert message.endswith("a network of 1 keys that rrjax does not have")
    message = refusal(tmp_path, golden(), {"name": "resnet9"})
    assert "there is no such network; choose from resnet8 (imagenet)" in message
    message = refusal(tmp_path, golden(), {"width": 3})
    assert message == "model: width: of a file say name, variant, mean, std"


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    state = golden()
    state["fc.bias"] = np.full(5, np.nan, np.float32)
    assert "key fc.bias holds numbers that are not finite" in refusal(tmp_path, state, STATISTICS)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(BadInput, match=r"none\.ckpt: cannot be read \(No such file"):
        rrjax.load(tmp_path / "none.ckpt")


def test_what_a_file_leaves_open_is_said_of_a_file_alone(tmp_path):
    with pytest.raises(BadInput, match="is no file: leave out model and weights"):
        rrjax.load(tmp_path, weights="ema")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant"), PRESENT)
def test_an_architecture_is_recognized_by_its_keys(name, variant):
    keys = shapes(name, variant)
    state = {key: np.broadcast_to(np.float32(1), shape) for key, shape in keys.items()}
    outline = architectures.OUTLINES[name, variant]
    assert outline.keys == len(keys) and {outline.stem, outline.head} <= keys.keys()
    (first, *_), *_ = [*architectures.candidates(state, {"name": name, "variant": variant})]
    assert (first.name, first.variant, first.classes) == (name, variant, 10)
    assert first.width == architectures.STANDARD_WIDTH
    (guess, *_) = next(architectures.candidates(state, {}))
    assert architectures.OUTLINES[guess.name, guess.variant].keys == outline.keys
