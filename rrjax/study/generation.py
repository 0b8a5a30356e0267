"""What can a decoder of features make that was not there? What lies between images; new ones.

Beyond Rojas-Gomez et al. (2022): the mixture of two images' features, decoded, beside the image
that gradient steps find for the same mixture; and, for each class, features drawn from a Gaussian
that was fitted to those of its training images, decoded. *Another* encoder, the standard one for
the robust one's images and the other way round, says how far they are from real test images, and
whether it sees their class.

python -m rrjax.study --config=configs/generation.py --workdir=runs/quickstart
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from rrjax import data, runs
from rrjax.core import gaussian, representation, vmapped
from rrjax.core.manifold import Manifold, flattened
from rrjax.core.vmapped import in_parts, timed
from rrjax.errors import BadInput
from rrjax.evaluate import metrics
from rrjax.runs import figures, report

SHOWN = 3  # pairs of which the paths are shown
SCORES = ("distance reached", "to a real image", "accuracy")


def run(config, workdir: str) -> None:
    """Mix and draw features with every autoencoder of the config."""
    _check(config)
    found = runs.load_autoencoders(config)
    trained = next(iter(found.values())).config
    rng = np.random.default_rng(config.seed)
    images, labels = data.examples(trained, "test", 2 * config.n + config.gallery, rng)
    left, right, gallery = np.split(images, [config.n, 2 * config.n])
    examples = data.examples(trained, "train", config.train_n, rng)
    runs.make_folder(workdir)
    rows, pictures = [], []
    for number, (name, autoencoder) in enumerate(found.items()):
        judge = runs.other_network(name, found)
        flat = _flat(autoencoder)
        middles, paths = _between(flat, left, right, config)
        drawn, classes = _drawn(flat, examples, config)
        decoded = _decoded(flat, gallery, config)
        known = labels[2 * config.n :]
        labeled = {"samples": (drawn, classes), "test images, decoded": (decoded, known)}
        labeled["test images"] = (gallery, known)
        for kind, row in _rows(found[judge].encoder, gallery, middles, labeled, config).items():
            rows.append({"network": name, "judge": judge, "images": kind} | row)
        grids = {"between": ("between two test images", paths)}
        grids["samples"] = ("drawn for each class", _by_class(drawn, classes))
        for file, (caption, grid) in grids.items():
            file = figures.save_grid(workdir, f"generation_{file}_{number}", grid)
            pictures.append((file, f"{name}: {caption}"))
    runs.publish(workdir, config, _section(config, rows, pictures), {"rows": rows})


def _check(config) -> None:
    if min(config.n, config.gallery, config.samples) < 2 or config.points < 3:
        raise BadInput(
            f"n={config.n}, gallery={config.gallery}, samples={config.samples}, "
            f"points={config.points}: give 2 of each at least, 3 points"
        )
    if min(config.steps, config.batch_size) < 1 or config.step_size <= 0 or config.train_n < 0:
        raise BadInput(
            f"steps={config.steps}, batch_size={config.batch_size}, step_size={config.step_size}: "
            f"they must be positive; train_n={config.train_n} may be 0 for all"
        )


def _flat(autoencoder: runs.Autoencoder) -> Manifold:
    size, channels = autoencoder.config.data.image_size, len(autoencoder.config.model.mean)
    return flattened(autoencoder.encode, autoencoder.decode, (size, size, channels))


@jax.jit
def _encode(flat, images):
    return jax.vmap(flat.encode)(images)


@jax.jit
def _decode(flat, latents):
    return jax.vmap(flat.decode)(latents)


def _decoded(flat: Manifold, images, config) -> np.ndarray:
    return in_parts(partial(runs.reconstruct, flat.encode, flat.decode), config.batch_size, images)


@jax.jit
def _mix(flat, left, right, weights):
    def between(left, right, weight):
        return flat.decode((1 - weight) * flat.encode(left) + weight * flat.encode(right))

    return jax.vmap(between)(left, right, weights)


@jax.jit
def _search(apply, left, right, weights, **options):
    between = partial(representation.interpolate, apply, **options)
    return jax.vmap(between)(left, right, weights).x


@jax.jit
def _blend(left, right, weights):
    return jax.vmap(lambda a, b, weight: (1 - weight) * a + weight * b)(left, right, weights)


@jax.jit
def _reached(flat, images, left, right):
    """Return how far images' features are from the middle of two images', in its norm."""

    def distance(image, left, right):
        middle = (flat.encode(left) + flat.encode(right)) / 2
        return jnp.linalg.norm(flat.encode(image) - middle) / jnp.linalg.norm(middle)

    return jax.vmap(distance)(images, left, right)


def _between(flat: Manifold, left, right, config) -> tuple[dict, dict]:
    """Return each way's middles, distances and seconds an image; and a few whole paths."""
    apply = representation.of_features(flat.encode)
    search = partial(_search, apply, step_size=config.step_size)
    ways = {"pixels": _blend, "decoder": partial(_mix, flat)}
    ways["search"] = partial(search, steps=config.steps)
    compiling = ways | {"search": partial(search, steps=1)}
    shown = min(SHOWN, len(left))
    ends = [np.repeat(stack[:shown], config.points, axis=0) for stack in (left, right)]
    weights = np.tile(np.linspace(0, 1, config.points, dtype=np.float32), shown)
    halves = np.full(len(left), 0.5, np.float32)
    middles, paths = {}, {}
    for way, make in ways.items():
        path = in_parts(make, config.batch_size, *ends, weights)
        paths |= {(i, way): images for i, images in enumerate(np.split(path, shown))}
        pairs = (config.batch_size, left, right, halves)
        in_parts(compiling[way], *pairs)
        images, seconds = timed(in_parts, make, *pairs)
        reached = in_parts(partial(_reached, flat), config.batch_size, images, left, right)
        middles[f"between two, by {way}"] = (images, reached, seconds / len(left))
    return middles, {f"{way} {i + 1}": paths[i, way] for i, way in sorted(paths)}


def _drawn(flat: Manifold, examples, config) -> tuple[np.ndarray, np.ndarray]:
    """Draw images of every class, from a Gaussian of its examples' features; and the classes."""
    images, labels = examples
    latents = in_parts(partial(_encode, flat), config.batch_size, images)
    drawn = []
    for label in np.unique(labels):
        key = jax.random.fold_in(jax.random.key(config.seed), label)
        drawn.append(_draws(latents[labels == label], key, config.samples))
    classes = np.repeat(np.unique(labels), config.samples)
    return in_parts(partial(_decode, flat), config.batch_size, np.concatenate(drawn)), classes


def _draws(latents, key, n: int) -> np.ndarray:
    fitted = gaussian.fit(jnp.asarray(latents))
    return np.asarray(jax.vmap(partial(gaussian.draw, fitted))(jax.random.split(key, n)))


def _by_class(drawn, classes) -> dict[str, np.ndarray]:
    return {f"class {label}": drawn[classes == label][:10] for label in np.unique(classes)}


def _rows(judge: runs.Frozen, gallery, middles: dict, labeled: dict, config) -> dict[str, dict]:
    """Judge all that was made, by kind."""

    def near(images):
        return vmapped.nearest_distance(judge.apply, images, gallery, config.batch_size)

    def seen(images, labels):
        logits, _ = vmapped.represent_images(judge.apply, images, config.batch_size)
        return logits.argmax(-1) == labels

    rows = {}
    for kind, (images, reached, seconds) in middles.items():
        scores = {"distance reached": reached, "to a real image": near(images)}
        rows[kind] = {"seconds": seconds} | _summaries(scores, config)
    for kind, (images, labels) in labeled.items():
        scores = {"to a real image": near(images), "accuracy": seen(images, labels)}
        rows[kind] = _summaries(scores, config)
    del rows["test images"]["to a real image"]  # they are the real images
    return rows


def _summaries(scores: dict, config) -> dict[str, dict]:
    return {name: metrics.summarize(values, config.seed) for name, values in scores.items()}


def _section(config, rows: list[dict], pictures: list) -> report.Section:
    return report.Section(
        name="generation",
        title="New images from features",
        text=[
            "Between two test images: the mixture of their pixels; the image that gradient steps "
            "find, from there, for the mixture of their features; that mixture decoded. Samples: "
            "features drawn from a Gaussian with the mean and covariance of a class's training "
            "images, decoded. The judge is another encoder: the least normalized representation "
            f"distance to {config.gallery} real test images, and whether it sees the class.",
            f"n = {config.n} pairs, {config.samples} samples a class; {config.steps} l2 steps of "
            f"{config.step_size:g}; {config.batch_size} images at a time; mean and 95 % bootstrap "
            "interval over images. Distance reached: to the mixture of the features, in its norm.",
        ],
        header=["network", "judge", "images", *SCORES, "seconds an image"],
        rows=[
            [row["network"], row["judge"], row["images"]]
            + [report.with_interval(row[s], 3) if s in row else "" for s in SCORES]
            + [f"{row['seconds']:.2g}" if "seconds" in row else ""]
            for row in rows
        ],
        figures=pictures,
    )
