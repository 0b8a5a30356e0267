"""What studies share: differences in pairs of examples, parts that are saved."""

import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

import memory
from rrjax.core import vmapped
from rrjax.study import comparison


def test_differences_are_in_pairs_with_the_first_network():
    first = {"psnr": np.arange(8.0), "right": np.arange(8) < 4}
    second = {"psnr": np.arange(8.0) + 1, "right": np.arange(8) < 6}
    row = comparison.in_pairs(second, first, 0)
    # Each is more by 1, whatever they are: the interval of the pairs has no width.
    more = row["psnr_more"]
    assert [more[key] for key in ("mean", "low", "high")] == pytest.approx([1, 1, 1])
    assert row["psnr"]["high"] - row["psnr"]["low"] > 3
    assert row["right_more"]["mean"] == 0.25 and row["right_more"]["interval"] == "t"
    assert comparison.in_pairs(first, first, 0).keys() == {"psnr", "right"}


def cache(folder, seed=0, weight=1.0, name="robust"):
    """Open the cache of a study of one network of one weight."""
    config = ConfigDict({"study": "doubling", "seed": seed})
    variables = {"params": {"kernel": np.float32(weight)}}
    network = SimpleNamespace(config=ConfigDict({"model": "tiny"}), variables=variables)
    return comparison.part_cache(str(folder), config, name, network)


def doubled(made, rows):
    made.append(rows.tolist())
    return {"twice": 2 * rows, "of the first": 10 * rows[rows < 2]}


def in_parts(cached, rows, label="doubling"):
    """Return the parts that were made, and the results of all."""
    made = []
    outputs = comparison.in_saved_parts(cached, label, lambda x: doubled(made, x), 2, rows)
    return made, outputs


def test_what_a_killed_study_saved_is_not_made_again(tmp_path):
    rows = np.arange(5, dtype=np.float32)
    kills = iter([False, True])

    def part(x):
        if next(kills):
            raise KeyboardInterrupt
        return doubled([], x)

    with pytest.raises(KeyboardInterrupt):
        comparison.in_saved_parts(cache(tmp_path), "doubling", part, 2, rows)
    made, outputs = in_parts(cache(tmp_path), rows)
    assert made == [[2, 3], [4]]
    assert outputs["twice"].tolist() == [0, 2, 4, 6, 8] and outputs["twice"].dtype == np.float32
    assert outputs["of the first"].tolist() == [0, 10]
    assert in_parts(cache(tmp_path), rows)[0] == []


def test_a_part_is_made_again_where_anything_it_depends_on_has_changed(tmp_path):
    rows = np.arange(4, dtype=np.float32)
    in_parts(cache(tmp_path), rows)
    for cached in (
        cache(tmp_path, seed=1),
        cache(tmp_path, weight=2.0),
        cache(tmp_path, name="standard"),
    ):
        assert in_parts(cached, rows)[0] == [[0, 1], [2, 3]]
    assert in_parts(cache(tmp_path), rows, "another search")[0] == [[0, 1], [2, 3]]
    other = np.array([0, 1, 2, 9], np.float32)  # one image of the second part is another
    assert in_parts(cache(tmp_path), other)[0] == [[2, 9]]


def test_a_part_that_was_being_written_is_made_again(tmp_path):
    rows = np.arange(2, dtype=np.float32)
    in_parts(cache(tmp_path), rows)
    (path,) = tmp_path.glob("cells/*/*.npz")
    path.rename(path.with_suffix(".draft"))
    path.with_suffix(".draft").write_bytes(b"half")
    assert in_parts(cache(tmp_path), rows)[0] == [[0, 1]]


def looked_at(n, folder):
    """Search n images for nothing, and represent them."""
    apply = jax.tree_util.Partial(lambda image: (image[0, 0], {"representation": image[0, 0]}))
    images = memory.synthetic(n)
    comparison.in_saved_parts(
        cache(folder), "means", lambda x: {"mean": x.mean((1, 2, 3))}, 16, images
    )
    vmapped.represent_images(apply, images, 16)


def test_a_study_of_many_images_holds_a_part_of_them(tmp_path):
    looked_at(32, tmp_path)  # what is imported and compiled once
    # 960 images more are 45 MiB of pixels; what is reported of each is 40 bytes.
    assert memory.grows_less(2**20, looked_at, 64, 1024, tmp_path)


def resident():
    """Return this process's resident memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is asked to release memory")
def test_memory_freed_between_what_is_kept_is_released():
    arrays = [np.ones(2**13) for _ in range(2000)]  # 64 KiB each, too small to be mapped alone
    arrays = arrays[::8]
    before = resident()
    comparison.release_freed_memory()
    # Seven of eight arrays are gone, 109 MiB; those that are left keep their values.
    assert before - resident() > 80 * 2**20
    assert all((array == 1).all() for array in arrays)
