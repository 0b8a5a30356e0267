"""The retraining benchmark: one program and a loop of steps train the same networks."""

import pytest

from commands import results, works


@pytest.mark.slow
def test_both_programs_are_as_accurate(tmp_path):
    small = ["seeds=(0,)", "counts=(26,)", "epochs=1", "batch_size=700", "rounds=1", "at_once=(1,)"]
    arguments = [*(f"--config.{change}" for change in small), f"--workdir={tmp_path}"]
    works("bench", "--config=configs/bench_retraining.py", *arguments)
    rows = results(tmp_path)["retraining_speed"]["rows"]
    assert [row["program"] for row in rows] == ["one program, 1 at once", "a loop of steps"]
    assert rows[0]["difference"] < 0.01 and rows[1]["faster"]["median"] == 1
