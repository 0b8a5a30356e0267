"""The table of claims: which number is read, and when a claim holds."""

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
    scores = {
        "midpoint to a real image": summary(midpoint),
        "blend to a real image": summary(blend),
    }
    return [{"network": "robust", **scores}]


def judged(workdir, *folders):
    config = config_file.get_config()
    config.folders = tuple(map(str, folders))
    claims.run(config, str(workdir))
    rows = runs.read_results(workdir)["claims"]["rows"]
    return {row["study"]: row for row in rows}


def test_a_claim_holds_where_the_intervals_do_not_meet(tmp_path):
    runs.write_results(tmp_path, "proximity", {"rows": proximity(0.2, 0.5)})
    runs.write_results(tmp_path, "interpolation", {"rows": interpolation(0.6, 0.7)})
    rows = judged(tmp_path)
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
    row = judged(tmp_path, *folders)["proximity"]
    assert (row["holds"], row["of"]) == (2, 3)
    found = [row["greater"][key] for key in ("mean", "low", "high")]
    assert found == pytest.approx([0.4, 0.1, 0.6])


def test_without_studies_there_is_nothing_to_judge(tmp_path):
    with pytest.raises(BadInput, match=r"no results of activations, .*: run these studies"):
        judged(tmp_path / "new", tmp_path)
    assert not (tmp_path / "new").exists()
