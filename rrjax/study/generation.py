"""What can a decoder of features make that was not there? What lies between images; new ones.

Beyond Rojas-Gomez et al. (2021): the mixture of two images' features, decoded, beside the image
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
from ml_collections import ConfigDict

from rrjax import BadInput, data, runs
from rrjax.core import gaussian, representation, vmapped
from rrjax.core.manifold import Manifold, flattened
from rrjax.core.vmapped import in_parts, timed
from rrjax.runs import figures, report
from rrjax.study.comparison import require, section, summarized

SHOWN = 3  # pairs of which the paths are shown

COLUMNS = {
    "network": "network",
    "evaluator": "evaluated by",
    "images": "images",
    "distance_reached": "distance reached",
    "to_real": "to a real image",
    "accuracy": "accuracy",
    "seconds": "seconds an image",
}


def run(config: ConfigDict, workdir: str) -> None:
    """Mix and draw features with every autoencoder of the config.

    Raises:
      BadInput: for autoencoders that cannot be loaded, and for counts that are too small.
    """
    require(config, n=2, gallery=2, samples=2, points=3, steps=1, batch_size=1, train_n=0)
    if not config.step_size > 0:
        raise BadInput(f"step_size={config.step_size}: it must be positive")
    autoencoders = runs.load_autoencoders(config)
    trained = next(iter(autoencoders.values())).config
    rng = np.random.default_rng(config.seed)
    images, labels = data.examples(trained, "test", 2 * config.n + config.gallery, rng)
    left, right, gallery = np.split(images, [config.n, 2 * config.n])
    examples = data.examples(trained, "train", config.train_n, rng)
    runs.make_folder(workdir)
    rows, pictures, between = [], [], {}
    for number, (name, autoencoder) in enumerate(autoencoders.items()):
        flat = _flat(autoencoder)
        middles, paths = _between(flat, left, right, config)
        drawn, classes = _drawn(flat, examples, config)
        decoded = _decoded(flat, gallery, config)
        reference = labels[2 * config.n :]
        labeled = {"samples": (drawn, classes), "test images, decoded": (decoded, reference)}
        labeled["test images"] = (gallery, reference)
        evaluator = runs.other_network(name, autoencoders)
        scored = _rows(autoencoders[evaluator].encoder, gallery, middles, labeled, config)
        names = {"network": name, "evaluator": evaluator}
        rows += [names | {"images": kind} | row for kind, row in scored.items()]
        between[name] = figures.save_grid(workdir, f"generation_between_{number}", paths)
        pictures.append((between[name], f"{name}: between two test images"))
        samples = _by_class(drawn, classes)
        file = figures.save_grid(workdir, f"generation_samples_{number}", samples)
        pictures.append((file, f"{name}: drawn for each class"))
    pictures.append(report.weights_slider(between, config.points))
    title = "New images from features"
    shown = [
        row | ({"seconds": f"{row['seconds']:.2g}"} if "seconds" in row else {}) for row in rows
    ]
    part = section(config, title, _text(config), shown, COLUMNS, pictures, digits=3)
    runs.publish(workdir, config, part, {"rows": rows})


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
    """Return each method's middles, distances and seconds an image; and a few whole paths."""
    apply = representation.of_features(flat.encode)
    search = partial(_search, apply, step_size=config.step_size)
    methods = {"pixels": _blend, "decoder": partial(_mix, flat)}
    methods["search"] = partial(search, steps=config.steps)
    compiling = methods | {"search": partial(search, steps=1)}
    shown = min(SHOWN, len(left))
    ends = [np.repeat(stack[:shown], config.points, axis=0) for stack in (left, right)]
    weights = np.tile(np.linspace(0, 1, config.points, dtype=np.float32), shown)
    halves = np.full(len(left), 0.5, np.float32)
    middles, paths = {}, {}
    for method, make in methods.items():
        path = in_parts(make, config.batch_size, *ends, weights)
        paths |= {(i, method): images for i, images in enumerate(np.split(path, shown))}
        pairs = (config.batch_size, left, right, halves)
        in_parts(compiling[method], *pairs)
        images, seconds = timed(in_parts, make, *pairs)
        reached = in_parts(partial(_reached, flat), config.batch_size, images, left, right)
        middles[f"between two, by {method}"] = (images, reached, seconds / len(left))
    return middles, {f"{method} {i + 1}": paths[i, method] for i, method in sorted(paths)}


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


def _rows(evaluator: runs.Frozen, gallery, middles: dict, labeled: dict, config) -> dict[str, dict]:
    """Score all that was made as another network sees it, by kind."""
    _, references = vmapped.represent_images(evaluator.apply, gallery, config.batch_size)

    def distances(images):
        return vmapped.nearest_distance(evaluator.apply, images, references, config.batch_size)

    def correct(images, labels):
        logits, _ = vmapped.represent_images(evaluator.apply, images, config.batch_size)
        return logits.argmax(-1) == labels

    rows = {}
    for kind, (images, reached, seconds) in middles.items():
        scores = {"distance_reached": reached, "to_real": distances(images)}
        rows[kind] = {"seconds": seconds} | summarized(scores, config.seed)
    for kind, (images, labels) in labeled.items():
        scores = {"accuracy": correct(images, labels)}
        if kind != "test images":  # which are the real images
            scores = {"to_real": distances(images)} | scores
        rows[kind] = summarized(scores, config.seed)
    return rows


def _text(config) -> list[str]:
    return [
        "Between two test images: the mixture of their pixels; the image that gradient steps find, "
        "from there, for the mixture of their features; that mixture decoded. Samples: features "
        "drawn from a Gaussian with the mean and covariance of a class's training images, decoded. "
        "They are evaluated by another encoder: the least normalized representation distance to "
        f"{config.gallery} real test images, and whether it sees the class.",
        f"n = {config.n} pairs, {config.samples} samples a class; {config.steps} l2 steps of "
        f"{config.step_size:g}; {config.batch_size} images at a time; mean and 95 % "
        "interval over images. Distance reached: to the mixture of the features, in its norm.",
    ]
