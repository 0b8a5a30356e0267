"""Is an image that a decoder of one class cannot make an anomaly?

Rojas-Gomez et al. (2021), their anomaly detection: a decoder of a frozen network's features is
trained on one class alone, and a test image of any class is scored by how badly the decoder makes
it from the best code of a search, which starts at noise. They do not say which error is the
score: all three are here. Not in the paper: the decoder of the image's own features, without a
search ("encoded"), and the mean image of the class in the decoder's place ("mean image"), which
shows what the score is worth by itself.

python -m rrjax.study --config=configs/anomaly.py --workdir=runs/quickstart
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from rrjax import BadInput, data, runs
from rrjax.core import anomaly
from rrjax.core.vmapped import Rows, in_parts
from rrjax.evaluate import metrics
from rrjax.runs import figures
from rrjax.study.comparison import in_saved_parts, part_cache, require, section

SHOWN = 5  # images of the class, and as many others, that a grid shows
SCORES = ("pixel", "feature", "sum")
# (network, class, method) -> score -> what each test image says of the area, (n,).
Values = dict[tuple[str, str, str], dict[str, np.ndarray]]

COLUMNS = {"network": "network", "class": "class", "method": "method"}
COLUMNS |= {score: score for score in SCORES}


def run(config: ConfigDict, workdir: str) -> None:
    """Score test images of all classes with every decoder `config.root`/NETWORK_CLASS.

    Raises:
      BadInput: for decoders that cannot be loaded or are not of one class, and for values that are
        too small.
    """
    _check(config)
    cells = [(name, each) for name in config.networks for each in config.classes]
    for cell in cells:
        _load(cell, config)  # what is wrong with one is said before long work
    runs.make_folder(workdir)
    rows, values, pictures = [], {}, []
    for name, each in cells:
        decoder = _load((name, each), config)  # one at a time: a network may be large
        images, anomalous = _examples(decoder, config)
        cached = part_cache(workdir, config, f"{name}, {each}", decoder)
        chosen = [*np.flatnonzero(~anomalous)[:SHOWN], *np.flatnonzero(anomalous)[:SHOWN]]
        outputs = _outputs(decoder, images, chosen, f"{name}, {each}", cached, config)
        for method, scores in outputs.items():
            own = {s: metrics.area_values(scores[s], anomalous) for s in SCORES}
            values[name, each, method] = own
            areas = {s: metrics.summarize_area(own[s], config.seed) for s in SCORES}
            rows.append({"network": name, "class": each, "method": method} | areas)
        if each == config.classes[0]:
            pictures.append(_picture(workdir, name, each, images[chosen], outputs))
    means = _means(values, config)
    title, text = "Anomalies, by a decoder of one class", _text(config, rows[0]["pixel"]["n"])
    part = section(config, title, text, means + rows, COLUMNS, pictures, digits=3)
    runs.publish(workdir, config, part, {"rows": rows, "means": means})


def _check(config) -> None:
    if not config.networks or not config.classes:
        raise BadInput(
            f"networks={config.networks}, classes={config.classes}: give at least one of each"
        )
    require(config, batch_size=1, n=0, steps=0)  # n of 0: all; steps of 0: no search
    if not config.step_size > 0:
        raise BadInput(f"step_size={config.step_size}: it must be positive")


def _load(cell: tuple[str, str], config) -> runs.Autoencoder:
    path = Path(config.root) / "_".join(cell)
    decoder = runs.load_autoencoder(path, config.checkpoint, config.data, config.dtype)
    if decoder.config.model.decoder == "wavelet":
        raise BadInput(f"{path}: a wavelet decoder takes details too, and a code has none")
    if len(decoder.config.data.groups) != 1:
        raise BadInput(
            f"{path}: trained on {len(decoder.config.data.groups) or 'all'} classes: train it on "
            "one, as configs/anomaly.py says"
        )
    return decoder


def _examples(decoder: runs.Autoencoder, config) -> tuple[Rows, np.ndarray]:
    """Choose test images of all classes, the same for every class, and say which are anomalous."""
    whole = decoder.config.copy_and_resolve_references()
    with whole.unlocked():
        whole.data.update(groups=(), group_names=())
    images = data.open_split(whole, "test", config.n, np.random.default_rng(config.seed))
    names = images.source.class_names
    own = [names.index(c) if isinstance(c, str) else c for c in decoder.config.data.groups[0]]
    return images, ~np.isin(images.labels, own)


@jax.jit
def _encoded(encode, decode, compare, images, _index, **weights):
    def one(image):
        code = encode(image)
        return decode(code), anomaly.scores(decode, compare, image, **weights)(code)

    return jax.vmap(one)(images)


@partial(jax.jit, static_argnames=("seed", "steps"))
def _searched(encode, decode, compare, images, index, *, seed, steps, step_size, **weights):
    def one(image, i):
        score = anomaly.scores(decode, compare, image, **weights)
        shape = jax.eval_shape(encode, image).shape
        start = jax.random.normal(jax.random.fold_in(jax.random.key(seed), i), shape)
        code = anomaly.search(score, start, step_size=step_size, steps=steps).x
        return decode(code), score(code)

    return jax.vmap(one)(images, index)


def _outputs(
    decoder: runs.Autoencoder,
    images: Rows,
    chosen: Sequence[int],
    label: str,
    cached: Callable,
    config: ConfigDict,
) -> dict[str, dict[str, np.ndarray]]:
    """Return each method's scores, (n,) by name, and under "image" what takes the chosen's place.

    Both are made a part at a time, which `cached` saves. label: of the progress bar.
    """
    weights = {"pixel_weight": config.pixel_weight, "feature_weight": config.feature_weight}
    encode, decode, compare = decoder.encode, decoder.decode, decoder.compare
    training = data.open_split(decoder.config, "train", 0, np.random.default_rng(config.seed))
    mean = jax.tree_util.Partial(_constant, jnp.asarray(_mean_image(training, config.batch_size)))
    methods = {
        method: partial(_encoded, encode, make, compare, **weights)
        for method, make in (("encoded", decode), ("mean image", mean))
    }
    if config.steps:
        options = {"seed": config.seed, "steps": config.steps, "step_size": config.step_size}
        search = partial(_searched, encode, decode, compare, **options, **weights)
        methods = {"searched": search} | methods
    at = np.searchsorted(np.sort(chosen), chosen)  # parts give the chosen in the images' order

    def scored(method: str) -> dict[str, np.ndarray]:
        def part(index: np.ndarray, images: np.ndarray) -> dict[str, np.ndarray]:
            made, scores = in_parts(methods[method], config.batch_size, images, index)
            return scores | {"image": made[np.isin(index, chosen)]}

        stacks = (np.arange(len(images)), images)
        outputs = in_saved_parts(cached, f"{label}, {method}", part, config.batch_size, *stacks)
        return outputs | {"image": outputs["image"][at]}

    return {method: scored(method) for method in methods}


def _mean_image(images: Rows, size: int) -> np.ndarray:
    """Average images (n, H, W, C), of which `size` are read at a time."""
    total = np.zeros(images[:1].shape[1:])
    for first in range(0, len(images), size):
        total += images[first : first + size].sum(0, dtype=np.float64)
    return (total / len(images)).astype(np.float32)


def _constant(image, _code):
    return image


def _means(values: Values, config) -> list[dict]:
    """Average over classes: each network, and every other one less the first, in pairs.

    The classes are all there are, no sample: the interval is over the test images, which all
    classes share. The decoders are one a class; what another seed's would do is not in it.
    """
    if len(config.classes) < 2:
        return []
    means = []
    first, *others = config.networks
    for method in dict.fromkeys(method for _, _, method in values):
        averages = {name: _average(values, name, method, config) for name in config.networks}
        areas = {name: (averages[name], metrics.summarize_area) for name in config.networks}
        for name in others:
            less = {s: averages[name][s] - averages[first][s] for s in SCORES}
            areas[f"{name} less {first}"] = less, metrics.summarize
        for name, (scores, summarize) in areas.items():
            names = {"network": name, "class": "mean", "method": method}
            means.append(names | {s: summarize(scores[s], config.seed) for s in SCORES})
    return means


def _average(values: Values, name: str, method: str, config) -> dict[str, np.ndarray]:
    """Average a network's `area_values` over its classes, (n,) by score."""
    own = [values[name, each, method] for each in config.classes]
    return {score: np.mean([of_class[score] for of_class in own], axis=0) for score in SCORES}


def _picture(workdir: str, name: str, each: str, images, outputs) -> tuple[str, str]:
    grid = {"image": images} | {method: scores["image"] for method, scores in outputs.items()}
    file = figures.save_grid(workdir, f"anomaly_{name}", grid)
    return file, f"{name}, decoder of class {each}: images of it, then of others"


def _text(config, n: int) -> list[str]:
    schedule = f"from noise, {config.steps} steps of {config.step_size:g}, falling to a twentieth."
    search = f"Searched: {schedule}" if config.steps else "No code was searched for."
    return [
        f"Area under the ROC curve of {n} test images of all classes: the chance that an image of "
        "another class scores higher than one of the decoder's. 95 % interval over these "
        "images, of the mean over classes too; there is one decoder a class, and what its seed "
        "changes is not in it. Scores: the l1 distance of pixels, the "
        "squared l2 distance of features, and their sum, weighted by "
        f"{config.pixel_weight:g} and {config.feature_weight:g}.",
        "Encoded: the decoder of the image's own features. Mean image: that of the class's "
        f"training images, in the decoder's place, which has learned nothing. {search}",
    ]
