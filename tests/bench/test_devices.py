"""The benchmark of one device and of all."""

import pytest

from commands import refused, results, works

SMALL = ["model.name=tiny", "model.width=64", "image_size=16", "n=3", "steps=1", "rounds=1"]


@pytest.mark.slow
def test_one_device_and_two(tmp_path):
    command = ["bench", "--config=bench_devices", *(f"--config.{field}" for field in SMALL)]
    shown = works(*command, f"--workdir={tmp_path}").stdout
    rows = results(tmp_path)["devices"]["rows"]
    assert [row["work"] for row in rows] == ["evaluation", "inversion", "products", "sums"]
    assert results(tmp_path)["devices"]["devices"] == 2 and "times as fast" in shown
    assert all(row["one"]["median"] > 0 for row in rows)
    assert "n=0" in refused(*command, "--config.n=0")
