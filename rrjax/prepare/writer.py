"""Data sets written in TFDS' array_record form, without TensorFlow.

A set that is being written has a folder called incomplete.VERSION; VERSION appears when all of it
is there.
"""

import shutil
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core.utils import shard_utils
from tqdm import tqdm

from rrjax import BadInput
from rrjax.data.records import one_line
from rrjax.runs.files import locked

T = TypeVar("T")
THREADS = 16  # they wait for the disk, and decoding runs outside Python's lock


class Split(NamedTuple):
    """The contents of a split.

    n: records; size: about how many bytes, which decides the number of shards;
    read: (start, stop) -> the examples of that span.
    """

    n: int
    size: int
    read: Callable[[int, int], Iterable[dict]]


@contextmanager
def building(data_dir: str, name: str, version: str) -> Generator[Path, None, None]:
    """Open a folder to write a set into; it becomes data_dir/name/version if nothing fails.

    Raises:
      BadInput: if that set is there, if another process prepares one in `data_dir`, and if the disk
        is full or cannot be written.
    """
    final = Path(data_dir, name, version)
    part = final.with_name(f"incomplete.{version}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        refusal = (
            f"another process prepares a set in {data_dir}: wait for it, or choose another "
            "--workdir"
        )
        with locked(Path(data_dir, ".rrjax_prepare.lock"), refusal):
            if final.exists():
                raise BadInput(f"{final} is already prepared: delete that folder to do it again")
            shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
            part.mkdir()
            try:
                yield part
                part.rename(final)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise BadInput(
            f"{final} cannot be written ({error.strerror or one_line(error)}): free some space, "
            "or choose another --workdir"
        ) from error


def write(part: Path, info: tfds.core.DatasetInfo, splits: dict[str, Split]) -> None:
    """Write the shards of every split and the set's metadata into the folder `part`.

    Raises:
      OSError: for a disk that is or would be full; `building` makes it a BadInput.
    """
    size, free = sum(split.size for split in splits.values()), shutil.disk_usage(part).free
    if size > free:
        raise OSError(f"it takes {size:,} bytes and {free:,} are free")
    total = sum(split.n for split in splits.values())
    with tqdm(desc=f"writing {info.name}", total=total, unit="record", disable=None) as bar:
        infos = [_write_split(part, info, name, split, bar) for name, split in splits.items()]
    info.set_file_format("array_record")
    info.set_splits(tfds.core.SplitDict(infos))
    info.write_to_directory(part)


def _write_split(
    part: Path, info: tfds.core.DatasetInfo, name: str, split: Split, bar: tqdm
) -> tfds.core.SplitInfo:
    template = tfds.core.ShardedFileTemplate(
        dataset_name=info.name, split=name, filetype_suffix="array_record", data_dir=part
    )
    shards = shard_utils.ShardConfig.calculate_number_shards(split.size, split.n)
    stops = shard_utils.get_shard_boundaries(split.n, shards)
    starts = [0, *stops[:-1]]
    size = 0
    for shard, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        path = template.sharded_filepath(shard_index=shard, num_shards=shards)
        examples = (info.features.serialize_example(e) for e in split.read(start, stop))
        size += _write_shard(str(path), examples, bar)
    lengths = [stop - start for start, stop in zip(starts, stops, strict=True)]
    return tfds.core.SplitInfo(
        name=name, shard_lengths=lengths, num_bytes=size, filename_template=template
    )


def _write_shard(path: str, examples: Iterable[bytes], bar: tqdm) -> int:
    writer = _disk(ArrayRecordWriter, path, "group_size:1")
    size = 0
    for example in examples:
        _disk(writer.write, example)
        size += len(example)
        bar.update()
    _disk(writer.close)
    return size


def _disk(action: Callable[..., T], *arguments: Any) -> T:
    try:
        return action(*arguments)
    except RuntimeError as error:  # array_record raises it for a full disk
        raise OSError(one_line(error)) from error
