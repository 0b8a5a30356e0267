"""How fast are the images of training read, decoded and transformed on the host?

python -m rrjax.bench --config=configs/bench_data.py --workdir=runs/bench_data

Every loader is given the same JPEG files and delivers uint8 batches. In each round every loader has
its turn, so that what the machine does besides meets all of them; ratios are taken within a round.
"""

import importlib.util
import io
import itertools
import os
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from ml_collections import ConfigDict
from PIL import Image
from sklearn.datasets import load_sample_images

from rrjax import BadInput, runs
from rrjax.data import folder, pipeline, sources, transforms
from rrjax.data.decode import decode
from rrjax.runs import report

BASELINE = "Pillow loop"
Loader = tuple[Callable[[], Iterator], int | None]  # () -> batches, the cores it can use; None: all


def run(config: ConfigDict, workdir: str) -> None:
    """Time every loader; write results.json and a section of report.html, and print the table.

    Raises:
      BadInput: for counts below 1, and for a file of config.path that is no JPEG.
    """
    _check(config)
    runs.make_folder(workdir)
    contents = _files(config) if config.path else _photographs(config)
    loaders = _loaders(config, contents)
    rates = {name: [] for name in loaders}
    for _ in range(config.rounds):
        for name, (batches, _) in loaders.items():
            rates[name].append(_rate(batches(), config))
    cores = len(os.sched_getaffinity(0))
    results = _summarize(rates, {name: one or cores for name, (_, one) in loaders.items()})
    section = _section(config, contents, cores, results)
    numbers = {"cores": cores, "n": len(contents), "loaders": results}
    runs.publish(workdir, config, section, numbers)


def _check(config: ConfigDict) -> None:
    for name in ("n", "batch_size", "batches", "rounds"):
        if config[name] < 1:
            raise BadInput(f"--config.{name}={config[name]}: it must be at least 1")
    if not config.workers or min(config.workers) < 0:
        raise BadInput(f"--config.workers={config.workers}: give one number or more, none below 0")
    transforms.check(config.transform, 3)


def _photographs(config) -> list[bytes]:
    """Cut 500x375 JPEGs, ImageNet's usual size, out of two photographs; 61 KB each."""
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    rng = np.random.default_rng(config.seed)
    return [_cut(photos[i % len(photos)], rng) for i in range(config.n)]


def _cut(photo, rng) -> bytes:
    left, top = (int(rng.integers(a - b + 1)) for a, b in zip(photo.size, (500, 375), strict=True))
    file = io.BytesIO()
    photo.crop((left, top, left + 500, top + 375)).save(file, "JPEG", quality=92)
    return file.getvalue()


def _files(config) -> list[bytes]:
    paths, _, _ = folder.files(config.path, "train")
    chosen = np.random.default_rng(config.seed).permutation(len(paths))[: config.n]
    contents = [paths[i].read_bytes() for i in chosen]
    for i, content in zip(chosen, contents, strict=True):
        if not content.startswith(b"\xff\xd8"):
            raise BadInput(f"{paths[i]}: not a JPEG file; the loaders are compared on JPEG alone")
        decode(content, str(paths[i]))
    return contents


def _loaders(config, contents) -> dict[str, Loader]:
    """Return name -> loader."""
    loaders: dict[str, Loader] = {BASELINE: (partial(_loop, config, contents), 1)}
    for name, decoder in (("Pillow", _pillow), ("simplejpeg", decode)):
        for workers in config.workers:
            batches = partial(_pipeline, config, contents, decoder, workers)
            loaders[f"rrjax, {name}, {workers} workers"] = (batches, None)
    if importlib.util.find_spec("tensorflow"):
        loaders["tf.data"] = (partial(_tf_data, config, contents), None)
    return loaders


def _pillow(content: bytes, _name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def _loop(config, contents) -> Iterator:
    """Do what a plain script would: one image after the other, on one core."""
    transform = transforms.train_transform(config.transform)
    rng = np.random.default_rng(config.seed)
    endless = itertools.cycle(contents)
    while True:
        images = [_pillow(content, "") for content in itertools.islice(endless, config.batch_size)]
        records = [transform({"image": image, "label": np.int32(0)}, rng) for image in images]
        yield {key: np.stack([record[key] for record in records]) for key in records[0]}


def _pipeline(config, contents, decoder, workers: int) -> Iterator:
    source = sources.Source(
        "bench", lambda i: decoder(contents[i], str(i)), np.zeros(len(contents), np.int32), ("any",)
    )
    return pipeline.train_batches(
        sources.with_channels(source, 3, "give images of 1 or 3"),
        transforms.train_transform(config.transform),
        batch_size=config.batch_size,
        seed=config.seed,
        first_step=0,
        workers=workers,
        max_corrupt=0,
        process_index=0,
        process_count=1,
    )


def _tf_data(config, contents) -> Iterator:
    """Do the same with TensorFlow: it decodes the crop alone, and resizes without antialiasing."""
    tf = importlib.import_module("tensorflow")
    size, scale = config.transform.image_size, config.transform.crop_scale

    def transform(content):
        box = tf.image.sample_distorted_bounding_box(
            tf.image.extract_jpeg_shape(content),
            tf.zeros((1, 0, 4)),
            area_range=scale,
            aspect_ratio_range=(3 / 4, 4 / 3),
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.concat([box[0][:2], box[1][:2]], 0)
        image = tf.image.decode_and_crop_jpeg(content, window, channels=3)
        image = tf.image.random_flip_left_right(tf.image.resize(image, (size, size)))
        return tf.cast(tf.round(image), tf.uint8)

    images = tf.data.Dataset.from_tensor_slices(contents).shuffle(len(contents)).repeat()
    images = images.map(transform, tf.data.AUTOTUNE).batch(config.batch_size)
    return images.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()


def _rate(batches: Iterator, config) -> float:
    """Return images per second, after a warm-up that empties what was made before the clock ran."""
    for _ in itertools.islice(batches, 3):
        pass
    start = time.monotonic()
    for _ in itertools.islice(batches, config.batches):
        pass
    return config.batches * config.batch_size / (time.monotonic() - start)


def _summarize(rates: dict[str, list[float]], cores: dict[str, int]) -> list[dict]:
    baseline = np.array(rates[BASELINE])
    return [
        {
            "loader": name,
            "images_per_second": report.spread(np.array(rate)),
            "per_core": report.spread(np.array(rate) / cores[name]),
            "per_core_ratio": report.spread(np.array(rate) / cores[name] / baseline),
        }
        for name, rate in rates.items()
    ]


def _section(config: ConfigDict, contents, cores: int, results: list[dict]) -> report.Section:
    size = np.mean([len(content) for content in contents]) / 1000
    rows = [
        [
            row["loader"],
            report.with_interval(row["images_per_second"], 0),
            report.with_interval(row["per_core"], 0),
            report.with_interval(row["per_core_ratio"], 2),
        ]
        for row in results
    ]
    return report.Section(
        name="data",
        title="Data pipeline",
        text=[
            f"{len(contents)} JPEG files of {size:.0f} KB on average, to uint8 batches of "
            f"{config.batch_size} at {config.transform.image_size} pixels; {cores} cores; median "
            f"[least, greatest] of {config.rounds} rounds; ratio to the Pillow loop of its round."
        ],
        header=["loader", "images/s", "images/s a core", "ratio a core"],
        rows=rows,
        figures=[],
    )
