"""What a run reads, put together: sources, the transform of one record, the pipeline."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from rrjax import BadInput
from rrjax.data import folder, idx, imagenet, npy, pipeline, records, sources, transforms
from rrjax.data.augment import Batch, pixels


class Data(NamedTuple):
    """The batches of a training run, this process's part of each.

    train: step -> the endless batches from that step on. test: () -> one pass over every example,
    padded and masked. An epoch is as many whole batches as fit the training set; the stream itself
    drops nothing. class_names: of the labels.
    """

    train: Callable[[int], Iterator[Batch]]
    test: Callable[[], Iterator[Batch]]
    steps_per_epoch: int
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Images:
    """Images of a data set, chosen but not read: `images[rows]` reads the rows, a slice or indices.

    A study of many images reads a part at a time and need not hold them; `in_parts` takes these as
    it takes an array. Rows are (n, H, W, C), float32 in [0,1].

    source: the set. settings: `config.data` of a training, which says how an image is resized.
    chosen: where in the set the images lie, (N,).
    """

    source: sources.Source
    settings: ConfigDict
    chosen: np.ndarray

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.chosen)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Read some rows, in their order."""
        return self.read(rows)[0]

    def read(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """Read some rows and their labels, (n,) int32.

        Raises:
          Corrupt: if an image cannot be read: another one would have another label.
        """
        transform = transforms.eval_transform(self.settings)

        def read(index: int) -> tuple[np.ndarray, np.ndarray]:
            record = pipeline.record(self.source, index)
            return transform(record)["image"], record["label"]

        # Of what a thread decodes only the transformed image is kept.
        with ThreadPoolExecutor(pipeline.threads()) as pool:
            images, labels = zip(*pool.map(read, self.chosen[rows]), strict=True)
        return pixels(np.stack(images)), np.array(labels)

    @property
    def labels(self) -> np.ndarray:
        """The labels (N,), of which none is read from an image's file."""
        return self.source.labels[self.chosen]

    def part(self, rows: Any) -> "Images":
        """Choose some rows of these, without reading them."""
        return replace(self, chosen=self.chosen[rows])


class _Advice(NamedTuple):
    """What to do where data do not fit a model."""

    classes: str
    channels: str


_TRAINING = _Advice(
    "set --config.model.classes={needed}",
    "give --config.model.mean and --config.model.std one number a channel",
)
_FROZEN = _Advice(
    "it is trained: give its own data by --config.data.name and --config.data.path, or a network "
    "of {needed} classes",
    "it is trained: give its own data, or a network of as many channels",
)


def create(config: ConfigDict) -> Data:
    """Open the data of a training config, and print what they hold.

    Raises:
      BadInput: if the data are missing, or do not fit the model's classes or channels.
    """
    train, test = (_open(config, split, _TRAINING) for split in ("train", "test"))
    if jax.process_index() == 0:
        print(sources.describe(train), sources.describe(test), sep="\n")
    batches = partial(
        pipeline.train_batches,
        train,
        transforms.train_transform(config.data),
        batch_size=config.batch_size // jax.process_count(),
        seed=config.seed,
        workers=_workers(config.data.workers),
        **_shared(config),
    )
    return Data(
        lambda step: batches(first_step=step),
        partial(_eval_batches, test, config, config.batch_size),
        max(1, len(train) // config.batch_size),
        train.class_names,
    )


def eval_batches(config: ConfigDict, batch_size: int, n: int = 0, seed: int = 0) -> Iterator[Batch]:
    """Open the test set of a training config: one pass, the last batch padded and masked.

    Args:
      config: of a training.
      batch_size: over all processes.
      n: how many images, drawn by the seed; 0: all.
      seed: of that draw.

    Raises:
      BadInput: as `create`, and for fewer images than `n`.
    """
    source = _open(config, "test", _FROZEN)
    if n:
        source = sources.part(source, _drawn(source, n, np.random.default_rng(seed)))
    return _eval_batches(source, config, batch_size)


def eval_images(
    config: ConfigDict, n: int, rng: np.random.Generator, first: Sequence[int | str] = ()
) -> np.ndarray:
    """Choose `n` different test images, as `open_images`, and read all: (n, H, W, C)."""
    return open_images(config, n, rng, first)[:]


def open_images(
    config: ConfigDict, n: int, rng: np.random.Generator, first: Sequence[int | str] = ()
) -> Images:
    """Choose `n` different test images, to be read when they are asked for.

    No label is used, so a folder may have fewer classes than the model, and photographs none.

    Args:
      config: of a training.
      n: how many; 0: all of them.
      rng: draws them.
      first: which come first, an item for an image: a number is a place in the test set, a name is
        a class, one image of which is drawn. The others are drawn from all.

    Raises:
      BadInput: for a place or a class that there is not, and for fewer images than `n`.
    """
    source = create_source(config.data, "test")
    if len(source.class_names) > config.model.classes:
        sources.check_classes(source, config.model.classes, _FROZEN.classes)
    transforms.check(config.data, len(config.model.mean))
    source = sources.with_channels(source, len(config.model.mean), _FROZEN.channels)
    return Images(source, config.data, _drawn(source, n or len(source), rng, first))


def class_names(config: ConfigDict) -> tuple[str, ...]:
    """Return what the labels of a training config's data mean; () where its images have none."""
    return create_source(config.data, "test").class_names


def eval_examples(
    config: ConfigDict, n: int, rng: np.random.Generator, first: Sequence[int | str] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Choose `n` different test images, as `open_images`, with their labels, (n,) int32."""
    return open_examples(config, n, rng, first).read(slice(None))


def open_examples(
    config: ConfigDict, n: int, rng: np.random.Generator, first: Sequence[int | str] = ()
) -> Images:
    """Choose as `open_images`, of data that have labels and the model's classes."""
    source = _open(config, "test", _FROZEN)
    return Images(source, config.data, _drawn(source, n or len(source), rng, first))


def examples(
    config: ConfigDict, split: str, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Choose as `eval_examples`, of either split, of data that need not have the model's classes.

    Arguments and errors are those of `open_split`.
    """
    return open_split(config, split, n, rng).read(slice(None))


def open_split(config: ConfigDict, split: str, n: int, rng: np.random.Generator) -> Images:
    """Choose as `open_images`, of either split, of data that need not have the model's classes.

    Args:
      config: of a training.
      split: "train" or "test"; training images are not augmented.
      n: how many; 0: all of them.
      rng: draws them.

    Raises:
      BadInput: for images without labels.
    """
    source = create_source(config.data, split)
    sources.check_labeled(source)
    source = sources.with_channels(source, len(config.model.mean), _FROZEN.channels)
    return Images(source, config.data, _drawn(source, n or len(source), rng))


def open_other(
    config: ConfigDict, other: ConfigDict, split: str, n: int, rng: np.random.Generator
) -> Images:
    """Choose as `open_split`, of another data set: `other` has its name and path."""
    return open_split(_with_data(config, other), split, n, rng)


def open_unseen(config: ConfigDict, other: ConfigDict, n: int, rng: np.random.Generator) -> Images:
    """Choose as `open_images`, of those classes of another data set that `config` did not train.

    A class is the same where its name is: `other`, which has a name and a path, may be the set of
    which the training took a part.

    Raises:
      BadInput: if no class is left.
    """
    trained = trained_classes(config.data)
    config = _with_data(config, other)
    source = create_source(config.data, "test")
    sources.check_labeled(source)
    seen = [i for i, name in enumerate(source.class_names) if name in trained]
    unseen = np.flatnonzero(~np.isin(source.labels, seen))
    if not len(unseen):
        raise BadInput(
            f"unseen.name={other.name!r}: the network was trained on all {len(seen)} classes of "
            "it; choose a set that has others"
        )
    source = sources.part(source, unseen)
    source = sources.with_channels(source, len(config.model.mean), _FROZEN.channels)
    return Images(source, config.data, _drawn(source, n or len(source), rng))


def trained_classes(config: ConfigDict) -> set[str]:
    """Return the names of the classes that a data config trains, each group's members by theirs."""
    if config.name == "restricted_imagenet":
        wnids = imagenet.wnids()
        return {wnids[i] for group in imagenet.RESTRICTED.values() for i in group}
    whole = config.copy_and_resolve_references()
    with whole.unlocked():
        whole.update(groups=(), group_names=())
    source = create_source(whole, "test")
    sources.check_labeled(source)
    if not config.groups:
        return set(source.class_names)
    return {
        source.class_names[sources.class_number(source, item)]
        for group in config.groups
        for item in group
    }


def _with_data(config: ConfigDict, other: ConfigDict) -> ConfigDict:
    """Return a training config with the data set, whole, that `other` names."""
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.data.update(name=other.name, path=other.path, groups=(), group_names=())
    return config


def _drawn(
    source: sources.Source, n: int, rng: np.random.Generator, first: Sequence[int | str] = ()
) -> np.ndarray:
    """Draw `n` different records, the first as `open_images` has them; return where they lie."""
    if n > len(source):
        raise BadInput(
            f"{source.name} holds {len(source)} images, {n} are asked for: set a smaller "
            "--config.n, or --config.gallery of a study that has one"
        )
    drawn = rng.choice(len(source), n, replace=False)
    if not first:
        return drawn
    given: list[int] = []
    for item in first:
        given.append(_place(source, item, given, rng))
    return np.concatenate([given, drawn[~np.isin(drawn, given)]])[:n]


def _place(
    source: sources.Source, item: int | str, given: Sequence[int], rng: np.random.Generator
) -> int:
    """Return a place, or one of a class's that is not yet given."""
    if isinstance(item, str):
        named = item in source.class_names
        members = np.flatnonzero(source.labels == source.class_names.index(item)) if named else []
        free = np.setdiff1d(members, given)
        if not len(free):
            raise BadInput(f"first_images: {source.name} has no further image of a class {item!r}")
        return int(rng.choice(free))
    if not 0 <= item < len(source) or item in given:
        raise BadInput(
            f"first_images: {item}: give different places, 0 to {len(source) - 1} in {source.name}"
        )
    return item


def _eval_batches(source: sources.Source, config: ConfigDict, batch_size: int) -> Iterator[Batch]:
    return pipeline.eval_batches(
        source,
        transforms.eval_transform(config.data),
        batch_size=batch_size // jax.process_count(),
        **_shared(config),
    )


def _workers(asked: int) -> int:
    """Return how many processes read; of -1 as many as there are cores to spare, but 8 at most."""
    if asked >= 0:
        return asked
    if jax.default_backend() == "cpu":  # whose computations take all cores
        return 0
    # Each device has a thread that feeds it.
    return min(8, max(0, pipeline.cores() - jax.local_device_count()))


def _shared(config: ConfigDict) -> dict[str, int]:
    return {
        "max_corrupt": config.data.max_corrupt,
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
    }


def _open(config: ConfigDict, split: str, advice: _Advice) -> sources.Source:
    """Open a split and check that the model fits it."""
    if config.data.workers < -1 or config.data.max_corrupt < 0:
        raise BadInput(
            f"data.workers={config.data.workers}, max_corrupt={config.data.max_corrupt}: "
            "give 0 or more, or workers of -1 for as many as there are cores to spare"
        )
    transforms.check(config.data, len(config.model.mean))
    source = create_source(config.data, split)
    sources.check_classes(source, config.model.classes, advice.classes)
    source = sources.with_channels(source, len(config.model.mean), advice.channels)
    if advice is _FROZEN:
        _compare_names(source, config.data.class_names)
    pipeline.readable(source, 0, config.data.max_corrupt)
    return source


def _compare_names(source: sources.Source, trained: Sequence[str]) -> None:
    """Say where the classes of data are not called as those that a network was trained on."""
    pairs = zip(source.class_names, trained, strict=False)
    other = [(here, there) for here, there in pairs if here != there and not here.isdecimal()]
    if other and jax.process_index() == 0:
        here, there = other[0]
        tqdm.write(
            f"{source.name}: {len(other)} of its classes have other names than the network's, as "
            f"{here} for {there}: they are compared by their order",
            file=sys.stderr,
        )


def create_source(config: ConfigDict, split: str) -> sources.Source:
    """Make the source that a data config names, for split "train" or "test".

    A name is one of SOURCES or a TFDS classification set's.

    Raises:
      BadInput: for another name, groups that cannot be, and data that are missing or damaged.
    """
    sources.check_groups(config.groups, config.group_names)
    make = SOURCES.get(config.name, _records)
    source = make(config, split)
    # Photographs have no classes to group; the groups are of the network's own training.
    if not config.groups or not source.class_names:
        return source
    return sources.grouped(source, config.groups, config.group_names, config.balanced)


def _records(config: ConfigDict, split: str) -> sources.Source:
    return records.records(config.name, config.path, split)


def _restricted(config: ConfigDict, split: str) -> sources.Source:
    return imagenet.restricted(records.records("imagenet2012", config.path, split))


SOURCES = {
    "digits": lambda config, split: sources.digits(split, config.image_size),
    "folder": lambda config, split: folder.folder(config.path, split),
    "idx": lambda config, split: idx.idx(config.path, split),
    "npy": lambda config, split: npy.npy(config.path, split),
    "photographs": lambda config, split: folder.photographs(config.path, split),
    "restricted_imagenet": _restricted,
}
