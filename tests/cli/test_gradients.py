"""The second paper whole: its networks are those that its studies read, and its trainings run."""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from commands import logged, works
from paths import ROOT
from rrjax.configs import manifold, retraining

# The better linf training of docs/papers.md.
TRADES = ["--config.loss.name=trades", "--config.attack.loss=kl"]
TRADES += ["--config.attack.random_start=gaussian"]

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make")


def printed(*arguments, **environment):
    """Return what make prints of launch/reproduce.mk, a command a line."""
    make = ["make", "--no-print-directory", "--file=launch/reproduce.mk", *arguments]
    done = subprocess.run(
        make, cwd=ROOT, env=os.environ | environment, capture_output=True, check=True
    )
    return done.stdout.decode().replace("\\\n", " ").splitlines()


@needs_make
def test_what_the_studies_read_is_trained(tmp_path):
    settings = tmp_path / "settings"
    settings.touch()
    data = {"DATA": "/cifar10", "MNIST": "/mnist", "FASHION_MNIST": "/fashion", "FLAGS": "--x=1"}
    lines = printed("--dry-run", "gradients-paper", SETTINGS=str(settings), **data)
    commands = [line for line in lines if "rrjax." in line]
    folder = {re.search(r"--workdir=(\S+)", line)[1]: line for line in commands if ".train" in line}
    configs = [retraining.get_config(name) for name in ("paper", "proposals")]
    configs += [manifold.get_config(name) for name in manifold.STRENGTHS]
    read = {path for config in configs for path in (config.standard, *config.more)}
    assert read | {config.manifold for config in configs[2:]} == set(folder)
    assert len(configs[0].more) == 80 and len(read) == 91 + 2 * 13
    line = folder["runs/gradients_paper/cifar10/linf_0.002_margin"]
    assert "--config=configs/kim_cifar10.py:linf,0.002,margin " in line
    assert '--config.data.path="$DATA"' in line and line.rstrip().endswith("--x=1")
    line = folder["runs/gradients_paper/fashion_mnist/linf_0.05"]
    assert "kim_mnist.py:linf,0.05 " in line and '--config.data.path="$FASHION_MNIST"' in line
    assert "--x=1" not in folder["runs/gradients_paper/mnist/vaegan"]
    studies = [line for line in commands if "rrjax.study" in line]
    asked = sorted(re.search(r"configs/(\S+)", line)[1] for line in studies)
    sets = ["cifar10", "fashion_mnist", "mnist"]
    expected = ["boundary.py", *(f"manifold.py:{name}" for name in sets)]
    expected += ["retraining.py:paper", "retraining.py:proposals", "tradeoff.py", "tradeoff.py"]
    assert asked == expected
    # Every network before the study that reads it.
    positions = {line: i for i, line in enumerate(commands)}
    (last,) = (line for line in studies if "retraining.py:paper" in line)
    trained = [folder[path] for path in configs[0].more]
    assert max(positions[line] for line in trained) < positions[last]


@needs_make
def test_a_slurm_task_for_each_network():
    names = printed("gradients-networks")[0].split()
    script = (ROOT / "launch/gradients.sbatch").read_text()
    assert f"#SBATCH --array=0-{len(names) - 1}\n" in script
    read = {f"{retraining.PAPER_ROOT}/{name}" for name in names}
    assert set(retraining.get_config("paper").more) < read


@pytest.fixture(scope="module")
def idx(tmp_path_factory):
    """Return size -> a folder of MNIST's four files, of 20 images of noise."""

    def make(size):
        folder, rng = tmp_path_factory.mktemp("idx"), np.random.default_rng(0)
        arrays = {"images-idx3": rng.integers(0, 256, (20, size, size))}
        arrays["labels-idx1"] = np.arange(20) % 10
        for name, array in arrays.items():
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            for split in ("train", "t10k"):
                content = head + array.astype(np.uint8).tobytes()
                (folder / f"{split}-{name}-ubyte").write_bytes(content)
        return folder

    return make


def train(config, folder, size, workdir, *flags):
    small = ["--config.epochs=1", "--config.batch_size=20", "--config.data.name=idx"]
    small += [f"--config.data.path={folder}", f"--config.data.image_size={size}"]
    small += [f"--config.data.resize={size}", f"--workdir={workdir}"]
    works("train", f"--config=configs/{config}", *small, *flags)
    log = logged(workdir)
    assert [line["step"] for line in log] == [1, 1]
    return log[0] | log[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "metric", "flags"),
    [
        ("kim_cifar10.py:l2,0.08,margin", "test_adversarial_accuracy", []),
        ("kim_cifar10.py:linf,0.04", "test_adversarial_accuracy", TRADES),
        ("kim_cifar10.py:penalty,0.1", "train_squared_gradient", []),
        ("kim_cifar10.py:alignment,0.1", "train_misalignment", []),
        ("kim_mnist.py:linf,0.05,margin", "test_adversarial_accuracy", []),
    ],
)
def test_the_networks_of_both_losses_and_of_penalties(config, metric, flags, idx, tmp_path):
    small = ["--config.attack.steps=1", "--config.model.name=tiny"]
    assert metric in train(config, idx(8), 8, tmp_path, *small, *flags)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "steps"),
    # Two steps of the discriminator for its five, each of which is compiled.
    [("mnist", 28, 1), ("fashion_mnist", 28, 1), ("cifar10", 8, 2)],
)
def test_the_vaegans(name, size, steps, idx, tmp_path):
    small = ["--config.model.width=2", f"--config.loss.discriminator_steps={steps}"]
    log = train(f"vaegan.py:{name}", idx(size), size, tmp_path, *small)
    assert np.isfinite([log["train_loss"], log["train_generator_loss"], log["test_psnr"]]).all()
