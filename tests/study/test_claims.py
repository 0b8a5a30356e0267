"""The table of claims: which number is read, and when a claim holds."""

import importlib

import pytest

from rrjax import BadInput, runs
from rrjax.configs import claims as config_file
from rrjax.study import claims
from rrjax.study import proximity as proximity_study

OF_UNITS = ("visualization", "activations", "regularized", "manipulation")
EXTRA = ("loss",)  # fields of rows that no column shows


def summary(mean, half=0.1):
    low, high = mean - half, mean + half
    return {"mean": mean, "low": low, "high": high, "n": 9, "interval": "t"}


def proximity(standard, robust, half=0.1):
    scores = {"distance": summary(standard)}, {"distance": summary(robust)}
    scores[1]["distance_more"] = summary(robust - standard, half)
    rows = [
        {"network": name, "radius": 2.0, **each}
        for name, each in zip(("standard", "robust"), scores, strict=True)
    ]
    return [*rows, {"network": "robust", "radius": 4.0, "distance": summary(9.0)}]


def evaluated(workdir, *folders):
    config = config_file.get_config()
    config.folders = tuple(map(str, folders))
    claims.run(config, str(workdir))
    rows = runs.read_results(workdir)["claims"]["rows"]
    return {row["study"]: row for row in rows if row["of"]}


@pytest.mark.parametrize(
    ("low", "mean", "size", "holds"),
    [
        (0.1, 0.3, 0.3, "yes"),
        (0.1, 0.29, 0.3, "in part"),
        (0.0, 0.9, 0.3, "no"),
        (-0.1, 0.9, 0.3, "no"),
        (-0.9, -0.8, 0.3, "no"),
        (float("nan"), float("nan"), 0.3, "no"),
    ],
)
def test_the_rule(low, mean, size, holds):
    difference = {"mean": mean, "low": low, "high": 1.0, "n": 9, "interval": "t"}
    assert claims.verdict(difference, size) == holds
    assert claims.verdict(difference | {"interval": "range"}, size) == "too few"


def test_seeds_that_disagree_say_in_part():
    assert claims.over_seeds(["yes", "yes"]) == "yes"
    assert claims.over_seeds(["no"]) == "no"
    assert claims.over_seeds(["yes", "no", "yes"]) == "in part"


def test_a_claim_is_of_the_difference_in_pairs(tmp_path):
    """The means' own intervals, 0.1 to 0.3 and 0.25 to 0.45, meet; that of the pairs holds no 0."""
    runs.write_results(tmp_path, "proximity", {"rows": proximity(0.2, 0.35, half=0.05)})
    row = evaluated(tmp_path)["proximity"]
    assert (row["less"]["name"], row["less"]["mean"]) == ("standard", 0.2)
    assert (row["greater"]["name"], row["greater"]["mean"]) == ("robust", 0.35)
    assert row["difference"]["mean"] == pytest.approx(0.15)
    assert (row["holds"], row["of"], row["size"]) == ("in part", 1, 0.25)
    page = (tmp_path / "report.html").read_text()
    assert "in part" in page and "not run" in page


def test_of_units_it_is_of_two_samples(tmp_path):
    rows = [
        {"network": name, "agreement_of_starts": summary(mean)}
        for name, mean in (("standard", 0.2), ("robust", 0.6))
    ]
    runs.write_results(tmp_path, "visualization", {"rows": rows})
    row = evaluated(tmp_path)["visualization"]
    reach = 0.1 * 2**0.5
    ends = [row["difference"][key] for key in ("low", "mean", "high")]
    assert ends == pytest.approx([0.4 - reach, 0.4, 0.4 + reach])
    assert row["holds"] == "yes"


def test_over_seeds_all_have_to_agree(tmp_path):
    folders = [tmp_path / str(seed) for seed in range(3)]
    for folder, robust in zip(folders, (0.5, 0.6, 0.1), strict=True):
        folder.mkdir()
        runs.write_results(folder, "proximity", {"rows": proximity(0.2, robust)})
    row = evaluated(tmp_path, *folders)["proximity"]
    assert (row["verdicts"], row["holds"]) == (["yes", "yes", "no"], "in part")
    over_seeds = [row["greater"][key] for key in ("mean", "low", "high")]
    assert over_seeds == pytest.approx([0.4, 0.1, 0.6])
    assert "in part (yes, yes, no)" in (tmp_path / "report.html").read_text()


def test_before_and_after_are_of_the_robust_network_s_inpainting(tmp_path):
    def row(network, task, before, after, **more):
        scores = {"before": summary(before), "after": summary(after)}
        scores["gained"] = summary(after - before)
        return {"network": network, "task": task, **scores, **more}

    rows = [row("standard", "inpainting", 10, 11), row("robust", "inpainting", 20, 25)]
    more = {"after_more": summary(0.6)}
    rows += [
        row("standard", "translation", 0.5, 0.3),
        row("robust", "translation", 0.6, 0.9, **more),
    ]
    runs.write_results(tmp_path, "synthesis", {"rows": rows})
    linear = [
        {"network": name, "linear_probe": summary(score), "linear_probe_more": summary(score - 2)}
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
    assert [row["holds"] for row in rows] == ["yes", "yes", "no"]


def test_every_claim_reads_a_number_that_its_study_reports():
    for claim in (claims._within(2.0), *claims.CLAIMS):
        study = importlib.import_module(f"rrjax.study.{claim.study}")
        numbers = {number.score for number in (claim.less, claim.greater)}
        paired = claim.paired.removesuffix("_more").removesuffix("_less")
        assert {"network", *claim.where, *numbers, paired} - {""} <= {*study.COLUMNS, *EXTRA}
        # Where both networks see the same examples the difference is in pairs.
        assert bool(paired) == (claim.study not in OF_UNITS)
        assert claim.size > 0


def test_the_radius_that_never_binds_is_that_of_proximity():
    (free,) = (claim for claim in claims.CLAIMS if claim.study == "proximity")
    assert free.where["radius"] == proximity_study.FREE


def test_older_results_are_refused(tmp_path):
    rows = proximity(0.2, 0.5)
    del rows[1]["distance_more"]
    runs.write_results(tmp_path, "proximity", {"rows": rows})
    with pytest.raises(BadInput, match=r"of proximity are of an older rrjax .* run that study"):
        evaluated(tmp_path)


def test_the_table_is_put_into_a_document(tmp_path):
    document = tmp_path / "README.md"
    document.write_text("Before\n<!-- ours -->\n| old |\n<!-- end of ours -->\nAfter\n")
    runs.write_results(tmp_path, "proximity", {"rows": proximity(0.2, 0.5)})
    config = config_file.get_config()
    config.update(document=str(document), table="ours")
    claims.run(config, str(tmp_path))
    lines = document.read_text().splitlines()
    assert lines[:2] == ["Before", "<!-- ours -->"]
    assert lines[2].startswith("| claim | source |") and lines[3].startswith("| --- |")
    assert (
        "| standard 0.20 [0.10, 0.30] | robust 0.50 [0.40, 0.60] | 0.30 [0.20, 0.40] |" in lines[4]
    )
    assert lines[4].endswith("| 0.25 | yes |")
    assert len(lines) == 7  # what has not run is left out
    assert lines[-2:] == ["<!-- end of ours -->", "After"]
    once = document.read_text()
    claims.run(config, str(tmp_path))
    assert document.read_text() == once
    config.table = "theirs"
    with pytest.raises(BadInput, match=r"table='theirs': the document needs the lines <!-- theirs"):
        claims.run(config, str(tmp_path))
    assert document.read_text() == once


def test_of_numbers_that_are_not_finite_no_claim_holds(tmp_path):
    nan = float("nan")
    runs.write_results(tmp_path, "proximity", {"rows": proximity(nan, nan, nan)})
    rows = evaluated(tmp_path, tmp_path)
    assert rows["proximity"]["holds"] == "no"


def test_verdicts_are_put_into_a_column_of_a_scoreboard(tmp_path):
    document = tmp_path / "README.md"
    row = "| No regularizer is needed for a unit's images to agree | yes, 0.3 | not run |"
    table = ["| claim | digits | birds |", "| --- | --- | --- |", row]
    document.write_text("\n".join(["<!-- ours -->", *table, "<!-- end of ours -->", "After"]))
    runs.write_results(tmp_path, "proximity", {"rows": proximity(0.2, 0.5)})
    config = config_file.get_config()
    config.update(document=str(document), table="ours", column="birds")
    for _ in range(2):  # again it changes nothing
        claims.run(config, str(tmp_path))
        lines = document.read_text().splitlines()
        assert lines[:4] == ["<!-- ours -->", *table]
        assert lines[4].startswith("| Within the radius of training of an image")
        assert lines[4].endswith(" | not run | yes, 0.30 |")
        assert lines[5:] == ["<!-- end of ours -->", "After"]
    config.column = "fish"
    with pytest.raises(BadInput, match=r"column='fish': choose from digits, birds"):
        claims.run(config, str(tmp_path))


def test_without_studies_there_is_nothing_to_evaluate(tmp_path):
    with pytest.raises(BadInput, match=r"no results of activations, .*: run these studies"):
        evaluated(tmp_path / "new", tmp_path)
    assert not (tmp_path / "new").exists()
