"""Sets in TFDS' array_record form, read without TensorFlow: `records` opens one as a source."""

import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import naming, read_only_builder
from tqdm import tqdm

from rrjax import BadInput, did_you_mean
from rrjax.data.decode import decode
from rrjax.data.folder import ask, expanded
from rrjax.data.sources import Source

# TFDS' command line imports all of these even to print its help. In a venv of its own: Apache Beam
# holds protobuf back.
TFDS = (
    "python -m venv tf && tf/bin/pip install tensorflow tensorflow-datasets apache-beam "
    "mlcroissant importlib_resources && tf/bin/tfds"
)
# Values of data.name that are no set of TFDS'.
NAMES = ("digits", "folder", "idx", "npy", "photographs", "restricted_imagenet")
UNREADABLE = (OSError, RuntimeError, ValueError, IndexError)  # a shard that is gone, cut or damaged


def records(name: str, path: str, split: str) -> Source:
    """Open split "train" or "test" of an image classification set prepared in `path`.

    `name` is TFDS', such as "cifar10" or "imagenette/320px-v2"; `path` is TFDS' data_dir, "" its
    default. A set without a test split is tested on "validation", and so is imagenet2012, whose
    test split has no labels.

    Raises:
      BadInput: for a name, a kind of set or a split that is not there, for a set not prepared as
        array_record, and for one that cannot be read.
    """
    builder = _open(name, path)
    features = builder.info.features
    if not _is_classification(features):
        raise BadInput(
            f"{name} is not image classification: its features are {one_line(features)}; choose "
            "a set with an 8-bit Image called image and a ClassLabel called label"
        )
    stored = _stored_split(builder, name, split)
    title = f"{name}/{stored}"
    source = _random_access(builder, stored, title)

    def read(index: int) -> np.ndarray:
        try:
            record = _whole(source[index])
        except UNREADABLE as error:
            raise _unreadable(f"{title} record {index}", error) from error
        file_name = f" ({record['file_name'].decode()})" if "file_name" in record else ""
        return decode(record["image"], f"{title} record {index}{file_name}")

    class_names = tuple(features["label"].names)
    cache = Path(builder.data_dir, f"rrjax_labels-{stored}.npy")
    names = ["dataset_info.json", *builder.info.splits[stored].filenames]
    files = [Path(builder.data_dir, file) for file in names]
    return Source(title, read, labels(source, len(class_names), cache, files, title), class_names)


def _whole(record: dict[str, Any]) -> dict[str, Any]:
    if record["label"] is None:  # so array_record and TFDS read a shard cut to its first block
        raise IndexError("its shard is cut")
    return record


def labels(
    source: Any, num_classes: int, cache: Path, files: Iterable[Path], name: str
) -> np.ndarray:
    """Read the label of every record of a TFDS data source: int32 (n,).

    Args:
      source: what TFDS' `as_data_source` returns.
      num_classes: how many classes there are.
      cache: the file that labels are written to, where its folder can be written, and read from
        next time, unless one of `files` is newer or gone.
      files: the set's.
      name: of the split, for messages.

    Raises:
      BadInput: for a record that cannot be read or whose label is not in 0..num_classes - 1.
    """
    cached = _read_cached_labels(cache, files)
    if cached is not None and cached.shape == (len(source),):
        numbers = cached
    else:
        numbers = np.concatenate([*_read_labels(source, name)])
        _write_cached_labels(cache, numbers)
    wrong = np.flatnonzero((numbers < 0) | (numbers >= num_classes))
    if len(wrong):
        raise BadInput(
            f"{name} record {wrong[0]} has the label {numbers[wrong[0]]}, not one of 0 to "
            f"{num_classes - 1}: choose a split that has labels, or prepare the set again"
        )
    return numbers


def _read_labels(source: Any, name: str, at_once: int = 256) -> Iterator[np.ndarray]:
    with tqdm(desc=f"reading {name}", total=len(source), unit="record", disable=None) as bar:
        for start in range(0, len(source), at_once):
            span = range(start, min(start + at_once, len(source)))
            try:
                read = [_whole(record)["label"] for record in source.__getitems__(span)]
            except UNREADABLE as error:
                raise _unreadable(f"{name} records {span[0]} to {span[-1]}", error) from error
            bar.update(len(span))
            yield np.array(read, np.int32)


def _read_cached_labels(cache: Path, files: Iterable[Path]) -> np.ndarray | None:
    try:
        since = cache.stat().st_mtime_ns
        if any(file.stat().st_mtime_ns > since for file in files):
            return None
        cached = np.load(cache)
    except (OSError, ValueError, EOFError):  # not there, or not a whole file
        return None
    return cached if cached.dtype == np.int32 else None


def _write_cached_labels(cache: Path, numbers: np.ndarray) -> None:
    part = cache.with_name(f"{cache.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            np.save(file, numbers)
        part.replace(cache)
    except OSError:  # They are read again next time: slow, not wrong.
        part.unlink(missing_ok=True)


def _open(name: str, path: str) -> tfds.core.DatasetBuilder:
    try:
        parsed, which = naming.parse_builder_name_kwargs(name)
    except ValueError as error:
        raise BadInput(
            f"{name!r} is not the name of a TFDS set: write NAME, NAME/CONFIG or NAME:VERSION"
        ) from error
    data_dir = _data_dir(path)
    # Not tfds.builder: that runs the set's own code, which may need TensorFlow, and knows only the
    # newest version of a set.
    try:
        given = str(data_dir) if path else None  # TFDS knows more than one default
        return read_only_builder.builder_from_files(str(parsed), data_dir=given, **which)
    except tfds.core.DatasetNotFoundError as error:
        raise BadInput(_absent(name, str(parsed), data_dir)) from error
    except Exception as error:  # OSError, ValueError, protobuf's ParseError: as the damage is.
        what = f"{name}: dataset_info.json or features.json in {data_dir / str(parsed)}"
        raise _unreadable(what, error) from error


def _data_dir(path: str) -> Path:
    path = expanded(path)
    if "://" in path or "\0" in path:  # array_record opens no file of another machine
        raise BadInput(f"--config.data.path={path!r} is no folder of this machine: give one")
    data_dir = Path(path or expanded(tfds.core.constants.DATA_DIR)).absolute()
    if ask(Path.exists, data_dir) and not ask(Path.is_dir, data_dir):
        raise BadInput(f"--config.data.path={path!r} is no folder: give one that holds TFDS' sets")
    return data_dir


def _absent(name: str, parsed: str, data_dir: Path) -> str:
    """Say that a set is not prepared, and what to do."""
    quoted = shlex.quote(str(data_dir))
    published = tfds.list_builders(with_community_datasets=False)
    versions = ask(_folders, data_dir / parsed)
    cut = [f.parent for f in _infos(data_dir / parsed) if not f.with_name("features.json").exists()]
    if cut:
        return f"{cut[0]}/features.json is gone: delete that folder and prepare {name} again"
    if parsed == "imagenet2012":
        fix = (
            "python -m rrjax.prepare --config=configs/prepare_imagenet.py "
            f"--config.tars=FOLDER --workdir={quoted}"
        )
    elif parsed in published:
        fix = f"{TFDS} build {name} --file_format=array_record --data_dir={quoted}"
    elif versions:
        fix = "choose one that is there"
    else:
        hint = did_you_mean(parsed, {*NAMES, *published, *_folders(data_dir)})
        hint = hint or "tfds.list_builders() lists them"
        return f"no data set is called {name!r}, in {data_dir} or in TFDS: {hint}"
    others = f" (only {', '.join(versions)})" if versions else ""
    return f"{name} is not prepared in {data_dir}{others}: {fix}"


def _infos(path: Path) -> list[Path]:
    files = sorted(path.rglob("dataset_info.json"))
    return [file for file in files if not file.parent.name.startswith("incomplete.")]


def _folders(path: Path) -> list[str]:
    names = sorted(child.name for child in path.glob("*/"))
    return [name for name in names if not name.startswith((".", "incomplete."))]


def _is_classification(features: tfds.features.FeatureConnector) -> bool:
    named = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    image, label = named.get("image"), named.get("label")
    return (
        isinstance(image, tfds.features.Image)
        and image.np_dtype == np.uint8
        and isinstance(label, tfds.features.ClassLabel)
    )


def _stored_split(builder: tfds.core.DatasetBuilder, name: str, split: str) -> str:
    """Return the set's own name for split "train" or "test"."""
    stored = list(builder.info.splits)
    own = split
    if split == "test" and ("test" not in stored or builder.name == "imagenet2012"):
        own = "validation"
    if own not in stored:
        raise BadInput(
            f"{name} in {builder.data_dir} has no split to {split} on, only {', '.join(stored)}: "
            "choose another set, or delete that folder and prepare the set with one"
        )
    return own


def _random_access(builder: tfds.core.DatasetBuilder, split: str, title: str) -> Any:
    folder = Path(builder.data_dir).absolute()
    if tfds.core.FileFormat.ARRAY_RECORD not in builder.info.available_file_formats():
        raise BadInput(
            f"{folder} is prepared as {builder.info.file_format.value}, without random access: "
            f"{TFDS} convert_format --dataset_version_dir={shlex.quote(str(folder))} "
            "--out_file_format=array_record"
        )
    decoders = {"image": tfds.decode.SkipDecoding()}
    try:
        return builder.as_data_source(split, decoders=decoders, file_format="array_record")
    except UNREADABLE as error:
        raise _unreadable(title, error) from error


def _unreadable(what: str, error: BaseException) -> BadInput:
    closed = isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError)
    fix = "change its permissions" if closed else "delete the set's folder and prepare it again"
    return BadInput(f"{what} cannot be read ({one_line(error)}): {fix}")


def one_line(thing: object) -> str:
    """Write the text of another package's object or error as one line."""
    return " ".join(str(thing).split())
