"""Prefetching: the same batches in order, errors passed on, and a wait counted when it is one."""

import time

import pytest

from rrjax.train.prefetch import prefetched


class Array:
    """What the loop asks of a jax array: whether it is there by now."""

    def __init__(self, ready):
        self.is_ready = lambda: ready


def counted(n, seconds=0.0, closed=None):
    try:
        for i in range(n):
            time.sleep(seconds)
            yield i
    finally:
        if closed is not None:
            closed.append(True)


def test_every_batch_is_placed_in_order():
    with prefetched(counted(20), lambda batch: -batch) as next_batch:
        assert [next_batch([])[0] for _ in range(20)] == [-i for i in range(20)]


def test_the_generator_is_closed_though_it_has_more_to_give():
    closed = []
    with prefetched(counted(10**9, closed=closed), lambda batch: batch) as next_batch:
        assert next_batch([])[0] == 0
    assert closed == [True]


def test_what_the_reading_raises_is_raised_here_after_what_was_read():
    def broken():
        yield 1
        raise ValueError("the third image")

    with prefetched(broken(), lambda batch: batch) as next_batch:
        assert next_batch([])[0] == 1
        with pytest.raises(ValueError, match="the third image"):
            next_batch([])


def test_a_wait_counts_unless_the_devices_work_meanwhile():
    with prefetched(counted(4, seconds=0.2), lambda batch: batch) as next_batch:
        assert next_batch([Array(False)])[1] == 0
        assert next_batch([Array(True)])[1] > 0.05
        assert next_batch([Array(True), {"loss": Array(False)}])[1] == 0
