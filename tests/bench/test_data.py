"""The benchmark of loaders: each one has a row, on photographs and on a user's files."""

import io

import numpy as np
import pytest
from PIL import Image

from commands import refused, results, works

# A loader reads some 500 images ahead: small ones.
SMALL = ("n=4", "batch_size=2", "batches=1", "rounds=1", "workers=(0,)")
SMALL += ("transform.image_size=16", "transform.resize=16")


@pytest.fixture
def command(tmp_path):
    """The command line of a small benchmark."""
    fields = [f"--config.{change}" for change in SMALL]
    return ["bench", "--config=configs/bench_data.py", f"--workdir={tmp_path / 'bench'}", *fields]


@pytest.mark.slow
def test_loaders_of_photographs(command, tmp_path):
    shown = works(*command, "--config.workers=(0,1)").stdout
    rows = results(tmp_path / "bench")["data"]["loaders"]
    assert [row["loader"] for row in rows][:5] == [
        "Pillow loop",
        *(f"rrjax, {decoder}, {w} workers" for decoder in ("Pillow", "simplejpeg") for w in (0, 1)),
    ]
    assert all(row["per_core"]["median"] > 0 for row in rows)
    assert rows[0]["per_core_ratio"]["median"] == 1
    assert "| Pillow loop" in shown


@pytest.mark.slow
def test_loaders_of_a_users_files(command, tmp_path):
    folder = tmp_path / "tree/train/noise"
    folder.mkdir(parents=True)
    file = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (60, 48, 3), np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    (folder / "1.jpg").write_bytes(file.getvalue())
    command += [f"--config.path={tmp_path / 'tree'}"]
    works(*command)
    (folder / "1.jpg").write_bytes(b"GIF")
    assert "1.jpg: not a JPEG file" in refused(*command)
