"""Is an image that a decoder of one class cannot make an anomaly?

Rojas-Gomez et al. (2022), their anomaly detection: a decoder of a frozen network's features is
trained on one class alone, and a test image of any class is scored by how badly the decoder makes
it from the best code that a search finds, which starts at noise. They do not say which error is the
score: all three are here. Not in the paper: the decoder of the image's own features, without a
search ("encoded"), and the mean image of the class in the decoder's place ("mean image"), which
shows what the score is worth by itself.

python -m rrjax.study --config=configs/anomaly.py --workdir=runs/quickstart
"""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from rrjax import data, runs
from rrjax.core import anomaly
from rrjax.core.vmapped import in_parts
from rrjax.errors import BadInput
from rrjax.evaluate import metrics
from rrjax.runs import figures, report

SHOWN = 5  # images of the class, and as many others, that a grid shows
SCORES = ("pixel", "feature", "sum")


def run(config, workdir: str) -> None:
    """Score test images of all classes with every decoder `config.root`/NETWORK_CLASS."""
    _check(config)
    cells = [(name, each) for name in config.networks for each in config.classes]
    decoders = {cell: _load("{}_{}".format(*cell), config) for cell in cells}
    runs.make_folder(workdir)
    rows, pictures = [], []
    for (name, each), decoder in decoders.items():
        images, anomalous = _examples(decoder, config)
        made = _made(decoder, images, f"{name}, {each}", config)
        for way, (_, scores) in made.items():
            rows.append({"network": name, "class": each, "way": way})
            for score in SCORES:
                rows[-1][score] = metrics.auroc(scores[score], anomalous, config.seed)
        if each == config.classes[0]:
            pictures.append(_picture(workdir, name, each, images, anomalous, made))
    means = _means(rows, config)
    section = _section(config, rows, means, pictures)
    runs.publish(workdir, config, section, {"rows": rows, "means": means})


def _check(config) -> None:
    if not config.networks or not config.classes:
        raise BadInput(
            f"networks={config.networks}, classes={config.classes}: give at least one of each"
        )
    if config.batch_size < 1 or config.step_size <= 0 or min(config.n, config.steps) < 0:
        raise BadInput(
            f"batch_size={config.batch_size}, step_size={config.step_size}: they must be positive; "
            f"n={config.n} may be 0 for all test images, steps={config.steps} for no search"
        )


def _load(folder: str, config) -> runs.Autoencoder:
    path = Path(config.root) / folder
    decoder = runs.load_autoencoder(path, config.checkpoint, config.data)
    if decoder.config.model.decoder == "wavelet":
        raise BadInput(f"{path}: a wavelet decoder takes details too, and a code has none")
    if len(decoder.config.data.groups) != 1:
        raise BadInput(
            f"{path}: trained on {len(decoder.config.data.groups) or 'all'} classes: train it on "
            "one, as configs/anomaly.py says"
        )
    return decoder


def _examples(decoder: runs.Autoencoder, config) -> tuple[np.ndarray, np.ndarray]:
    """Draw test images of all classes, the same for every class, and say which are anomalous."""
    whole = decoder.config.copy_and_resolve_references()
    with whole.unlocked():
        whole.data.update(groups=(), group_names=())
    images, labels = data.examples(whole, "test", config.n, np.random.default_rng(config.seed))
    names = data.create_source(whole.data, "test").class_names
    own = [names.index(c) if isinstance(c, str) else c for c in decoder.config.data.groups[0]]
    return images, ~np.isin(labels, own)


@jax.jit
def _encoded(encode, decode, compare, images, **weights):
    def one(image):
        code = encode(image)
        return decode(code), anomaly.scores(decode, compare, image, **weights)(code)

    return jax.vmap(one)(images)


@partial(jax.jit, static_argnames=("seed", "steps"))
def _searched(encode, decode, compare, images, index, *, seed, steps, step_size, **weights):
    def one(image, i):
        score = anomaly.scores(decode, compare, image, **weights)
        code = jax.eval_shape(encode, image)
        start = jax.random.normal(jax.random.fold_in(jax.random.key(seed), i), code.shape)
        found = anomaly.search(score, start, step_size=step_size, steps=steps)
        return decode(found.x), score(found.x)

    return jax.vmap(one)(images, index)


def _made(decoder: runs.Autoencoder, images, label: str, config) -> dict[str, tuple]:
    """Return for each way what takes an image's place, (n, H, W, C), and its scores, (n,) each."""
    weights = {"pixel_weight": config.pixel_weight, "feature_weight": config.feature_weight}
    encode, decode, compare = decoder.encode, decoder.decode, decoder.compare
    known, _ = data.examples(decoder.config, "train", 0, np.random.default_rng(config.seed))
    mean = jax.tree_util.Partial(_constant, jnp.asarray(known.mean(0)))
    size, found = config.batch_size, {}
    if config.steps:
        options = {"seed": config.seed, "steps": config.steps, "step_size": config.step_size}
        search = partial(_searched, encode, decode, compare, **options, **weights)
        bar = partial(tqdm, desc=label, disable=None, leave=False, unit="batch")
        found["searched"] = in_parts(search, size, images, np.arange(len(images)), each=bar)
    for way, made in (("encoded", decode), ("mean image", mean)):
        found[way] = in_parts(partial(_encoded, encode, made, compare, **weights), size, images)
    return found


def _constant(image, code):
    return image


def _means(rows: list[dict], config) -> list[dict]:
    """Average over classes: each network, and every other one less the first, in pairs."""
    if len(config.classes) < 2:
        return []
    means = []
    first, *others = config.networks
    for way in dict.fromkeys(row["way"] for row in rows):
        found = {
            name: {
                score: np.array([row[score]["mean"] for row in rows if _of(row, name, way)])
                for score in SCORES
            }
            for name in config.networks
        }
        found |= {
            f"{name} less {first}": {s: found[name][s] - found[first][s] for s in SCORES}
            for name in others
        }
        for name, scores in found.items():
            numbers = {s: metrics.summarize(values, config.seed) for s, values in scores.items()}
            means.append({"network": name, "class": "mean", "way": way} | numbers)
    return means


def _of(row: dict, name: str, way: str) -> bool:
    return (row["network"], row["way"]) == (name, way)


def _picture(workdir: str, name: str, each: str, images, anomalous, made) -> tuple[str, str]:
    chosen = [*np.flatnonzero(~anomalous)[:SHOWN], *np.flatnonzero(anomalous)[:SHOWN]]
    grid = {"image": images[chosen]} | {way: stack[chosen] for way, (stack, _) in made.items()}
    file = figures.save_grid(workdir, f"anomaly_{name}", grid)
    return file, f"{name}, decoder of class {each}: images of it, then of others"


def _section(config, rows: list[dict], means: list[dict], pictures) -> report.Section:
    n = rows[0]["pixel"]["n"]
    how = f"from noise, {config.steps} steps of {config.step_size:g}, falling to a twentieth."
    search = f"Searched: {how}" if config.steps else "No code was searched for."
    return report.Section(
        name="anomaly",
        title="Anomalies, by a decoder of one class",
        text=[
            f"Area under the ROC curve of {n} test images of all classes: the chance that an image "
            "of another class scores higher than one of the decoder's. 95 % bootstrap interval "
            "over images; of the mean over classes, over classes. Scores: the l1 distance of "
            "pixels, the squared l2 distance of features, and their sum, weighted by "
            f"{config.pixel_weight:g} and {config.feature_weight:g}.",
            "Encoded: the decoder of the image's own features. Mean image: that of the class's "
            "training images, in the decoder's place, which has learned nothing. " + search,
        ],
        header=["network", "class", "way", *SCORES],
        rows=[
            [row["network"], row["class"], row["way"]]
            + [report.with_interval(row[score], 3) for score in SCORES]
            for row in means + rows
        ],
        figures=pictures,
    )
