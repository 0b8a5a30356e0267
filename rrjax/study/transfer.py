"""Are robust representations better ones to build on?

Beyond the paper (Salman et al. 2020, "Do Adversarially Robust ImageNet Models Transfer Better?"):
the networks stay as they are, and on their representations of another data set's images a linear
probe and k nearest neighbors are trained; the pixels themselves are the baseline. The picture:
images and their nearest neighbors, by the representation.

python -m rrjax.study --config=configs/transfer.py --workdir=runs/quickstart
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rrjax import data, runs
from rrjax.core import vmapped
from rrjax.data import outside
from rrjax.errors import BadInput
from rrjax.evaluate import metrics
from rrjax.runs import figures, report

PATTERNS = "patterns"


def run(config, workdir: str) -> None:
    """Probe every network's representations, and the pixels."""
    if min(config.train_n, config.test_n) < 2 or not 1 <= config.neighbors <= config.train_n:
        raise BadInput(
            f"train_n={config.train_n}, test_n={config.test_n}, neighbors={config.neighbors}: "
            "give at least 2 images of each, and no more neighbors than images"
        )
    networks = runs.load_networks(config)
    trained = next(iter(networks.values())).config
    train, test = (_examples(trained, split, config) for split in ("train", "test"))
    runs.make_folder(workdir)
    rows, shown = [], []
    for name in (*networks, "pixels"):
        known, asked = (
            _features(images, networks[name], config)
            if name in networks
            else images.reshape(len(images), -1)
            for images in (train[0], test[0])
        )
        scores, nearest = _probe((known, train[1]), (asked, test[1]), config)
        summary = {k: metrics.summarize(v, config.seed) for k, v in scores.items()}
        rows.append({"features": name, "dimensions": known.shape[1], **summary})
        grid = {
            f"{i + 1}": np.concatenate([test[0][i : i + 1], train[0][nearest[i]]])
            for i in range(min(config.shown, config.test_n))
        }
        file = figures.save_grid(workdir, f"transfer_{len(shown)}", grid)
        shown.append((file, f"{name}: a test image, then its nearest among the training images"))
    runs.publish(workdir, config, _section(config, rows, shown), {"rows": rows})


def _examples(trained, split: str, config) -> tuple[np.ndarray, np.ndarray]:
    """Choose images (n, H, W, C) of the other data set, at the networks' size, and labels."""
    n = {"train": config.train_n, "test": config.test_n}[split]
    size, channels = trained.data.image_size, len(trained.model.mean)
    if config.other.name == PATTERNS:
        # Two seeds that share no image.
        seed = 2 * config.seed + (split == "test")
        images = outside.patterns(n, size, channels, seed)
        return images, np.arange(n) % len(outside.PATTERNS)
    return data.other_examples(trained, config.other, split, n, np.random.default_rng(config.seed))


def _features(images, network: runs.Frozen, config) -> np.ndarray:
    return vmapped.represent_images(network.apply, images, config.batch_size)[1]


def _probe(train: tuple, test: tuple, config) -> tuple[dict, np.ndarray]:
    """Return which test examples each classifier gets right, and everyone's nearest neighbors."""
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    near = KNeighborsClassifier(config.neighbors, metric="cosine")
    scores = {
        "linear probe": linear.fit(*train).predict(test[0]) == test[1],
        f"{config.neighbors} nearest neighbors": near.fit(*train).predict(test[0]) == test[1],
    }
    return scores, near.kneighbors(test[0], return_distance=False)


def _section(config, rows: list[dict], shown: list) -> report.Section:
    scores = [key for key in rows[0] if key not in ("features", "dimensions")]
    return report.Section(
        name="transfer",
        title="Representations on another data set",
        text=[
            f"Accuracy on {config.test_n} test images of {config.other.name}, of a linear probe "
            f"and of {config.neighbors} nearest neighbors (by cosine) trained on "
            f"{config.train_n}; mean and 95 % bootstrap interval over test images.",
        ],
        header=["features", "dimensions", *scores],
        rows=[
            [row["features"], str(row["dimensions"])]
            + [report.with_interval(row[s], 3) for s in scores]
            for row in rows
        ],
        figures=shown,
    )
