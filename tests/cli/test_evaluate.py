"""Accuracy under attack, of a standard and a robust run and of a part of the test set."""

import numpy as np
import pytest

from commands import networks, results, works

pytestmark = pytest.mark.slow


def test_two_networks_are_evaluated(trained, tmp_path):
    arguments = [*networks(trained), "--config.steps=(1, 2)", "--config.eps=(0.0, 1.0)"]
    command = ["evaluate", "--config=configs/evaluate.py:paper", f"--workdir={tmp_path}"]
    shown = works(*command, *arguments)
    models = results(tmp_path)["accuracy"]["models"]
    assert {name: len(cells) for name, cells in models.items()} == {"standard": 4, "robust": 4}
    assert all(cell["n"] == 360 for cells in models.values() for cell in cells)
    assert "| robust" in shown.stdout
    page = (tmp_path / "report.html").read_text()
    assert "<h2>Accuracy under attack</h2>" in page
    for number in (0, 1):  # test images of each network, attacked, for the slider over eps
        assert f'data-file="accuracy_attacked_{number}.png"' in page


def test_an_evaluation_of_a_part_of_the_test_set_becomes_a_model_card(trained, tmp_path):
    more = f"--config.more=('{trained / 'robust'}',)"
    arguments = ["--config.standard=", "--config.robust=", "--config.n=50", more]
    arguments += ["--config.steps=(2,)", "--config.restarts=2", "--config.random_start=sphere"]
    evaluation = tmp_path / "evaluations/cifar10_standard"
    works("evaluate", "--config=configs/evaluate.py", f"--workdir={evaluation}", *arguments)
    (cells,) = results(evaluation)["accuracy"]["models"].values()
    assert [cell["n"] for cell in cells] == [50] * 4
    arguments = ["--config.name=cifar10_standard", f"--config.evaluations={evaluation.parent}"]
    works("convert", "--config=configs/card.py", f"--workdir={tmp_path}", *arguments)
    assert "worst of 2 starts" in (tmp_path / "cifar10_standard.md").read_text()


def test_a_test_set_may_hold_fewer_images_than_are_drawn(trained, tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((4, 16, 16, 1), np.uint8))
    np.save(tmp_path / "labels.npy", np.arange(4))
    (tmp_path / "classes.txt").write_text("\n".join("0123456789"))
    arguments = ["--config.standard=", f"--config.robust={trained / 'robust'}"]
    arguments += ["--config.data.name=npy", f"--config.data.path={tmp_path}"]
    arguments += ["--config.steps=(1,)", "--config.eps=(1.0,)", "--config.record=8"]
    works("evaluate", "--config=evaluate", f"--workdir={tmp_path / 'out'}", *arguments)
    ((cell,),) = results(tmp_path / "out")["accuracy"]["models"].values()
    assert cell["n"] == 4 and (tmp_path / "out/figures/accuracy_attacked_0.png").exists()
