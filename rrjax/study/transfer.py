"""Are robust representations better ones to build on?

Beyond the paper (Salman et al. 2020, "Do Adversarially Robust ImageNet Models Transfer Better?"):
the networks stay as they are, and on their representations of another data set's images a linear
probe and k nearest neighbors are trained; the pixels themselves are the baseline. The picture:
images and their nearest neighbors, by the representation.

python -m rrjax.study --config=configs/transfer.py --workdir=runs/quickstart
"""

import numpy as np
from ml_collections import ConfigDict
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rrjax import BadInput, data, runs
from rrjax.core import vmapped
from rrjax.data import outside
from rrjax.runs import figures
from rrjax.study.comparison import in_pairs, publish, require

PATTERNS = "patterns"
PIXELS = "pixels"

COLUMNS = {
    "network": "features",
    "dimensions": "dimensions",
    "linear_probe": "linear probe",
    "nearest_neighbors": "nearest neighbors",
}


def run(config: ConfigDict, workdir: str) -> None:
    """Probe every network's representations, and the pixels."""
    require(config, train_n=2, test_n=2, neighbors=1)
    if config.neighbors > config.train_n:
        raise BadInput(
            f"neighbors={config.neighbors}, train_n={config.train_n}: give no more neighbors than "
            "training images"
        )
    networks = runs.load_networks(config)
    trained = next(iter(networks.values())).config
    train_images, train_labels = _examples(trained, "train", config)
    test_images, test_labels = _examples(trained, "test", config)
    runs.make_folder(workdir)
    rows, probed, pictures = [], [], []
    for name in (*networks, *([PIXELS] if config.pixels else [])):
        train, test = (
            _features(images, networks.get(name), config) for images in (train_images, test_images)
        )
        scores, neighbors = _probe((train, train_labels), (test, test_labels), config.neighbors)
        names = {"network": name, "dimensions": train.shape[1]}
        probed.append(scores)
        rows.append(names | in_pairs(scores, probed[0], config.seed))
        shown = test_images[: config.shown]
        nearest = neighbors[: config.shown]
        of_shown = train_images[nearest.ravel()].reshape(*nearest.shape, *shown.shape[1:])
        pictures.append(_picture(workdir, name, len(pictures), shown, of_shown))
    title = "Representations on another data set"
    publish(workdir, config, title, _text(config), rows, COLUMNS, pictures, digits=3)


def _examples(trained: ConfigDict, split: str, config) -> tuple[vmapped.Rows, np.ndarray]:
    """Choose images (n, H, W, C) of the other data set, at the networks' size, and labels.

    Those of a data set are read when they are asked for, so that no study holds all of them; but
    the pixels' own probe does.
    """
    n = {"train": config.train_n, "test": config.test_n}[split]
    size, channels = trained.data.image_size, len(trained.model.mean)
    if config.other.name == PATTERNS:
        # Two seeds that share no image.
        seed = 2 * config.seed + (split == "test")
        images = outside.patterns(n, size, channels, seed)
        return images, np.arange(n) % len(outside.PATTERNS)
    rng = np.random.default_rng(config.seed)
    images = data.open_other(trained, config.other, split, n, rng)
    return images, images.labels


def _features(images: vmapped.Rows, network: runs.Frozen | None, config) -> np.ndarray:
    """Return a network's representations of images, (n, D); without a network, their pixels."""
    if network is None:
        return images[:].reshape(len(images), -1)
    return vmapped.represent_images(network.apply, images, config.batch_size)[1]


def _probe(train: tuple, test: tuple, neighbors: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Train two classifiers on features, and evaluate them on others.

    train, test: features (n, D) and labels (n,). Returns which test examples each classifier gets
    right, and which training examples are the nearest to each, (test n, neighbors).
    """
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(*train)
    nearest = KNeighborsClassifier(neighbors, metric="cosine").fit(*train)
    features, labels = test
    scores = {
        "linear_probe": linear.predict(features) == labels,
        "nearest_neighbors": nearest.predict(features) == labels,
    }
    return scores, nearest.kneighbors(features, return_distance=False)


def _picture(workdir, name: str, number: int, images, neighbors) -> tuple[str, str]:
    """Show images (n, H, W, C), each in a row with its neighbors (n, k, H, W, C)."""
    rows = np.concatenate([images[:, None], neighbors], axis=1)
    grid = {f"{i + 1}": row for i, row in enumerate(rows)}
    file = figures.save_grid(workdir, f"transfer_{number}", grid)
    return file, f"{name}: a test image, then its nearest among the training images"


def _text(config) -> list[str]:
    return [
        f"Accuracy on {config.test_n} test images of {config.other.name}, of a linear probe and of "
        f"{config.neighbors} nearest neighbors (by cosine) trained on {config.train_n}; mean and "
        "95 % interval over test images.",
    ]
