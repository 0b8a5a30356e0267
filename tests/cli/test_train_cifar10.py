"""The trainings of CIFAR-10 and MNIST: from a folder, from records and from idx files."""

import numpy as np
import pytest
from PIL import Image

from commands import logged, works
from rrjax.configs import autoencoder_cifar10

pytestmark = pytest.mark.slow

SMALL = (
    "--config.epochs=1",
    "--config.batch_size=18",
    "--config.attack.steps=1",
    "--config.data.workers=0",
    "--config.model.name=tiny",
    "--config.model.width=64",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A folder tree of noise: of each of ten classes 3 images to train on and one to test on."""
    root, rng = tmp_path_factory.mktemp("cifar10"), np.random.default_rng(0)
    for split, n in (("train", 3), ("test", 1)):
        for label in range(10):
            folder = root / split / str(label)
            folder.mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


def train(name, data, path, workdir):
    """Train on the set `data` in the folder `path`; return the losses of training and test."""
    arguments = [f"--config.data.name={data}", f"--config.data.path={path}", *SMALL]
    works("train", f"--config=configs/{name}.py", f"--workdir={workdir}", *arguments)
    train, test = logged(workdir)
    return train["train_loss"], test["test_loss"]


def test_a_folder_and_its_records_train_alike(tree, tmp_path):
    flags = [f"--config.folder={tree}", "--config.name=small", f"--workdir={tmp_path / 'data'}"]
    works("prepare", "--config=configs/prepare_folder.py", *flags)
    folder = train("robust_cifar10", "folder", tree, tmp_path / "folder")
    assert folder == train("robust_cifar10", "small", tmp_path / "data", tmp_path / "records")


@pytest.mark.parametrize("name", ["standard_cifar10", "small_cifar10"])
def test_the_other_trainings_of_cifar10(name, tree, tmp_path):
    assert np.isfinite(train(name, "folder", tree, tmp_path)).all()


@pytest.mark.parametrize("losses", autoencoder_cifar10.SETTINGS)
def test_a_decoder_of_a_network_that_comes_with_rrjax(losses, tree, tmp_path):
    small = [f"--config.data.path={tree}", "--config.model.stage=layer1", "--config.epochs=1"]
    small += ["--config.batch_size=18", f"--workdir={tmp_path}"]
    works("train", f"--config=configs/autoencoder_cifar10.py:{losses}", *small)
    train, test = logged(tmp_path)
    assert train["step"] == test["step"] == 1
    assert ("train_discriminator" in train) == (losses == "gan")


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
    log = logged(tmp_path / "run")
    assert [line["step"] for line in log] == [1, 1] and "test_adversarial_accuracy" in log[1]
