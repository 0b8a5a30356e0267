"""Rows over devices: split, filled up, gathered."""

import jax
import jax.numpy as jnp
import numpy as np

from rrjax.core import devices
from rrjax.core.vmapped import in_local_parts, in_parts


def test_rows_lie_on_both_devices_and_those_that_fill_up_are_cut_off():
    seen = []

    def double(rows, index):
        seen.append((rows.shape, len(rows.sharding.device_set)))
        return {"double": 2 * rows, "index": index}

    rows = np.arange(5.0)
    outputs = devices.over_devices(double, rows, np.arange(5))
    np.testing.assert_array_equal(outputs["double"], 2 * rows)
    np.testing.assert_array_equal(outputs["index"], np.arange(5))
    assert seen == [((6,), 2)]


def test_a_result_is_fetched_after_the_next_was_started_but_on_a_cpu(monkeypatch):
    events = []

    def start(i):
        events.append(f"start {i}")
        return lambda: events.append(f"fetch {i}") or i

    assert devices.results(start(i) for i in range(2)) == [0, 1]
    assert events == ["start 0", "fetch 0", "start 1", "fetch 1"]
    events.clear()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert devices.results(start(i) for i in range(3)) == [0, 1, 2]
    assert events == ["start 0", "start 1", "fetch 0", "start 2", "fetch 1", "fetch 2"]
    assert devices.results([]) == []


def test_each_device_goes_over_its_own_rows():
    @jax.jit
    def running_sums(whole, rows):
        def of_device(whole, rows):
            return jax.lax.scan(lambda total, row: (total + row, total + row), whole, rows)[1]

        return devices.on_each(of_device, whole, rows)

    # Two devices of two rows: the sum begins anew on the second.
    sums = devices.over_devices(lambda rows: running_sums(jnp.float32(10), rows), np.ones(4, "f4"))
    np.testing.assert_array_equal(sums, [11, 12, 11, 12])


def test_parts_are_of_one_shape_and_in_order():
    shapes = set()

    def negative(rows):
        shapes.add(rows.shape)
        return -rows

    rows = np.arange(7.0)
    np.testing.assert_array_equal(in_parts(negative, 3, rows), -rows)
    assert shapes == {(4,)}  # 3, filled up for two devices
    chosen = in_local_parts(negative, 2, rows, rows=np.array([6, 0, 3]))
    np.testing.assert_array_equal(chosen, [-6, 0, -3])


def test_the_shares_of_processes_are_alike_and_cover_all_rows(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    shares = []
    for process in range(3):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        shares.append(devices.share(7))
    np.testing.assert_array_equal(shares, [[0, 1, 2], [3, 4, 5], [6, 0, 1]])
