"""Batches: epochs are permutations, processes share one stream, a resumed stream goes on."""

import json
from itertools import islice

import numpy as np
import pytest

from rrjax.data import pipeline, sources
from rrjax.errors import BadInput

N = 50


def source(n=N):
    """Give n 2x2 images; every pixel of image i, and its label, is i."""
    images = np.full((n, 2, 2, 1), 0, np.uint8) + np.arange(n, dtype=np.uint8)[:, None, None, None]
    return sources.arrays(images, np.arange(n), [str(i) for i in range(n)], "counting")


def draw(record, rng):
    """Keep the image and note one random draw."""
    return record | {"draw": np.int32(rng.integers(2**31))}


def train(batch_size=12, seed=0, process_index=0, process_count=1, n=N):
    return pipeline.train_batches(
        source(n),
        draw,
        batch_size=batch_size,
        seed=seed,
        process_index=process_index,
        process_count=process_count,
    )


def take(batches, steps, key="index"):
    return np.concatenate([batch[key] for batch in islice(batches, steps)])


def assert_equal(batches, others):
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for key in batch:
            np.testing.assert_array_equal(batch[key], other[key])


def test_a_training_batch_is_what_it_says():
    batch = next(train())
    assert batch["image"].shape == (12, 2, 2, 1) and batch["image"].dtype == np.uint8
    assert batch["label"].shape == (12,) and batch["label"].dtype == np.int32
    assert batch["index"].dtype == np.int32
    np.testing.assert_array_equal(batch["label"], batch["index"])
    np.testing.assert_array_equal(batch["image"][:, 0, 1, 0], batch["index"])


def test_every_epoch_is_a_new_permutation():
    epochs = take(train(batch_size=10), 20).reshape(4, N)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(N), (4, 1)))
    others = take(train(batch_size=10, seed=1), 20).reshape(4, N)
    # Neighbouring seeds share no epoch, not even a shifted one.
    assert len({epoch.tobytes() for epoch in np.concatenate([epochs, others])}) == 8


def test_the_seed_settles_everything():
    assert_equal(islice(train(seed=3), 6), islice(train(seed=3), 6))
    draws = [take(train(seed=seed), 10, "draw") for seed in (3, 4)]
    assert len(np.unique(draws)) == 240  # Every position of every stream draws anew.


@pytest.mark.parametrize("process_count", [2, 3])
def test_processes_together_see_what_one_sees(process_count):
    size = 12 // process_count
    parts = [train(size, 0, p, process_count) for p in range(process_count)]
    for batch in islice(train(), 6):
        shares = [next(part) for part in parts]
        together = [(i, d) for b in shares for i, d in zip(b["index"], b["draw"], strict=True)]
        assert sorted(together) == sorted(zip(batch["index"], batch["draw"], strict=True))


def test_threads_change_nothing(monkeypatch):
    batches = []
    for count in (1, 8):
        monkeypatch.setattr(pipeline.os, "cpu_count", lambda count=count: count)
        batches.append(list(islice(train(), 6)))
    assert_equal(*batches)


def test_a_batch_may_be_larger_than_the_source():
    index = next(train(batch_size=2 * N + 28))["index"]
    np.testing.assert_array_equal(np.sort(index[:N]), np.arange(N))
    assert set(np.bincount(index)) == {2, 3}
    np.testing.assert_array_equal(take(train(batch_size=1, n=1), 3), [0, 0, 0])


@pytest.mark.parametrize("step", [0, 1, 4, 5, 9])  # An epoch ends within batches 4 and 8.
def test_a_resumed_stream_goes_on(step):
    batches = train()
    list(islice(batches, step))
    state = json.loads(json.dumps(batches.get_state()))
    expected = list(islice(batches, 3))
    resumed = train()
    resumed.set_state(state)
    assert_equal(islice(resumed, 3), expected)
    batches.set_state(state)  # The used one goes back as well.
    assert_equal(islice(batches, 3), expected)


def test_a_state_fits_another_number_of_processes():
    whole = train()
    take(whole, 5)
    halves = [train(6, 0, p, 2) for p in range(2)]
    for half in halves:
        half.set_state(whole.get_state())
    together = np.concatenate([next(half)["index"] for half in halves])
    assert sorted(together) == sorted(next(whole)["index"])


def evaluation(n, process_index, process_count):
    return pipeline.test_batches(
        source(n),
        lambda record: record,
        batch_size=4,
        process_index=process_index,
        process_count=process_count,
    )


@pytest.mark.parametrize("process_count", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 4, 24, 29])
def test_evaluation_counts_every_record_once(n, process_count):
    shares = [list(evaluation(n, p, process_count)) for p in range(process_count)]
    assert {len(share) for share in shares} == {-(-n // (4 * process_count))}
    batches = [batch for share in shares for batch in share]
    everything = {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}
    assert everything["mask"].dtype == np.float32
    assert everything["label"].dtype == everything["index"].dtype == np.int32
    real = everything["mask"] == 1
    np.testing.assert_array_equal(np.sort(everything["index"][real]), np.arange(n))
    np.testing.assert_array_equal(everything["label"], everything["index"])
    np.testing.assert_array_equal(everything["image"][:, 1, 1, 0], everything["index"])
    assert all(not value[~real].any() for value in everything.values())
    assert all(batch["image"].shape == (4, 2, 2, 1) for batch in batches)


def test_evaluation_is_in_order_and_can_be_repeated():
    batches = evaluation(10, 0, 1)
    first = list(batches)
    assert np.concatenate([b["index"] for b in first]).tolist() == [*range(10), 0, 0]
    assert first[-1]["mask"].tolist() == [1, 1, 0, 0]
    assert_equal(batches, first)


@pytest.mark.parametrize(
    "image, found",
    [
        (np.zeros((2, 2, 1), np.float32), r"float32 \(2, 2, 1\)"),
        (np.zeros((2, 2), np.uint8), r"uint8 \(2, 2\)"),
        (np.zeros((2, 2, 4), np.uint8), r"uint8 \(2, 2, 4\)"),
    ],
)
def test_a_bad_record_is_named(image, found):
    good = np.zeros((2, 2, 1), np.uint8)
    bad = sources.Source(
        "broken", lambda i: image if i == 3 else good, np.zeros(8, np.int32), ("a",)
    )
    message = f"broken: the image of record 3 is {found}"
    shard = dict(batch_size=8, process_index=0, process_count=1)
    with pytest.raises(BadInput, match=message):
        next(pipeline.train_batches(bad, draw, seed=0, **shard))
    with pytest.raises(BadInput, match=message):
        list(pipeline.test_batches(bad, lambda record: record, **shard))


def test_mixed_shapes_are_named():
    mixed = sources.Source(
        "mixed", lambda i: np.zeros((2, 2 + i, 1), np.uint8), np.zeros(2, np.int32), ("a",)
    )
    batches = pipeline.test_batches(
        mixed, lambda record: record, batch_size=2, process_index=0, process_count=1
    )
    with pytest.raises(BadInput, match=r"mixed: record 0 is \(2, 2, 1\), record 1 is \(2, 3, 1\)"):
        list(batches)
