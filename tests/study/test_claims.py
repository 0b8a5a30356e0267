"""The table of claims: which number is read, and when a claim holds."""

import importlib

import pytest

from rrjax import runs
from rrjax.configs import claims as config_file
from rrjax.errors import BadInput
from rrjax.study import claims


def summary(mean):
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": 9}


def proximity(standard, robust):
    distances = {("standard", 2.0): standard, ("robust", 2.0): robust, ("robust", 4.0): 9.0}
    return [
        {"network": name, "radius": radius, "distance": summary(distance)}
        for (name, radius), distance in distances.items()
    ]


def interpolation(midpoint, blend):
    scores = {"midpoint_to_real": summary(midpoint), "blend_to_real": summary(blend)}
    return [{"network": "robust", **scores}]


def evaluated(workdir, *folders):
    config = config_file.get_config()
    config.folders = tuple(map(str, folders))
    claims.run(config, str(workdir))
    rows = runs.read_results(workdir)["claims"]["rows"]
    return {row["study"]: row for row in rows}


def test_a_claim_holds_where_the_intervals_do_not_meet(tmp_path):
    runs.write_results(tmp_path, "proximity", {"rows": proximity(0.2, 0.5)})
    runs.write_results(tmp_path, "interpolation", {"rows": interpolation(0.6, 0.7)})
    rows = evaluated(tmp_path)
    near, between = rows["proximity"], rows["interpolation"]
    assert (near["less"]["name"], near["less"]["mean"]) == ("standard", 0.2)
    assert (near["greater"]["name"], near["greater"]["mean"]) == ("robust", 0.5)
    assert (near["holds"], near["of"]) == (1, 1)
    assert (between["holds"], between["of"]) == (0, 1)  # .7 is not below .6
    assert rows["manipulation"]["of"] == 0
    assert "not run" in (tmp_path / "report.html").read_text()


def test_over_seeds_it_is_counted(tmp_path):
    folders = [tmp_path / str(seed) for seed in range(3)]
    for folder, robust in zip(folders, (0.5, 0.6, 0.1), strict=True):
        folder.mkdir()
        runs.write_results(folder, "proximity", {"rows": proximity(0.2, robust)})
    row = evaluated(tmp_path, *folders)["proximity"]
    assert (row["holds"], row["of"]) == (2, 3)
    over_seeds = [row["greater"][key] for key in ("mean", "low", "high")]
    assert over_seeds == pytest.approx([0.4, 0.1, 0.6])


def test_it_holds_only_where_the_whole_intervals_are_apart(tmp_path):
    """Means of 0.2 and 0.35 have intervals that share 0.25 to 0.3."""
    runs.write_results(tmp_path, "proximity", {"rows": proximity(0.2, 0.35)})
    row = evaluated(tmp_path)["proximity"]
    assert row["less"]["mean"] < row["greater"]["mean"]
    assert (row["holds"], row["of"]) == (0, 1)


def test_before_and_after_are_of_the_robust_network_s_inpainting(tmp_path):
    def row(network, task, before, after):
        scores = {"before": summary(before), "after": summary(after)}
        return {"network": network, "task": task, **scores}

    rows = [row("standard", "inpainting", 10, 11), row("robust", "inpainting", 20, 25)]
    rows += [row("standard", "translation", 0.5, 0.3), row("robust", "translation", 0.6, 0.9)]
    runs.write_results(tmp_path, "synthesis", {"rows": rows})
    linear = [
        {"network": name, "linear_probe": summary(score)}
        for name, score in (("standard", 2), ("robust", 1), ("pixels", 3))
    ]
    runs.write_results(tmp_path, "transfer", {"rows": linear})
    config = config_file.get_config()
    claims.run(config, str(tmp_path))
    rows = [row for row in runs.read_results(tmp_path)["claims"]["rows"] if row["of"]]
    numbers = [
        [(row[side]["name"], row[side]["mean"]) for side in ("less", "greater")] for row in rows
    ]
    assert numbers == [
        [("standard", 0.3), ("robust", 0.9)],
        [("before", 20), ("after", 25)],
        [("standard", 2), ("robust", 1)],
    ]
    assert [row["holds"] for row in rows] == [1, 1, 0]


def test_every_claim_reads_a_number_that_its_study_reports():
    for claim in (claims._within(2.0), *claims.CLAIMS):
        columns = importlib.import_module(f"rrjax.study.{claim.study}").COLUMNS
        numbers = (claim.less, claim.greater)
        assert {"network", *claim.where, *(number.score for number in numbers)} <= set(columns)


def test_without_studies_there_is_nothing_to_evaluate(tmp_path):
    with pytest.raises(BadInput, match=r"no results of activations, .*: run these studies"):
        evaluated(tmp_path / "new", tmp_path)
    assert not (tmp_path / "new").exists()
