"""Sources: random access to uint8 images and their labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from rrjax import BadInput


@dataclass(frozen=True, eq=False)
class Source:
    """A set of n records: `source[i]` is {"image": uint8 (H, W, 1 or 3), "label": np.int32}.

    `name` is for messages, `read(i)` gives image i, `labels` is int32 (n,) and
    `class_names[label]` says what a label means; without class names the labels say nothing.
    """

    name: str
    read: Callable[[int], np.ndarray]
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read record `index`: {"image", "label"}."""
        label = self.labels[index]  # First: its IndexError ends an iteration over the source.
        return {"image": self.read(index), "label": label}


def arrays(images: ArrayLike, labels: ArrayLike, class_names: Sequence[str], name: str) -> Source:
    """Make a source from memory.

    Args:
      images: (n, H, W), (n, H, W, 1) or (n, H, W, 3), uint8 or floats in [0, 1].
      labels: n integers.
      class_names: one name for each label.
      name: of the source, for messages.

    Raises:
      BadInput: for another shape or type, a value outside [0, 1], or a label of no class.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise BadInput(
            f"{name}: images have the shape {images.shape}; give (n, H, W, 1 or 3) or (n, H, W)"
        )
    if labels.shape != (len(images),) or len(images) == 0:
        raise BadInput(
            f"{name}: {len(images)} images and labels of shape {labels.shape}; give one label an "
            "image, and at least one"
        )
    if images.dtype != np.uint8:
        images = _as_uint8(images, name)
    labels = _checked_labels(labels, class_names, name)
    return Source(name, images.__getitem__, labels, tuple(class_names))


def _as_uint8(images: np.ndarray, name: str) -> np.ndarray:
    if not np.issubdtype(images.dtype, np.floating):
        raise BadInput(f"{name}: images are {images.dtype}; give uint8 or floats in [0, 1]")
    wrong = ~((images >= 0) & (images <= 1))  # Said so that a NaN is wrong too.
    if wrong.any():
        first = tuple(np.argwhere(wrong)[0])
        raise BadInput(
            f"{name}: image {first[0]} holds {images[first]}; scale floats to [0, 1] or give uint8"
        )
    return np.rint(images * 255).astype(np.uint8)


def _checked_labels(labels: np.ndarray, class_names: Sequence[str], name: str) -> np.ndarray:
    if not np.issubdtype(labels.dtype, np.integer):
        raise BadInput(f"{name}: labels are {labels.dtype}; give integers")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(class_names)))
    if len(wrong):
        raise BadInput(
            f"{name}: record {wrong[0]} has the label {labels[wrong[0]]}; with "
            f"{len(class_names)} class names labels are 0 to {len(class_names) - 1}"
        )
    return labels.astype(np.int32)


def digits(split: str, image_size: int) -> Source:
    """Make scikit-learn's handwritten digits: 1437 to train, 360 to test, always the same ones.

    Images are gray, (image_size, image_size, 1).

    Raises:
      BadInput: for image_size < 8.
    """
    if image_size < 8:
        raise BadInput(
            f"digits: image_size={image_size} is below the images' own 8; "
            "set --config.data.image_size=8 or more"
        )
    from sklearn.datasets import load_digits  # a second, which no other data need
    from sklearn.model_selection import train_test_split

    data = load_digits()
    train, test = train_test_split(
        np.arange(len(data.target)), test_size=360, stratify=data.target, random_state=0
    )
    chosen = np.sort({"train": train, "test": test}[split])
    small = np.rint(data.images[chosen] * (255 / 16)).astype(np.uint8)
    size = (image_size, image_size)
    images = [
        np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) for image in small
    ]
    class_names = tuple(map(str, data.target_names))
    return arrays(np.stack(images), data.target[chosen], class_names, f"digits/{split}")


def with_channels(source: Source, channels: int, advice: str) -> Source:
    """Give every image of a source `channels` channels: gray ones are repeated.

    Reading an image of three channels where one is asked for raises BadInput, with the advice.
    """

    def read(index: int) -> np.ndarray:
        image = source.read(index)
        if image.shape[-1] == channels:
            return image
        if image.shape[-1] == 1:
            return np.repeat(image, channels, axis=-1)
        raise BadInput(
            f"{source.name}: image {index} has {image.shape[-1]} channels, the model takes "
            f"{channels}: {advice}"
        )

    return replace(source, read=read)


def part(source: Source, chosen: np.ndarray) -> Source:
    """Make the view of a source that holds only the records `chosen`, in that order."""
    return replace(source, read=lambda i: source.read(int(chosen[i])), labels=source.labels[chosen])


def grouped(
    source: Source,
    groups: Sequence[Sequence[int | str]],
    names: Sequence[str],
    balanced: bool,
) -> Source:
    """Make the view of a source in which class `i` is all the records of the classes `groups[i]`.

    Args:
      source: the records.
      groups: for every new class the old ones, each by its number or its name; records of no group
        are left out.
      names: one for each group.
      balanced: take of every group only as many of its lowest classes as the smallest group has
        (the reference's CustomImageNet).

    Raises:
      BadInput: for groups that are no list of lists, a class that is unknown or in two groups,
        names that are not one text of its own for each group, and a group without records.
    """
    check_groups(groups, names)
    classes = [sorted(class_number(source, item) for item in group) for group in groups]
    if balanced:
        fewest = min(map(len, classes))
        classes = [group[:fewest] for group in classes]
    new_label = np.full(len(source.class_names), -1, np.int32)
    for label, group in enumerate(classes):
        for old in group:
            if new_label[old] >= 0:
                raise BadInput(
                    f"data.groups: class {old} ({source.class_names[old]}) is there twice"
                )
            new_label[old] = label
    labels = new_label[source.labels]
    members = np.flatnonzero(labels >= 0)
    labels = labels[members]
    counts = np.bincount(labels, minlength=len(groups))
    if not counts.all():
        raise BadInput(
            f"{source.name} has no record of the group {names[int(np.argmin(counts))]!r}; "
            "leave it out of data.groups, or prepare the whole set"
        )
    return Source(source.name, lambda i: source.read(int(members[i])), labels, tuple(names))


def check_groups(groups: Any, names: Any) -> None:
    """Check that a source could be `grouped` by groups and names; both may be empty.

    Raises:
      BadInput: naming the field that is wrong.
    """
    if not (_is_list(groups) and all(map(_is_list, groups))):
        raise BadInput(
            f"data.groups={groups!r}: give a list of classes for every group, such as "
            "((0, 1), (2,))"
        )
    texts = _is_list(names) and all(isinstance(n, str) and n.strip() for n in names)
    if not texts or len(set(names)) < len(names):
        raise BadInput(f"data.group_names={names!r}: give every group a name of its own, a text")
    if names and not groups:
        raise BadInput(
            f"data.group_names={names!r} names no groups: set data.groups too, or leave both empty"
        )
    if len(names) != len(groups) or not all(groups):
        raise BadInput(
            f"data.groups has {len(groups)} groups {[len(g) for g in groups]} and data.group_names "
            f"{len(names)} names: give every group a name and at least one class"
        )


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | range)


def class_number(source: Source, item: Any) -> int:
    """Turn a class's name, or its number, into its number.

    Raises:
      BadInput: for a class that the source has not.
    """
    if isinstance(item, str):
        if item not in source.class_names:
            raise BadInput(f"data.groups: {source.name} has no class {item!r}")
        return source.class_names.index(item)
    if isinstance(item, bool) or not isinstance(item, Integral):
        raise BadInput(f"data.groups: {item!r} is no class: give its number or its name")
    number = int(item)
    if not 0 <= number < len(source.class_names):
        raise BadInput(
            f"data.groups: {source.name} has no class {item}; they are 0 to "
            f"{len(source.class_names) - 1}"
        )
    return number


def describe(source: Source) -> str:
    """Describe in one line what a source holds."""
    counts = np.bincount(source.labels, minlength=len(source.class_names))
    line = f"{source.name}: {len(source):,} images of {len(counts):,} classes"
    if len(counts) > 20:
        return line
    listed = (f"{n} {count:,}" for n, count in zip(source.class_names, counts, strict=True))
    return f"{line} ({', '.join(listed)})"


def check_labeled(source: Source) -> None:
    """Check that a source's labels say something.

    Raises:
      BadInput: if it has no class names.
    """
    if not source.class_names:
        raise BadInput(
            f"{source.name}: photographs have no labels, which are needed here: give a labeled set "
            "by --config.data.name and --config.data.path"
        )


def check_classes(source: Source, classes: int, advice: str) -> None:
    """Check that a model of `classes` outputs fits the source's labels.

    Raises:
      BadInput: with the advice, in which {needed} is the number of classes that would; and for a
        source without labels.
    """
    check_labeled(source)
    needed = max(len(source.class_names), int(source.labels.max()) + 1)
    if needed != classes:
        raise BadInput(
            f"{source.name} has {needed} classes and the model {classes}; "
            f"{advice.format(needed=needed)}"
        )
