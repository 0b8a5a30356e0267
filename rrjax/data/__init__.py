"""What a run reads, put together: sources, the transform of one record, the pipeline."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from rrjax.data import pipeline, sources, transforms
from rrjax.errors import BadInput

Batch = dict[str, np.ndarray]


class Data(NamedTuple):
    """The batches of a training run, this process's part of each.

    train: endless; it has get_state and set_state. test: () -> one pass over every example,
    padded and masked. An epoch is as many whole batches as fit the training set; the stream itself
    drops nothing.
    """

    train: Iterator[Batch]
    test: Callable[[], Iterable[Batch]]
    steps_per_epoch: int


def create(config) -> Data:
    """Open the data of a training config.

    Raises:
      BadInput: if the data are missing, or do not fit the model's classes or channels.
    """
    train = _open(config, "train")
    iterator = pipeline.train_batches(
        train,
        transforms.train_transform(config.data),
        batch_size=config.batch_size // jax.process_count(),
        seed=config.seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    test = _test_batches(_open(config, "test"), config, config.batch_size)
    return Data(iterator, lambda: test, max(1, len(train) // config.batch_size))


def test_batches(config, batch_size: int) -> Iterable[Batch]:
    """Open the test set of a training config: one pass, the last batch padded and masked."""
    return _test_batches(_open(config, "test"), config, batch_size)


def test_images(config, n: int, rng: np.random.Generator) -> np.ndarray:
    """Choose `n` different test images: (n, H, W, C), float32 in [0,1]."""
    source = _open(config, "test")
    if n > len(source):
        raise BadInput(
            f"{source.name} holds {len(source)} images, {n} are asked for: set a smaller --config.n"
        )
    transform = transforms.test_transform(config.data)
    chosen = rng.choice(len(source), n, replace=False)
    return pixels(np.stack([transform(source[i])["image"] for i in chosen]))


def pixels(images):
    """Map uint8 images, of numpy or jax, to float32 in [0,1]."""
    return images.astype(np.float32) / 255


def _test_batches(source: sources.Source, config, batch_size: int) -> Iterable[Batch]:
    return pipeline.test_batches(
        source,
        transforms.test_transform(config.data),
        batch_size=batch_size // jax.process_count(),
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )


def _open(config, split: str) -> sources.Source:
    if config.data.image_size < 1 or config.data.crop_padding < 0:
        raise BadInput(
            f"data.image_size={config.data.image_size}, crop_padding={config.data.crop_padding}: "
            "give a size of at least 1 and a padding of at least 0"
        )
    source = sources.create(config.data, split)
    sources.check_classes(source, config.model.classes)
    channels = source[0]["image"].shape[-1]
    if channels != len(config.model.mean):
        raise BadInput(
            f"{source.name} has {channels} channels, the model {len(config.model.mean)}: "
            "give --config.model.mean and --config.model.std one number a channel"
        )
    return source


test_batches.__test__ = test_images.__test__ = False  # the field's names; not pytest's
