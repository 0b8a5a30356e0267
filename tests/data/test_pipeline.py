"""Batches: epochs are permutations, processes share one stream, a resumed stream goes on."""

from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

from rrjax import BadInput
from rrjax.data import pipeline, sources
from rrjax.data.decode import Corrupt

N = 50


def source(n=N):
    """Give n 2x2 images; every pixel of image i, and its label, is i."""
    images = np.full((n, 2, 2, 1), 0, np.uint8) + np.arange(n, dtype=np.uint8)[:, None, None, None]
    return sources.arrays(images, np.arange(n), [str(i) for i in range(n)], "counting")


def draw(record, rng):
    """Keep the image and note one random draw."""
    return record | {"draw": np.int32(rng.integers(2**31))}


def train(
    batch_size=12, seed=0, process_index=0, process_count=1, n=N, first_step=0, workers=0, of=None
):
    return pipeline.train_batches(
        of or source(n),
        draw,
        batch_size=batch_size,
        seed=seed,
        first_step=first_step,
        workers=workers,
        max_corrupt=2,
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
    # Neighboring seeds share no epoch, not even a shifted one.
    assert len({epoch.tobytes() for epoch in np.concatenate([epochs, others])}) == 8


def test_the_seed_settles_everything():
    assert_equal(islice(train(seed=3), 6), islice(train(seed=3), 6))
    draws = [take(train(seed=seed), 10, "draw") for seed in (3, 4)]
    assert len(np.unique(draws)) == 240  # Every position of every stream draws anew.


def test_a_record_draws_from_seed_epoch_and_index():
    for step, batch in enumerate(islice(train(batch_size=10, seed=3), 10)):
        epoch = step // (N // 10)
        for index, drawn in zip(batch["index"], batch["draw"], strict=True):
            assert drawn == np.random.default_rng((3, epoch, index)).integers(2**31)


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
def test_a_stream_from_a_step_goes_on_as_the_whole_one(step):
    assert_equal(islice(train(first_step=step), 3), islice(train(), step, step + 3))


def test_a_stream_goes_on_with_another_number_of_processes():
    halves = [train(6, 0, p, 2, first_step=5) for p in range(2)]
    together = np.concatenate([next(half)["index"] for half in halves])
    assert sorted(together) == sorted(take(train(first_step=5), 1))


@pytest.mark.slow
def test_workers_change_nothing_and_resume_in_the_middle_of_an_epoch():
    assert_equal(islice(train(workers=2), 6), islice(train(), 6))
    assert_equal(islice(train(workers=2, first_step=6), 4), islice(train(), 6, 10))


def damaged(*corrupt, n=N):
    """Give `source(n)` with some records that cannot be read."""
    whole = source(n)

    def read(index):
        if index in corrupt:
            raise Corrupt(f"{index}.png: not a readable image")
        return whole.read(index)

    return sources.Source("damaged", read, whole.labels, whole.class_names)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_corrupt_image_gives_its_place_to_the_next(workers, capsys):
    batches = list(islice(train(10, workers=workers, of=damaged(7, 49)), 10))
    plain = islice(train(10), 10)
    for batch, whole in zip(batches, plain, strict=True):
        assert batch.keys() == whole.keys()
        replaced = {7: 8, 49: 0}
        expected = [replaced.get(int(i), int(i)) for i in whole["index"]]
        np.testing.assert_array_equal(batch["index"], expected)
        np.testing.assert_array_equal(batch["label"], expected)
    lines = sorted(capsys.readouterr().out.splitlines())
    assert [line.split(": ", 1)[0] for line in lines] == [
        "passed over (1 of at most 2)",
        "passed over (2 of at most 2)",
    ]
    named = {line.split(": ", 1)[1] for line in lines}
    assert named == {f"{i}.png: not a readable image" for i in (7, 49)}


@pytest.mark.parametrize("corrupt", [(1, 7, 20), range(N)])
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_too_many_corrupt_images_stop_the_run(corrupt, workers):
    message = r"damaged: more than 2 images cannot be read, the last one: \d+.png: .*max_corrupt"
    with pytest.raises(BadInput, match=message):
        list(islice(train(10, workers=workers, of=damaged(*corrupt)), 5))
    with pytest.raises(BadInput, match=message):
        list(evaluation(N, 0, 1, of=damaged(*corrupt)))


def test_readable_is_the_first_image_that_can_be_read():
    record = pipeline.readable(damaged(0, 1), 0, 2)
    assert record["label"] == record["index"] == record["corrupt"] == 2
    with pytest.raises(BadInput, match=r"more than 2 images cannot be read, the last one: 2.png"):
        pipeline.readable(damaged(0, 1, 2), 0, 2)
    with pytest.raises(BadInput, match="more than 0 images"):
        pipeline.readable(damaged(0), 0, 0)


def test_evaluation_leaves_corrupt_images_out(capsys):
    batches = list(evaluation(24, 0, 1, of=damaged(3, 23, n=24)))
    mask = np.concatenate([batch["mask"] for batch in batches])
    assert np.flatnonzero(mask == 0).tolist() == [3, 23]
    images = np.concatenate([batch["image"] for batch in batches])
    assert not images[mask == 0].any()
    np.testing.assert_array_equal(images[mask == 1, 0, 0, 0], np.delete(np.arange(24), [3, 23]))
    assert capsys.readouterr().out.count("passed over") == 2


def evaluation(n, process_index, process_count, of=None):
    return pipeline.eval_batches(
        of or source(n),
        lambda record: record,
        batch_size=4,
        max_corrupt=2,
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


def test_evaluation_is_in_order():
    batches = list(evaluation(10, 0, 1))
    assert np.concatenate([b["index"] for b in batches]).tolist() == [*range(10), 0, 0]
    assert batches[-1]["mask"].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("image", "description"),
    [
        (np.zeros((2, 2, 1), np.float32), r"float32 \(2, 2, 1\)"),
        (np.zeros((2, 2), np.uint8), r"uint8 \(2, 2\)"),
        (np.zeros((2, 2, 4), np.uint8), r"uint8 \(2, 2, 4\)"),
    ],
)
def test_a_bad_record_is_named(image, description):
    good = np.zeros((2, 2, 1), np.uint8)
    bad = sources.Source(
        "broken", lambda i: image if i == 3 else good, np.zeros(8, np.int32), ("a",)
    )
    message = f"broken: the image of record 3 is {description}"
    with pytest.raises(BadInput, match=message):
        next(train(8, of=bad))
    with pytest.raises(BadInput, match=message):
        list(evaluation(8, 0, 1, of=bad))


def test_mixed_shapes_are_named():
    mixed = sources.Source(
        "mixed", lambda i: np.zeros((2, 2 + (i == 1), 1), np.uint8), np.zeros(4, np.int32), ("a",)
    )
    with pytest.raises(BadInput, match=r"mixed: record 3 is \(2, 2, 1\), record 1 is \(2, 3, 1\)"):
        list(evaluation(4, 0, 1, of=mixed))


def test_workers_whose_batches_do_not_fit_are_refused(monkeypatch):
    usage = SimpleNamespace(free=2**20)
    monkeypatch.setattr(pipeline.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(BadInput, match=r"data.workers=2: .* has 1.0 free: .*workers=0"):
        train(workers=2)
    next(train())  # threads share no memory with a process
