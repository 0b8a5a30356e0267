"""The trainings of digits, of every kind and task, and of images that a user brings."""

import shutil

import numpy as np
import pytest
from PIL import Image

from commands import SHRUNK, logged, refused, works
from rrjax.configs import autoencoder_alexnet, autoencoder_imagenet

TRAIN = ("train", "--config=configs/robust_digits.py", *SHRUNK)


@pytest.mark.slow
def test_a_run_logs_its_training_and_its_evaluation(trained):
    for name in ("standard", "robust"):
        train, test = logged(trained / name)
        assert train["step"] == test["step"] == 2
        assert "train_loss" in train and "test_loss" in test
        assert ("test_adversarial_accuracy" in test) == (name == "robust")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linf_digits", "fast_digits", "free_digits", "trades_digits"])
def test_the_other_trainers(name, tmp_path):
    small = [*SHRUNK, "--config.eval_attack_steps=1"]
    works("train", f"--config=configs/{name}.py", f"--workdir={tmp_path}", *small)
    log = logged(tmp_path)
    assert [line["step"] for line in log] == [2, 2]
    assert "test_adversarial_accuracy" in log[1]


@pytest.mark.slow
def test_penalties(tmp_path):
    works("train", "--config=configs/penalized_digits.py", *SHRUNK, f"--workdir={tmp_path}")
    train, _ = logged(tmp_path)
    assert train["train_squared_gradient"] > 0 and 0 < train["train_misalignment"] < 2


@pytest.mark.slow
def test_a_workdir_of_another_run_is_left_alone(trained):
    def files():
        return {p: p.stat().st_mtime_ns for p in (trained / "robust").rglob("*") if p.is_file()}

    before = files()
    message = refused("train", "--config=robust_digits", f"--workdir={trained / 'robust'}")
    assert "holds another run" in message and "attack.steps was 1, now 7" in message
    assert files() == before


@pytest.mark.slow
def test_a_vaegan(vaegan):
    log = logged(vaegan)
    assert [line["step"] for line in log] == [2, 2]
    assert {"train_loss", "train_generator_loss", "train_discriminator_loss"} <= set(log[0])
    assert {"test_psnr", "test_distance"} <= set(log[1])


@pytest.mark.slow
def test_an_autoencoder(one_class):
    train, test = logged(one_class)
    assert {"train_pixel", "train_loss"} <= set(train)
    assert {"test_psnr", "test_pixel"} <= set(test)


PAPER_S_DECODERS = (
    *(f"autoencoder_alexnet:{word}" for word in autoencoder_alexnet.SETTINGS),
    *(f"autoencoder_imagenet:{word}" for word in autoencoder_imagenet.SETTINGS),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER_S_DECODERS)
def test_the_paper_s_autoencoders_on_small_images(name, trained, tmp_path):
    """Of one class, without their discriminator, which needs larger ones."""
    small = ["--config.epochs=1", "--config.batch_size=72", "--config.loss.adversarial=0.0"]
    small += ["--config.data.groups=((3,),)", "--config.data.group_names=('three',)"]
    small += [f"--config.model.encoder={trained / 'robust'}", "--config.model.stage=block2"]
    small += ["--config.model.decoder=mirror", "--config.model.mean=(0.5,)"]
    small += ["--config.loss.stage=block2", "--config.model.encoder_norm=standardize"]
    small += ["--config.model.classes=1", "--config.data.name=digits", "--config.data.workers=0"]
    small += ["--config.data.image_size=16", "--config.data.resize=16", f"--workdir={tmp_path}"]
    works("train", f"--config={name}", *small)
    log = logged(tmp_path)
    assert [line["step"] for line in log] == [2, 2]
    assert {"train_pixel", "train_feature", "train_loss"} <= set(log[0])


# A training on a folder of two classes of colored images.
OWN = (
    *TRAIN,
    "--config.data.name=folder",
    "--config.batch_size=20",
    "--config.data.crop_padding=2",
    "--config.data.flip=1",
    "--config.data.jitter=0.1",
    "--config.data.rotation=2.0",
)
COLORED = ("--config.model.mean=(0.5,0.5,0.5)", "--config.model.std=(0.2,0.2,0.2)")


@pytest.fixture
def own_folder(tmp_path):
    """A tree of images of two classes, 30 to train on and 5 to test on of each."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 30), ("test", 5)):
        for label in ("cat", "dog"):
            folder = tmp_path / "set" / split / label
            folder.mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (20 + i, 24, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.jpg")
    return tmp_path / "set"


@pytest.mark.slow
def test_your_own_folder(own_folder, tmp_path):
    workdir = tmp_path / "run"
    arguments = [*OWN, f"--config.data.path={own_folder}", f"--workdir={workdir}"]
    message = refused(*arguments)
    assert "2 classes and the model 10; set --config.model.classes=2" in message
    arguments += ["--config.model.classes=2"]
    assert "3 channels, the model takes 1: give --config.model.mean" in refused(*arguments)
    assert not workdir.exists()
    works(*arguments, *COLORED)
    assert ["train_loss" in line for line in logged(workdir)] == [True, False]


@pytest.mark.slow
def test_corrupt_images_are_passed_over_up_to_the_limit(own_folder, tmp_path):
    arguments = [*OWN, *COLORED, "--config.model.classes=2", f"--config.data.path={own_folder}"]
    first = own_folder / "train/cat/3.jpg"
    first.write_bytes(first.read_bytes()[:100])
    shown = works(*arguments, f"--workdir={tmp_path / 'run'}").stdout
    assert f"passed over (1 of at most 10): {first}: not a readable image" in shown
    stopped = ["--config.data.max_corrupt=0", f"--workdir={tmp_path / 'stopped'}"]
    message = refused(*arguments, *stopped)
    assert f"more than 0 images cannot be read, the last one: {first}" in message
    for file in own_folder.rglob("*.jpg"):
        file.write_bytes(b"no image")
    shutil.rmtree(tmp_path / "run")
    message = refused(*arguments, f"--workdir={tmp_path / 'run'}")
    assert "set/train: more than 10 images cannot be read, the last one:" in message
    assert not (tmp_path / "run").exists()
