"""A tree of images written as a set that TFDS reads."""

import re
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from rrjax import BadInput
from rrjax.data import records
from rrjax.data.decode import decode
from rrjax.data.folder import SPLITS, ask, expanded, files, split_folder
from rrjax.data.sources import describe
from rrjax.prepare.writer import THREADS, Split, building, write


def prepare_folder(source: str, data_dir: str, name: str) -> None:
    """Write the tree source/{train,test}/<class>/.../<image> as the set data_dir/name/1.0.0.

    The files' bytes stay as they are, and record i is image i of the folder source. One split may
    be missing. Reads the result back and prints what it holds.

    Raises:
      BadInput: as `folder.files` and `building` do, for an image that cannot be decoded, and for
        names that TFDS cannot store.
    """
    _check_name(name)
    tree = Path(expanded(source))
    splits = [s for s, roots in SPLITS.items() if any(ask(Path.is_dir, tree / r) for r in roots)]
    if not source or not splits:
        raise BadInput(f"--config.folder={source!r} is no folder that holds train/ or test/")
    with building(data_dir, name, "1.0.0") as part, ThreadPool(THREADS) as pool:
        listed = {split: files(source, split) for split in splits}
        class_names = listed[splits[0]][2]
        _check_class_names(class_names)
        contents = {
            split: _folder_split(pool, split_folder(source, split), paths, labels)
            for split, (paths, labels, _) in listed.items()
        }
        write(part, _folder_info(part, name, class_names), contents)
    for split in splits:
        print(describe(records.records(name, data_dir, split)))


def _folder_info(part: Path, name: str, class_names: Sequence[str]) -> tfds.core.DatasetInfo:
    version = tfds.core.Version("1.0.0")
    features = {
        "image": tfds.features.Image(),
        "label": tfds.features.ClassLabel(names=class_names),
        "file_name": tfds.features.Text(),
    }
    return tfds.core.DatasetInfo(
        builder=tfds.core.DatasetIdentity(name, version, str(part), __name__),
        features=tfds.features.FeaturesDict(features),
        supervised_keys=("image", "label"),
        disable_shuffling=True,
    )


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise BadInput(f"--config.name={name!r}: give lower-case letters, digits and _")
    if name in tfds.list_builders(with_community_datasets=False):
        raise BadInput(f"--config.name={name!r} is TFDS' name for another set: choose your own")
    if name in records.NAMES:
        raise BadInput(f"--config.name={name!r} is rrjax's name for other data: choose your own")


def _check_class_names(names: Sequence[str]) -> None:
    for name in names:  # TFDS stores them as the lines of a file, stripped.
        if name != name.strip() or {"\n", "\r"} & {*name} or not _is_utf8(name):
            raise BadInput(
                f"the class folder {name!r} has a name that TFDS cannot keep: rename it without "
                "line breaks, spaces at its ends or bytes that are not UTF-8"
            )


def _is_utf8(name: str) -> bool:
    return name == name.encode(errors="ignore").decode()


def _folder_split(pool: ThreadPool, root: Path, paths: list[Path], labels: np.ndarray) -> Split:
    names = [path.relative_to(root).as_posix() for path in paths]
    for name in names:
        if not _is_utf8(name):
            raise BadInput(f"the file {name!r} has a name that is not UTF-8: rename it")

    def read(start: int, stop: int) -> Iterator[dict[str, Any]]:
        contents = pool.imap(_checked_content, paths[start:stop])
        for file_name, label, content in zip(
            names[start:stop], labels[start:stop], contents, strict=True
        ):
            yield {"image": content, "label": int(label), "file_name": file_name}

    return Split(len(paths), sum(_ask(Path.stat, path).st_size for path in paths), read)


def _checked_content(path: Path) -> bytes:
    content = _ask(Path.read_bytes, path)
    decode(content, str(path))
    return content


def _ask(question: Callable[[Path], Any], path: Path) -> Any:
    try:
        return question(path)
    except OSError as error:  # not to be taken for a fault of the disk that is written
        reason = error.strerror
        raise BadInput(f"{path}: cannot be read ({reason}); replace or remove it") from error
