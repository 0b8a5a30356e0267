"""What the radius of training gives: curves over seeds."""

import pytest
from ml_collections import ConfigDict

from commands import refused, works
from rrjax import runs
from rrjax.study import training_eps


def test_curves_are_means_over_seeds_with_the_least_and_the_greatest():
    def row(eps, seed, accuracy, distance):
        scores = {"accuracy": accuracy, "correlation": 0.5, "distance": distance}
        return {"eps": eps, "seed": seed} | scores

    rows = [row(0.0, 0, [1.0, 0.2], 3.0), row(0.0, 1, [0.5, 0.0], 4.0)]
    rows += [row(2.0, 0, [0.75, 0.75], 1.0), row(2.0, 1, [0.25, 0.5], 2.0)]
    config = ConfigDict({"train_eps": (0.0, 2.0), "test_eps": (0.0, 1.0)})
    curves = training_eps._over_seeds(rows, config)
    names = ["accuracy at eps 0", "accuracy at eps 1", "correlation", "distance"]
    assert list(curves) == names
    assert curves["accuracy at eps 0"] == [
        {"mean": 0.75, "low": 0.5, "high": 1.0},
        {"mean": 0.5, "low": 0.25, "high": 0.75},
    ]
    assert curves["accuracy at eps 1"][1] == {"mean": 0.625, "low": 0.5, "high": 0.75}
    assert [point["mean"] for point in curves["distance"]] == [3.5, 1.5]


@pytest.mark.slow
def test_the_command(trained, tmp_path):
    for eps, name in (("0", "standard"), ("2", "robust")):
        (tmp_path / f"eps{eps}_seed0").symlink_to(trained / name)
    command = ["study", "--config=training_eps", f"--workdir={tmp_path}"]
    command += [f"--config.root={tmp_path}", "--config.seeds=(0,)", "--config.n=3"]
    command += ["--config.inversion_steps=2", "--config.attack_steps=2"]
    shown = works(*command, "--config.train_eps=(0.0, 2.0)").stdout
    rows = runs.read_results(tmp_path)["training_eps"]["rows"]
    assert [(row["eps"], row["seed"]) for row in rows] == [(0.0, 0), (2.0, 0)]
    # Of no radius, of 1 and of 2: an attack takes nothing from what is wrong already.
    assert all(row["accuracy"] == sorted(row["accuracy"], reverse=True) for row in rows)
    assert len(rows[0]["accuracy"]) == 3 and "| accuracy at eps 2 " in shown
    message = refused(*command, "--config.train_eps=(0.0, 3.0)")
    assert "eps3_seed0: not a run folder" in message
    assert "train_eps=()" in refused(*command, "--config.train_eps=()")
