"""The trainings of ImageNet and of Restricted ImageNet, from the official tars to a step."""

import io

import numpy as np
import pytest
from PIL import Image

from commands import logged, works
from golden.make_imagenet import write_tars
from paths import SHARED
from rrjax.data import imagenet

pytestmark = pytest.mark.slow

SAMPLES = SHARED / "imagenet_samples"
IMAGENET = ("robust_imagenet", "robust_alexnet", "standard_imagenet", "vgg16_imagenet")
RIN = ("robust_rin", "standard_rin", "vgg16_rin")
SMALL = (
    "--config.epochs=1",
    "--config.batch_size=18",
    "--config.attack.steps=1",
    "--config.data.image_size=32",
    "--config.data.workers=0",
    "--config.model.variant=cifar",
)


def noise(seed):
    file = io.BytesIO()
    pixels = np.random.default_rng(abs(seed)).integers(0, 256, (60, 48, 3), np.uint8)
    Image.fromarray(pixels).rotate(seed).save(file, "JPEG")
    return file.getvalue()


def prepare(root, images):
    """Write the two tars of ImageNet and prepare them; return the folder of the set.

    images: class number -> JPEG files, the last one to test.
    """
    tars = root / "tars"
    tars.mkdir()
    wnids, labels = imagenet.wnids(), imagenet.validation_labels()
    train, val = {}, {}
    for number, (*files, last) in images.items():
        wnid = wnids[number]
        train[wnid] = {f"{wnid}_{i}.JPEG": content for i, content in enumerate(files)}
        val[f"ILSVRC2012_val_{labels.index(wnid) + 1:08d}.JPEG"] = last
    write_tars(tars, train, val)
    arguments = [f"--config.tars={tars}", "--config.partial=True", f"--workdir={root / 'data'}"]
    works("prepare", "--config=configs/prepare_imagenet.py", *arguments)
    return root / "data"


@pytest.fixture(scope="module")
def small_imagenet(tmp_path_factory):
    """Two images of noise of two classes of each class of Restricted ImageNet."""
    numbers = sorted(i for group in imagenet.RESTRICTED.values() for i in group[:2])
    images = {number: [noise(number), noise(-number)] for number in numbers}
    return prepare(tmp_path_factory.mktemp("imagenet"), images)


@pytest.mark.parametrize("name", RIN + IMAGENET)
def test_the_configs_of_imagenet(name, small_imagenet, tmp_path):
    small = [*SMALL, f"--config.data.path={small_imagenet}"]
    if name != "vgg16_rin":  # one VGG16 is enough to compile, and ResNet-50 is below
        small += ["--config.model.name=tiny", "--config.model.width=64"]
    shown = works("train", f"--config=configs/{name}.py", f"--workdir={tmp_path}", *small)
    if name in RIN:
        assert "restricted_imagenet/train: 18 images of 9 classes (dog 2, cat 2" in shown.stdout
    else:
        assert "imagenet2012/validation: 18 images of 1,000 classes" in shown.stdout
    log = logged(tmp_path)
    assert [line["step"] for line in log] == [1, 1]
    assert ("test_adversarial_accuracy" in log[1]) == name.startswith("robust")


def test_restricted_imagenet_at_64_pixels(tmp_path):
    """Train on a tree of Tiny ImageNet's classes, and of one that is in no group."""
    wnids = [wnid for group in imagenet.RESTRICTED_64.values() for wnid in group]
    for i, wnid in enumerate([*wnids, "n99999999"]):
        for split in ("train", "val"):
            (tmp_path / "data" / split / wnid).mkdir(parents=True)
            (tmp_path / "data" / split / wnid / "0.JPEG").write_bytes(noise(i))
    small = ["--config.model.name=tiny", "--config.model.variant=cifar", "--config.model.width=64"]
    small += ["--config.epochs=1", "--config.data.image_size=16", "--config.data.resize=16"]
    small += [f"--config.data.path={tmp_path / 'data'}", "--config.batch_size=18"]
    run = f"--workdir={tmp_path / 'run'}"
    shown = works("train", "--config=configs/rin64.py:linf,4/255", run, *small).stdout
    assert "train: 36 images of 9 classes (dog 6, cat 5, amphibian 3, reptile 2, bird 4" in shown
    assert "test_adversarial_accuracy" in logged(tmp_path / "run")[-1]
    decoder = [f"--config.model.encoder={tmp_path / 'run'}", "--config.model.stage=block1"]
    decoder += [field for field in small if "model" not in field]
    decoder += [f"--workdir={tmp_path / 'decoder'}", "--config.loss.discriminator_stride=1"]
    works("train", "--config=configs/autoencoder_rin64.py", *decoder)
    assert "test_psnr" in logged(tmp_path / "decoder")[-1]


@pytest.mark.skipif(not SAMPLES.exists(), reason="needs ../shared/data/imagenet_samples")
def test_a_step_of_robust_rin_on_photographs(tmp_path):
    """Train a narrow ResNet-50 at 224 pixels, with a photograph of each of the nine classes."""
    wnids = imagenet.wnids()
    photographs = {}
    for group in imagenet.RESTRICTED.values():
        (file,) = (SAMPLES / wnids[group[0]]).iterdir()
        photographs[group[0]] = [file.read_bytes()] * 2
    data = prepare(tmp_path, photographs)
    small = ["--config.batch_size=4", "--config.epochs=1", "--config.data.workers=2"]
    small += ["--config.model.width=8", "--config.attack.steps=1", f"--config.data.path={data}"]
    works("train", "--config=configs/robust_rin.py", f"--workdir={tmp_path / 'run'}", *small)
    log = logged(tmp_path / "run")
    assert [line["step"] for line in log] == [2, 2]
    assert "train_loss" in log[0] and "test_adversarial_accuracy" in log[1]
