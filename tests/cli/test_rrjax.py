"""The one command: photographs to pictures, lists, and the other commands by name."""

import configparser
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import rrjax
from commands import SHRUNK, results
from paths import ROOT
from rrjax import __main__ as command
from rrjax import cli

STUDIES = [
    path.stem for path in (ROOT / "rrjax/study").glob("[a-z]*.py") if path.stem != "comparison"
]


@pytest.fixture
def rrjax_command(capsys, monkeypatch, tmp_path):
    """Return (arguments) -> exit code and output of `rrjax ARGUMENTS` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(*arguments):
        try:
            command.main(["rrjax", *map(str, arguments)])
        except SystemExit as end:
            return end.code, capsys.readouterr()
        return 0, capsys.readouterr()

    return run


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    return "photo.jpg"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["invert", "--steps=2"], "photo.jpg: distance "),
        (["invert", "--steps=1", "--start=photo.jpg", "--batch-size=1"], "1 l2 steps"),
        (["visualize", "--unit=3", "--unit=4", "--steps=1"], "unit 4: seen as "),
        (["visualize", "--logit=7", "--steps=1"], "7: seen as "),
        (["visualize", "--channel=block1:2", "--steps=1"], "block1:2: seen as "),
        (["towards", "--steps=1"], "towards 7: seen as "),
        (["attack", "--steps=1", "--eps=8/255", "--norm=linf"], "linf 0.0314"),
        (["saliency", "--method=gradient_x_input"], "gradient_x_input of the logit"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_picture_of_a_photograph(arguments, said, trained, photo, rrjax_command, tmp_path):
    name, *options = arguments
    words = [name, trained / "robust", *(["7"] if name == "towards" else []), photo, *options]
    code, shown = rrjax_command(*words, "-o", "out.png")
    assert code == 0, shown.err
    assert said in shown.out and "wrote out.png" in shown.out
    assert np.asarray(Image.open(tmp_path / "out.png")).std() > 1


def test_without_a_photograph_it_starts_from_gray(trained, rrjax_command, tmp_path):
    code, shown = rrjax_command("towards", trained / "robust", "3", "--steps=1")
    assert code == 0 and "wrote towards.png" in shown.out and (tmp_path / "towards.png").exists()


def test_predictions_are_printed(trained, photo, rrjax_command, tmp_path):
    code, shown = rrjax_command("predict", trained / "robust", photo, photo, "--top=2")
    lines = [line for line in shown.out.splitlines() if line.startswith("photo.jpg: ")]
    assert code == 0 and len(lines) == 2 and lines[0].count("%") == 2
    assert not [*tmp_path.glob("*.png")]


def test_maps_of_zeros_and_names_with_dollars_are_drawn(trained, photo, rrjax_command, tmp_path):
    """Grad-CAM ends in a ReLU; so short a step changes nothing; $...$ is mathematics."""
    name = "cost_$5_and_$x_y.jpg"
    (tmp_path / photo).rename(tmp_path / name)
    for label in range(10):
        command = ["saliency", trained / "robust", name, "--method=grad_cam", f"--label={label}"]
        code, shown = rrjax_command(*command, "-o", "out.png")
        assert code == 0, shown.err
    code, shown = rrjax_command("attack", trained / "robust", name, "--eps=1e-9", "--steps=1")
    assert code == 0 and f"{name}: " in shown.out, shown.err


@pytest.mark.parametrize(
    ("option", "said"), [("--eps=8/0", "invalid number value: '8/0'"), ("--batch-size=0", "'0'")]
)
def test_numbers_that_are_none_are_refused(option, said, rrjax_command):
    code, shown = rrjax_command("attack", "cifar10_standard", "photo.jpg", option)
    assert code == 2 and said in shown.err and shown.err.count("\n") == 1


def test_a_classifier_is_not_taken_for_a_decoder(photo, rrjax_command):
    code, shown = rrjax_command("reconstruct", "cifar10_standard", photo)
    assert code == 2 and "cifar10_standard: a classifier; here a run folder" in shown.err


@pytest.mark.slow
def test_a_decoder_reconstructs(one_class, photo, rrjax_command):
    code, shown = rrjax_command("reconstruct", one_class, photo)
    assert code == 0 and "wrote reconstruct.png" in shown.out


def test_help_lists_commands_configs_and_studies(rrjax_command):
    code, shown = rrjax_command("--help")
    assert code == 0
    words = shown.out.replace(",", " ").split()
    configs = {path.stem for path in (ROOT / "configs").glob("*.py")}
    assert configs <= set(words) and {"invert", "doctor", "train"} <= set(words)


def test_every_config_is_of_one_command():
    listed = {c for name in command.MODULES for c in cli.shipped_configs(f"rrjax.{name}")}
    assert listed == set(cli.shipped_configs())
    assert all(line.strip() for line in cli.shipped_configs().values())


def test_help_lists_a_configs_fields(rrjax_command):
    code, shown = rrjax_command("study", "--help")
    assert code == 0 and "\n  inversion " in shown.out and "robust_digits" not in shown.out
    code, shown = rrjax_command("study", "--config=inversion", "--help")
    assert code == 0 and "--config.step_size=0.1\n" in shown.out
    assert "--config.data.path=''\n" in shown.out


def test_the_console_script_is_the_command():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    script = settings["options.entry_points"]["console_scripts"].strip()
    assert script == f"rrjax = {command.main.__module__}:{command.main.__name__}"


def test_lists(rrjax_command):
    code, shown = rrjax_command("list")
    assert code == 0
    for name in (*rrjax.models_available(), *STUDIES[:3], "robust_digits"):
        assert name in shown.out
    code, shown = rrjax_command("list", "--published")
    assert code == 0 and "resnet50_l2_eps3" in shown.out


def test_what_a_run_is(trained, rrjax_command):
    code, shown = rrjax_command("info", trained / "robust")
    facts = dict(line.split("  ", 1) for line in shown.out.splitlines())
    facts = {key: value.strip() for key, value in facts.items()}
    assert code == 0 and facts["images"] == "16x16x1" and facts["checkpoints at step"] == "2"
    assert facts["trained against"] == "l2, eps 2"
    code, shown = rrjax_command("info", "rin64_standard")
    assert code == 0 and "# rin64_standard" in shown.out
    code, shown = rrjax_command("info", "resnet50_l2_eps3")
    assert code == 0 and "Salman et al. 2020" in shown.out


def test_what_this_machine_is(rrjax_command):
    code, shown = rrjax_command("doctor")
    assert code == 0 and "device 1" in shown.out and "cache of programs" in shown.out
    assert "JAX_PLATFORMS=cpu is set" in shown.out


@pytest.mark.slow
def test_the_other_commands_by_name(rrjax_command, tmp_path):
    code, shown = rrjax_command("train", "--config=robust_digits", *SHRUNK, "--workdir=run")
    assert code == 0, shown.err
    assert json.loads((tmp_path / "run/config.json").read_text())["data"]["class_names"][9] == "9"
    evaluate = ["evaluate", "--config=evaluate", "--config.standard=", "--config.robust=run"]
    evaluate += ["--config.n=4", "--config.steps=(1,)", "--config.eps=(0.,)", "--workdir=out"]
    rrjax.save_images("mine", np.zeros((4, 16, 16, 1), np.float32), [0, 1, 2, 9])
    evaluate += ["--config.data.name=npy", "--config.data.path=mine"]
    code, shown = rrjax_command(*evaluate)
    assert code == 0, shown.err
    assert results(tmp_path / "out")["accuracy"]["models"]["robust"][0]["n"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["invrt"], "invalid choice: 'invrt' (choose from 'predict', 'invert'"),
        (["invert"], "the following arguments are required: network, photographs"),
        (["invert", "cifar10_robust", "photo.jpg"], "not a run folder"),
        (["invert", "RUN", "phto.jpg"], "phto.jpg: cannot be read (No such file"),
        (["invert", "RUN", "photo.jpg", "--steps=ten"], "argument --steps: invalid int value"),
        (["invert", "RUN", "photo.jpg", "--step=3"], "ambiguous option: --step=3"),
        (["invert", "RUN", "photo.jpg", "--steps=-3"], "steps=-3: it must not be negative"),
        (["invert", "RUN", "photo.jpg", "-o", "out.gif"], "name a file with one of .png, .jpg"),
        (["invert", "RUN", "photo.jpg", "-o", "no/out.png"], "there is no folder no"),
        (["visualize", "RUN"], "one of the arguments --unit --logit --channel is required"),
        (["visualize", "RUN", "--channel=block1"], "give a stage and a number, as layer3:5"),
        (["visualize", "RUN", "--unit=9999"], "unit=9999: there are"),
        (["towards", "RUN", "dog", "photo.jpg"], "no class 'dog': there are 0, 1, 2"),
        (["attack", "RUN", "photo.jpg", "--eps=8", "--norm=linf"], "did you mean 8/255?"),
        (["saliency", "RUN", "photo.jpg", "--method=grad"], "invalid choice: 'grad'"),
        (["reconstruct", "RUN", "photo.jpg"], "a tiny, not an autoencoder"),
        (["info", "runs/none"], "runs/none: not a run folder"),
        (["study", "--config=inversoin"], "neither a file nor a shipped config"),
        (["train", "--config=robust_digits", "--config.atack.eps=1"], "did you mean attack.eps?"),
        (["evaluate", "--config=evaluate", "--config.data.name=npy"], "not a run folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_mistake_is_answered_by_one_line(arguments, message, trained, photo, rrjax_command):
    words = [trained / "robust" if word == "RUN" else word for word in arguments]
    code, shown = rrjax_command(*words)
    assert code == 2
    (line,) = shown.err.strip().splitlines()
    assert line.startswith("error: ") and message in line


def test_a_reader_of_a_list_may_stop():
    """As `head` does: `rrjax list | head -n 1`."""
    command = [sys.executable, "-m", "rrjax", "list"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
