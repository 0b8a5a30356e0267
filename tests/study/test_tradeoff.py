"""What interpretability costs: the line through networks' scores and accuracies."""

import json

import pytest

from commands import refused, works
from rrjax import runs
from rrjax.study import tradeoff


def row(eps, accuracy, score, norm="l2", attribution="gradient"):
    """A network's row, as the study of retraining leaves it: scores are medians over seeds."""
    median = {"median": score, "low": score - 0.1, "high": score + 0.1}
    scores = dict.fromkeys(("roar", "kar", "diff_roar"), median)
    facts = {"attribution": attribution, "norm": norm, "eps": eps}
    return {**facts, **scores, "accuracy": interval(accuracy)}


def interval(mean):
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "interval": "binomial"}


ROWS = [row(0.0, 0.9, 0.1), row(1.0, 0.8, 0.2), row(2.0, 0.6, 0.4)]
CONTROL = {"attribution": "random", "roar": {"median": 0.0}}


def test_standard_networks_belong_to_every_norm_and_controls_to_none():
    linf = [row(0.1, 0.7, 0.3, "linf"), row(0.2, 0.5, 0.5, "linf")]
    blurred = row(1.0, 0.8, 0.2, attribution="gradient, blurred")
    series = tradeoff._series([*ROWS, *linf, blurred, CONTROL])
    assert series == {("gradient", "l2"): ROWS, ("gradient", "linf"): [ROWS[0], *linf]}
    assert list(tradeoff._series([*ROWS, linf[0]])) == [("gradient", "l2")]  # two are too few


def test_a_penalty_is_a_row_of_its_own():
    """Its networks, without an adversary, belong to no norm's line; the standard one to all."""
    penalized = [row(0.1, 0.85, 0.15, "gradient penalty"), row(1.0, 0.7, 0.3, "gradient penalty")]
    series = tradeoff._series([*ROWS, *penalized])
    assert series == {
        ("gradient", "gradient penalty"): [ROWS[0], *penalized],
        ("gradient", "l2"): ROWS,
    }


def test_the_fit_of_points_on_a_line_is_the_line():
    fit = tradeoff._fit(ROWS, "roar")
    assert fit["n"] == 3 and fit["pearson"] == fit["spearman"] == pytest.approx(-1)
    assert (fit["slope"], fit["intercept"]) == pytest.approx((-1, 1))
    off = [row(0.0, 0.0, 0.0), row(1.0, 1.0, 3.0), row(2.0, 2.0, 3.0)]
    fit = tradeoff._fit(off, "kar")
    assert (fit["slope"], fit["intercept"]) == pytest.approx((1.5, 0.5))
    assert fit["pearson"] == pytest.approx(3 / 12**0.5)


def test_the_command(tmp_path):
    written = {"retraining": {"rows": [*ROWS, CONTROL]}}
    (tmp_path / "results.json").write_text(json.dumps(written))
    shown = works("study", "--config=tradeoff", f"--workdir={tmp_path}").stdout
    rows = runs.read_results(tmp_path)["tradeoff"]["rows"]
    assert [each["score"] for each in rows] == ["ROAR", "KAR", "DiffROAR"]
    for each in rows:
        assert each["n"] == 3 and each["spearman"] == pytest.approx(-1)
        assert (each["slope"], each["intercept"]) == pytest.approx((-1, 1))
    assert "-1.000" in shown
    assert (tmp_path / "figures/tradeoff_ROAR.png").exists()
    rows = [row(eps, 0.5, 0.1) for eps in (0.0, 1.0, 2.0)]
    (tmp_path / "results.json").write_text(json.dumps({"retraining": {"rows": rows}}))
    message = refused("study", "--config=tradeoff", f"--workdir={tmp_path}")
    assert "the l2 networks are all as accurate" in message
    message = refused("study", "--config=tradeoff", f"--workdir={tmp_path / 'none'}")
    assert "holds no results of configs/retraining.py" in message
