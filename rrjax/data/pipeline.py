"""Turn a source into batches: shuffled, sharded over processes, prefetched, resumable.

Records are dealt from one global stream: of P processes, process p takes elements p, p + P, ...
So step t sees the same records whatever P is, as long as P times the batch size is the same.
Batches are formed before they are prefetched, so the iterator's state is just the next step, and
neither order nor random draws depend on the number of threads, nor on P when a run is resumed.
"""

import os

import grain
import numpy as np

from rrjax.errors import BadInput


def train_batches(source, transform, *, batch_size, seed, process_index, process_count):
    """Start an endless Grain iterator of this process's training batches.

    Yields {"image": uint8 (batch_size, H, W, C), "label": int32 (batch_size,), "index": int32
    (batch_size,)}, "index" being the record's place in the source. Every epoch is a new
    permutation. `transform(record, rng)` draws from the seed and the place in the global stream.
    `get_state()` gives a dict that JSON can hold; `set_state()` continues exactly there.
    Raises BadInput for a bad record and for a batch of mixed shapes.
    """
    # Not `seed` itself: Grain shuffles epoch e by seed + e, so nearby seeds would share epochs.
    order, chance = (int(s) for s in np.random.SeedSequence(seed).generate_state(2))
    stream = (
        grain.MapDataset.range(len(source))
        .shuffle(order)
        .repeat()
        .random_map(lambda index, rng: transform(_record(source, index), rng), seed=chance)
    )
    # drop_remainder: without it Grain rounds an endless length past sys.maxsize and len() fails.
    shard = stream[process_index::process_count].batch(
        batch_size, drop_remainder=True, batch_fn=lambda records: _stack(source, records)
    )
    return iter(_prefetched(shard))


def test_batches(source, transform, *, batch_size, process_index, process_count):
    """Make an iterable over this process's share of the source, in order, every record once.

    Yields {"image", "label", "index"} as in training and "mask": float32 (batch_size,), 1 for a
    record and 0 for padding, which is zero throughout. Every process gets the same number of
    batches. Iterating again starts again. Raises BadInput as in training.
    """
    step = batch_size * process_count
    padded = -(-len(source) // step) * step

    def read(position):
        index = position % len(source)  # Padding, too, reads a record: for its shape.
        record = transform(_record(source, index)) | {"mask": np.float32(1)}
        if position < len(source):
            return record
        return {key: np.zeros_like(value) for key, value in record.items()}

    shard = grain.MapDataset.range(padded)[process_index::process_count].map(read)
    return _prefetched(shard.batch(batch_size, batch_fn=lambda records: _stack(source, records)))


def _record(source, index):
    record = source[index]
    image = record["image"]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise BadInput(
            f"{source.name}: the image of record {index} is {image.dtype} {image.shape}; "
            "a source gives uint8 (H, W, 1 or 3)"
        )
    return record | {"index": np.int32(index)}


def _stack(source, records):
    shapes = {record["image"].shape: int(record["index"]) for record in records}
    if len(shapes) > 1:
        found = ", ".join(f"record {index} is {shape}" for shape, index in shapes.items())
        raise BadInput(f"{source.name}: {found}; transform the images of a batch to one shape")
    return {key: np.stack([record[key] for record in records]) for key in records[0]}


def _prefetched(batches):
    # An element is a whole batch here: one in the making for each thread, not Grain's default 500.
    threads = min(16, os.cpu_count() or 1)
    return batches.to_iter_dataset(grain.ReadOptions(threads, prefetch_buffer_size=threads))
