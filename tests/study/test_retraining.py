"""Which pixels matter: curves, areas and trends of accuracies that are known."""

import hashlib

import numpy as np
import pytest
from ml_collections import ConfigDict

from commands import networks, refused, works
from rrjax import runs
from rrjax.evaluate import roar
from rrjax.study import retraining

CONFIG = ConfigDict({"percents": (10, 90), "scores": ("ROAR", "KAR", "DiffROAR")})


def spread(median):
    return {"median": median, "low": median, "high": median}


def test_a_curve_runs_from_nothing_to_everything_removed():
    accuracy, whole = np.array([[0.8, 0.5, 0.2]]), np.array([[0.9]])
    removed = retraining._curve(accuracy, whole, False, classes=10)
    np.testing.assert_allclose(removed, [[0.9, 0.8, 0.5, 0.2, 0.1]])
    # Where 10 % are kept 90 % are removed.
    kept = retraining._curve(accuracy, whole, True, classes=10)
    np.testing.assert_allclose(kept, [[0.9, 0.2, 0.5, 0.8, 0.1]])


def test_scores_of_accuracies_by_hand():
    """Two seeds, whose second network has nothing that random pixels have not."""
    accuracies = {
        ("net", "gradient", False): np.array([[0.8, 0.3], [0.9, 0.5]]),
        ("net", "gradient", True): np.array([[0.5, 0.9], [0.5, 0.9]]),
        ("", "random", False): np.array([[0.9, 0.5], [0.9, 0.5]]),
        ("", "random", True): np.array([[0.4, 0.8], [0.5, 0.9]]),
    }
    whole = np.array([[1.0], [1.0]])
    curves = {k: retraining._curve(a, whole, k[2], classes=10) for k, a in accuracies.items()}
    row = retraining._scores("net", "gradient", accuracies, curves, CONFIG)
    # Trapezoids at 10 % and 90 %: each point counts (0.1 + 0.8) / 2.
    assert row["roar"] == pytest.approx({"median": 0.0675, "low": 0, "high": 0.135})
    assert row["kar"] == pytest.approx({"median": 0.045, "low": 0, "high": 0.09})
    # First pixels less last: .5 - .3 and .9 - .8; .5 - .5 and .9 - .9.
    assert row["diff_roar"] == pytest.approx({"median": 0.075, "low": 0, "high": 0.15})
    np.testing.assert_array_equal(row["removed"], accuracies["net", "gradient", False])
    random = retraining._scores("", "random", accuracies, curves, CONFIG)
    assert random["roar"] == random["kar"] == spread(0)


def test_trends_are_rank_correlations_with_the_radius_within_a_norm():
    def row(norm, eps, roar_score, kar_score):
        scores = {"roar": spread(roar_score), "kar": spread(kar_score)}
        return {"attribution": "gradient", "norm": norm, "eps": eps} | scores

    rows = [row("l2", 0.0, 0.1, 0.9), row("l2", 1.0, 0.2, 0.5), row("l2", 2.0, 0.9, 0.1)]
    rows += [row("linf", 0.1, 0.0, 0.0), {"attribution": "edges", "roar": spread(0.0)}]
    (trend,) = retraining._trends(rows, ("ROAR", "KAR"))
    assert (trend["norm"], trend["attribution"], trend["n"]) == ("l2", "gradient", 3)
    assert trend["roar"] == pytest.approx(1) and trend["kar"] == pytest.approx(-1)
    # Of 0, 1, 2 and 0.1, 0.2, 0.9: the covariance is 0.8 / 3, the deviations' product that of
    # sqrt(2 / 3) and sqrt(0.38 / 3).
    assert trend["roar_pearson"] == pytest.approx(0.8 / (2 * 0.38) ** 0.5)
    rows.append(row("linf", 0.2, -0.1, 0.95))
    linf = retraining._trends(rows, ("ROAR", "KAR"))[1]  # with the standard network: 3 radii
    assert (linf["norm"], linf["n"]) == ("linf", 3)
    assert linf["roar"] == pytest.approx(-1) and linf["kar"] == pytest.approx(0.5)


def test_a_network_belongs_to_the_series_of_its_training():
    def strength(eps=0.0, loss="cross_entropy", gradient=0.0, alignment=0.0):
        attack = {"norm": "linf", "eps": eps, "loss": loss}
        penalties = {"gradient_penalty": gradient, "alignment_penalty": alignment}
        return retraining._strength(ConfigDict({"attack": attack, "loss": penalties}))

    assert strength() == ("linf", 0.0)  # a standard network: of every series
    assert strength(0.5) == ("linf", 0.5)
    assert strength(0.5, "margin") == ("linf, margin", 0.5)
    assert strength(gradient=0.1) == ("gradient penalty", 0.1)
    assert strength(alignment=0.3) == ("alignment penalty", 0.3)


def test_of_many_networks_the_ends_of_each_series_are_drawn():
    facts = {"attribution": "gradient"}
    rows = [{"network": "standard", "norm": "l2", "eps": 0.0} | facts]
    for norm in ("l2", "linf"):
        rows += [{"network": f"{norm}_{i}", "norm": norm, "eps": i} | facts for i in range(1, 6)]
    rows.append({"network": "none", "attribution": "edges"})
    assert retraining._shown(rows) == {"standard", "l2_5", "linf_5", ""}
    assert retraining._shown(rows[:4]) == {"standard", "l2_1", "l2_2", "l2_3", ""}


def test_counts_are_the_paper_s_percentiles(monkeypatch):
    monkeypatch.setattr(roar, "retrain", lambda *arguments, **options: (arguments[4], options))
    images = np.stack([np.full((32, 32, 1), value, np.float32) for value in (0.2, 0.6)])
    ranked = roar.Ranked(images, np.zeros(2, int), np.zeros((2, 32, 32), int))
    settings = {"seeds": (0,), "learning_rate": 0.1, "epochs": 1, "train_batch_size": 2}
    config = ConfigDict(settings | {"at_once": 1})
    make = lambda: {"train": ranked, "test": ranked}  # noqa: E731
    counts, options = retraining._retrain(None, config, make, True, (0, 10, 90, 100))
    assert counts.tolist() == [0, 103, 921, 1023]
    assert options["invert_mask"] and options["fill"] == pytest.approx([0.4])


@pytest.mark.slow
def test_the_command_goes_on_and_scores_what_is_asked_for(trained, tmp_path):
    command = ["study", "--config=retraining", *networks(trained), f"--workdir={tmp_path}"]
    command += ["--config.seeds=(0,)", "--config.epochs=1", "--config.percents=(20,80)"]
    command += ["--config.train_n=200", "--config.test_n=100"]
    works(*command)
    results = runs.read_results(tmp_path)["retraining"]
    assert len(results["rows"]) == 2 * 2 + 4
    assert np.shape(results["rows"][0]["removed"]) == (1, 2)
    assert np.shape(results["whole"]) == (1, 1)
    random = next(row for row in results["rows"] if row["attribution"] == "random")
    assert random["roar"]["median"] == random["kar"]["median"] == 0
    # One that was interrupted goes on: what is written down is not made again.
    (folder,) = (tmp_path / "cells").iterdir()
    assert len(list(folder.iterdir())) == 2 * 8 + 1
    first, another = (
        folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"
        for key in ("standard, gradient, False", "whole")
    )
    np.savez(first, accuracy=[[0.25, 0.75]])
    another.rename(another.with_suffix(".draft"))  # a kill while it was written
    works(*command)
    again = runs.read_results(tmp_path)["retraining"]
    assert again["rows"][0]["removed"] == [[0.25, 0.75]]
    assert again["rows"][1:] == results["rows"][1:] and again["whole"] == results["whole"]
    message = refused("study", "--config=tradeoff", f"--workdir={tmp_path}")
    assert "fewer than 3 networks of one norm" in message
    # One score, and no controls but random pixels: the same networks, the same score.
    less = ["--config.scores=('ROAR',)", "--config.controls=False"]
    shown = works(*command, *less, "--config.attributions=('gradient',)").stdout
    alone = runs.read_results(tmp_path)["retraining"]["rows"]
    assert [row["attribution"] for row in alone] == ["gradient", "gradient", "random"]
    assert not {"kar", "diff_roar", "kept"} & set(alone[0])
    assert alone[1]["roar"] == results["rows"][2]["roar"]
    assert "| ROAR " in shown and "KAR" not in shown
    assert "epochs=0: give epochs of at least 1" in refused(*command, "--config.epochs=0")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "fractions", "attributions"),
    [
        ("cifar10", 3, ["gradient", "gradient x input"]),
        ("paper", 5, ["gradient", "gradient x input"]),
        (
            "proposals",
            5,
            ["gradient", "gradient x input", "integrated gradients", "DeepLIFT", "LRP", "Grad-CAM"],
        ),
    ],
)
def test_settings_shrunk(settings, fractions, attributions, trained, tmp_path):
    command = ["study", f"--config=retraining:{settings}", "--config.more=()"]
    command += ["--config.standard=", f"--config.robust={trained / 'robust'}"]
    command += ["--config.model=tiny", "--config.seeds=(0,)", "--config.epochs=1"]
    command += ["--config.train_n=200", "--config.test_n=100", "--config.controls=False"]
    works(*command, "--config.scores=('ROAR',)", f"--workdir={tmp_path}")
    rows = runs.read_results(tmp_path)["retraining"]["rows"]
    assert [row["attribution"] for row in rows] == [*attributions, "random"]
    removed = [row["removed"] for row in rows]
    assert np.shape(removed) == (len(rows), 1, fractions)
    message = refused(*command, "--config.attributions=('gradients',)", f"--workdir={tmp_path}")
    assert "attributions=('gradients',)" in message and "'LRP', 'Grad-CAM'" in message


def test_no_test_image_has_the_random_mask_of_a_training_image():
    config = ConfigDict({"batch_size": 8, "blur": 1.0, "seed": 0})
    images = np.zeros((8, 12, 12, 1), np.float32)
    ranks = [retraining._ranks(None, "random", each, images, config) for each in ("train", "test")]
    assert len({mask.tobytes() for mask in np.concatenate(ranks)}) == 16


@pytest.mark.slow
def test_other_images_under_the_same_path_are_trained_on_anew(trained, tmp_path):
    def write(seed):
        rng = np.random.default_rng(seed)
        for split, n in (("train", 64), ("test", 32)):
            folder = tmp_path / "data" / split
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / "images.npy", rng.integers(0, 256, (n, 16, 16, 1), np.uint8))
            np.save(folder / "labels.npy", np.arange(n) % 10)

    command = ["study", "--config=retraining", *networks(trained), f"--workdir={tmp_path}"]
    command += ["--config.data.name=npy", f"--config.data.path={tmp_path / 'data'}"]
    command += ["--config.seeds=(0,)", "--config.epochs=1", "--config.percents=(50,)"]
    command += ["--config.scores=('ROAR',)", "--config.controls=False", "--config.train_n=64"]
    command += ["--config.attributions=('gradient',)", "--config.test_n=32"]
    for seed in range(2):
        write(seed)
        works(*command)
        works(*command)  # which reads what it saved
        assert len([*(tmp_path / "cells").iterdir()]) == seed + 1
