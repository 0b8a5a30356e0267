"""Turn a source into batches: shuffled, sharded over processes, prefetched, resumable.

Records are dealt from one global stream: of P processes, process p takes elements p, p + P, ...
A batch depends on the seed and its step alone, not on threads, on workers, on what was read before
it, or (over all processes taken together) on P. So the number of its step is all the state that a
run needs to go on exactly.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import grain
import numpy as np
from absl import flags
from tqdm import tqdm

from rrjax import BadInput
from rrjax.data.augment import Batch
from rrjax.data.decode import Corrupt
from rrjax.data.sources import Source

Record = dict[str, Any]
_SHARED_MEMORY = "/dev/shm"
_BUFFER = 2  # finished batches of each worker


def train_batches(
    source: Source,
    transform: Callable[[Record, np.random.Generator], Record],
    *,
    batch_size: int,
    seed: int,
    first_step: int,
    workers: int,
    max_corrupt: int,
    process_index: int,
    process_count: int,
) -> Iterator[Batch]:
    """Iterate endlessly over this process's training batches, from step `first_step` (0-based) on.

    Every epoch is a new permutation. A corrupt image is replaced by the next one that can be read.

    Args:
      source: the records.
      transform: (record, rng) -> record; it draws from (seed, epoch, index).
      batch_size: of this process.
      seed: of the permutations and the draws.
      first_step: the number of the first batch.
      workers: the processes that read and transform; 0: the threads of this one.
      max_corrupt: how many corrupt images may be replaced.
      process_index: the number of this process.
      process_count: how many there are.

    Yields:
      {"image": uint8 (batch_size, H, W, C), "label" and "index" in the source: int32 (batch_size,)}
      and what else `transform` adds.

    Raises:
      BadInput: for more than `max_corrupt` corrupt images, a bad record, a batch of mixed shapes,
        and workers whose batches do not fit into shared memory.
    """
    n = len(source)

    def read(position: int, index: int) -> Record:
        rng = np.random.default_rng((seed, position // n, index))
        return transform(readable(source, index, max_corrupt), rng)

    # Not `seed` itself: Grain shuffles epoch e by seed + e, so nearby seeds would share epochs.
    order = int(np.random.SeedSequence(seed).generate_state(1)[0])
    stream = grain.MapDataset.range(n).shuffle(order).repeat().map_with_index(read)
    # drop_remainder: without it Grain rounds an endless length past sys.maxsize and len() fails.
    shard = stream[process_index::process_count].batch(
        batch_size, drop_remainder=True, batch_fn=lambda records: _stack(source, records)
    )
    _check_shared_memory(workers, batch_size, read)
    return _report_skipped(_prefetched(shard[first_step:], workers), source, max_corrupt)


def eval_batches(
    source: Source,
    transform: Callable[[Record], Record],
    *,
    batch_size: int,
    max_corrupt: int,
    process_index: int,
    process_count: int,
) -> Iterator[Batch]:
    """Iterate once over this process's share of the source, in order, every record once.

    Every process gets the same number of batches. Arguments as those of `train_batches`.

    Yields:
      {"image", "label", "index"} as in training and "mask": float32 (batch_size,), 1 for a record
      and 0 for a corrupt image and for padding, which is zero throughout.

    Raises:
      BadInput: as in training.
    """
    step = batch_size * process_count
    padded = -(-len(source) // step) * step

    def read(position: int) -> Record:
        # Padding and a corrupt image, too, read a record: for its shape.
        record = transform(readable(source, position % len(source), max_corrupt))
        if position < len(source) and not record["corrupt"]:
            return record | {"mask": np.float32(1)}
        blank = {key: np.zeros_like(value) for key, value in record.items()}
        if position < len(source):
            blank |= {key: record[key] for key in ("index", "corrupt")}
        return blank | {"mask": np.float32(0)}

    shard = grain.MapDataset.range(padded)[process_index::process_count].map(read)
    batches = shard.batch(batch_size, batch_fn=lambda records: _stack(source, records))
    return _report_skipped(_prefetched(batches, workers=0), source, max_corrupt)


def readable(source: Source, index: int, max_corrupt: int) -> Record:
    """Read record `index`, or the first after it that can be read; "corrupt" says how many not.

    Raises:
      BadInput: if none of the first `max_corrupt` + 1 can be.
    """
    last = None
    for corrupt in range(max_corrupt + 1):
        try:
            return record(source, (index + corrupt) % len(source)) | {"corrupt": np.int32(corrupt)}
        except Corrupt as error:
            last = error
    raise _too_many(source, max_corrupt, last) from last


def record(source: Source, index: int) -> Record:
    """Read record `index`, with its "index".

    Raises:
      Corrupt: if its image cannot be read.
      BadInput: if it is none that a source may give.
    """
    read = source[index]
    image = read["image"]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise BadInput(
            f"{source.name}: the image of record {index} is {image.dtype} {image.shape}; "
            "a source gives uint8 (H, W, 1 or 3)"
        )
    return read | {"index": np.int32(index)}


def _report_skipped(
    batches: grain.IterDataset[Batch], source: Source, max_corrupt: int
) -> Iterator[Batch]:
    """Yield the batches without their "corrupt", and print each image that was skipped, once."""
    skipped = set()
    with closing(iter(batches)) as batches:
        for batch in batches:
            for index in _skipped(batch.pop("corrupt"), batch["index"], len(source)):
                if index not in skipped:
                    skipped.add(index)
                    reason = _reason(source, index)
                    if len(skipped) > max_corrupt:
                        raise _too_many(source, max_corrupt, reason)
                    tqdm.write(f"passed over ({len(skipped)} of at most {max_corrupt}): {reason}")
            yield batch


def _skipped(corrupt: np.ndarray, indices: np.ndarray, n: int) -> Iterator[int]:
    """Yield the indices before those that were read, as many as were corrupt."""
    for at in np.flatnonzero(corrupt):
        yield from ((int(indices[at]) - back) % n for back in range(int(corrupt[at]), 0, -1))


def _reason(source: Source, index: int) -> Corrupt | str:
    """Say why a record cannot be read; it was read by another thread or process."""
    try:
        record(source, index)
    except Corrupt as error:
        return error
    return f"{source.name}: image {index} could not be read, but now it can"


def _too_many(source: Source, max_corrupt: int, last: object) -> BadInput:
    return BadInput(
        f"{source.name}: more than {max_corrupt} images cannot be read, the last one: {last}; "
        "or raise --config.data.max_corrupt"
    )


def _stack(source: Source, records: Sequence[Record]) -> Batch:
    shapes = {record["image"].shape: int(record["index"]) for record in records}
    if len(shapes) > 1:
        listed = ", ".join(f"record {index} is {shape}" for shape, index in shapes.items())
        raise BadInput(f"{source.name}: {listed}; transform the images of a batch to one shape")
    return {key: np.stack([record[key] for record in records]) for key in records[0]}


def _check_shared_memory(workers: int, batch_size: int, read: Callable) -> None:
    """Check that the batches of all workers fit into the memory that processes share."""
    if not workers:
        return
    size = batch_size * sum(np.asarray(value).nbytes for value in read(0, 0).values())
    needed = workers * (_BUFFER + 1) * size + 2**20
    try:
        free = shutil.disk_usage(_SHARED_MEMORY).free
    except OSError:  # not Linux
        return
    if free < needed:
        raise BadInput(
            f"data.workers={workers}: their batches need {needed / 2**20:,.0f} MiB of shared "
            f"memory, and {_SHARED_MEMORY} has {free / 2**20:,.1f} free: give more (docker run "
            "--shm-size=8g), or set --config.data.workers=0"
        )


def threads(workers: int = 0) -> int:
    """Return how many threads of a process read, beside as many processes as there are workers."""
    return min(16, max(1, cores() // max(1, workers)))


def cores() -> int:
    """Return on how many CPU cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prefetched(batches: grain.MapDataset, workers: int) -> grain.IterDataset[Batch]:
    # An element is a whole batch here: one in the making for each thread, not Grain's default 500.
    n = threads(workers)
    stream = batches.to_iter_dataset(grain.ReadOptions(n, prefetch_buffer_size=n))
    if not workers:
        return stream
    if not flags.FLAGS.is_parsed():  # In a notebook; Grain's workers read absl's flags.
        flags.FLAGS.mark_as_parsed()
    options = grain.MultiprocessingOptions(workers, per_worker_buffer_size=_BUFFER)
    # A copy, out of the memory that is shared with a worker: jax may keep a reference to an array,
    # and memory that is still referenced when the program ends is reported as leaked.
    return stream.mp_prefetch(options).map(lambda batch: {k: np.array(v) for k, v in batch.items()})
