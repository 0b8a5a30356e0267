"""Do a network's gradients point at the pixels that matter? Retrain without them, and with them.

Kim et al. (2019), sections 3.1 and 3.2: every image loses the pixels that an attribution ranks
first (ROAR), or all others (KAR), fresh networks are trained on what is left, and the score is the
area between their accuracy and that of random pixels. What later work asks for is here too:
DiffROAR (Shah et al. 2021), the accuracy of the first pixels less that of the last, which needs no
random pixels; and the controls that use no network but score all the same where the benchmark
rewards something else: edges, and blurred maps (Rong et al. 2022).

python -m rrjax.study --config=configs/retraining.py --workdir=runs/quickstart
"""

from collections.abc import Callable, Sequence
from functools import cache, partial

import jax
import numpy as np
from ml_collections import ConfigDict
from scipy import stats
from tqdm import tqdm

from rrjax import BadInput, data, models, runs
from rrjax.core import attribution, objectives, vmapped
from rrjax.core.vmapped import in_parts
from rrjax.evaluate import metrics, roar
from rrjax.runs import figures, report
from rrjax.study.comparison import by_norm, require, section

GRADIENTS = {
    "gradient": attribution.gradient,
    "gradient x input": attribution.gradient_x_input,
    "integrated gradients": attribution.integrated_gradients,
}
# Those of a logit whatever the objective is, as in their papers: LRP and DeepLIFT have no rule for
# a softmax.
OF_LOGIT = {"DeepLIFT": "deep_lift", "LRP": "lrp", "Grad-CAM": "grad_cam"}
ATTRIBUTIONS = (*GRADIENTS, *OF_LOGIT)
OBJECTIVES = {
    "cross_entropy": objectives.cross_entropy,
    "logit": objectives.logit,
    "margin": objectives.margin,
}
CONTROLS = {
    "random": lambda image, key, _sigma: attribution.random(image, key),
    "random, blurred": lambda image, key, sigma: attribution.blur(
        attribution.random(image, key), sigma
    ),
    "edges": lambda image, _key, _sigma: attribution.sobel(image),
}
MOST_CURVES = 8  # networks; of more a figure shows some
AREAS = {"ROAR": False, "KAR": True}  # whether the first-ranked pixels are kept

COLUMNS = {
    "network": "network",
    "attribution": "attribution",
    "roar": "ROAR",
    "kar": "KAR",
    "diff_roar": "DiffROAR",
    "accuracy": "accuracy of the network",
}

# (network, attribution, whether the first pixels are kept) -> accuracies (seeds, percents).
Accuracies = dict[tuple[str, str, bool], np.ndarray]


def run(config: ConfigDict, workdir: str) -> None:
    """Score every attribution of every network, and the controls.

    Raises:
      BadInput: for networks that cannot be loaded, and for values that are no such study.
    """
    _check(config)
    networks = runs.load_networks(config)
    trained = next(iter(networks.values())).config
    model = _model(trained, config)
    images = {split: _examples(trained, split, config) for split in ("train", "test")}
    runs.make_folder(workdir)
    series = _series(networks, config)
    decisive = [(each.config.to_json(sort_keys=True), each.variables) for each in networks.values()]
    cached = partial(_cached, runs.disk_cache(workdir, "retrained", config, (decisive, images)))
    accuracies = _accuracies(model, networks, series, images, cached, config)
    ranked = partial(_ranked, None, "random", images, config)
    whole = cached("whole", partial(_retrain, model, config, ranked, False, (0,)))
    classes = trained.model.classes
    curves = {key: _curve(each, whole, key[2], classes) for key, each in accuracies.items()}
    rows = [
        {"network": name or "none", "attribution": each}
        | _scores(name, each, accuracies, curves, config)
        | _facts(networks.get(name), images["test"], config)
        for name, each in series
    ]
    trends = _trends(rows, config.scores)
    shown = _shown(rows)
    pictures = [
        _picture(workdir, score, shown, curves, config) for score in config.scores if score in AREAS
    ]
    pictures += _by_strength(workdir, config.scores, rows)
    sizes = [len(labels) for _, labels in images.values()]
    text = _text(config, whole, trends, sizes)
    unscored = {roar.SCORES[score] for score in roar.SCORES if score not in config.scores}
    columns = {key: heading for key, heading in COLUMNS.items() if key not in unscored}
    part = section(config, "Which pixels matter?", text, rows, columns, pictures, digits=3)
    runs.publish(workdir, config, part, {"rows": rows, "trends": trends, "whole": whole})


def _cached(cached: Callable, key: str, make: Callable) -> np.ndarray:
    """Return the accuracies that `make` returns, or those that an interrupted study has saved."""
    return cached(key, lambda: {"accuracy": np.asarray(make(), np.float64)})["accuracy"]


def _check(config) -> None:
    unknown = set(config.attributions) - set(ATTRIBUTIONS)
    if unknown or not config.attributions or config.objective not in OBJECTIVES:
        raise BadInput(
            f"attributions={config.attributions}, objective={config.objective!r}: choose from "
            f"{ATTRIBUTIONS} and one of {tuple(OBJECTIVES)}"
        )
    unknown = set(config.scores) - set(roar.SCORES)
    if unknown or not config.scores:
        raise BadInput(f"scores={config.scores}: choose from {tuple(roar.SCORES)}")
    percents = config.percents
    mirrored = sorted({100 - p for p in percents})
    if not percents or list(percents) != mirrored or percents[0] <= 0:
        raise BadInput(f"percents={percents}: give p and 100 - p both, rising, as (10, 50, 90)")
    # train_n, test_n of 0: all.
    require(config, epochs=1, train_batch_size=1, batch_size=1, at_once=1, train_n=0, test_n=0)
    if not (config.seeds and config.learning_rate > 0 and config.blur > 0):
        raise BadInput(
            f"seeds={config.seeds}, learning_rate={config.learning_rate}, blur={config.blur}: give "
            "at least one seed, and the others above 0"
        )


def _series(networks: dict, config) -> list[tuple[str, str]]:
    """Return (network, attribution) of all that is scored; a control's network is ""."""
    series = [(name, each) for name in networks for each in config.attributions]
    if config.controls:
        series.append((next(iter(networks)), "gradient, blurred"))
    return series + [("", each) for each in (CONTROLS if config.controls else ("random",))]


def _accuracies(model, networks: dict, series, images: dict, cached, config) -> Accuracies:
    """Retrain without the pixels, with them alone, or both, as config.scores need."""
    both = "DiffROAR" in config.scores
    keeps = [keep for score, keep in AREAS.items() if both or score in config.scores]
    accuracies = {}
    total = len(keeps) * len(series)
    with tqdm(total=total, disable=None, desc="retraining", unit="series") as bar:
        for name, each in series:
            ranked = cache(partial(_ranked, networks.get(name), each, images, config))
            for keep in keeps:
                make = partial(_retrain, model, config, ranked, keep, config.percents)
                accuracies[name, each, keep] = cached(f"{name}, {each}, {keep}", make)
                bar.update()
    return accuracies


def _model(trained, config):
    """Make what is retrained: without BN, since it has no statistics to carry."""
    fields = trained.model.copy_and_resolve_references()
    with fields.unlocked():
        fields.update(name=config.model, module="", variant="cifar", width=64, dtype="float32")
    model = models.create(fields)
    size, channels = trained.data.image_size, len(trained.model.mean)
    init = partial(models.init, model, jax.random.key(0), (size, size, channels))
    if set(jax.eval_shape(init)) != {"params"}:
        raise BadInput(f"model={config.model!r} has BN: choose tiny, mnist_cnn or cifar_cnn")
    return model


def _examples(trained, split: str, config) -> tuple[np.ndarray, np.ndarray]:
    n = {"train": config.train_n, "test": config.test_n}[split]
    return data.examples(trained, split, n, np.random.default_rng(config.seed))


def _map(kind: str, objective: str, mean, apply, image) -> jax.Array:
    """Attribute the objective of the label that is predicted to the pixels of an image."""
    label = objectives.predicted(apply, image)
    if kind in GRADIENTS:
        return GRADIENTS[kind](OBJECTIVES[objective](apply, label), image)
    return attribution.of_logit(OF_LOGIT[kind], apply, label, image, mean)


@partial(jax.jit, static_argnames=("each", "objective", "blur"))
def _network_ranks(apply, mean, images, *, each: str, objective: str, blur: float):
    kind, _, blurred = each.partition(", ")

    def one(image):
        size = attribution.magnitude(_map(kind, objective, mean, apply, image))
        if blurred:
            size = attribution.blur(size[..., None], blur)[..., 0]
        return attribution.ranks(size)

    return jax.vmap(one)(images)


@partial(jax.jit, static_argnames=("each", "blur"))
def _control_ranks(images, index, *, each: str, blur: float, key):
    def one(image, i):
        key_of_image = jax.random.fold_in(key, i)
        return attribution.ranks(attribution.magnitude(CONTROLS[each](image, key_of_image, blur)))

    return jax.vmap(one)(images, index)


def _ranks(network: runs.Frozen | None, each: str, split: str, images, config) -> np.ndarray:
    """Rank the pixels of a split's images (N, H, W, C) by a network's attribution, or a control's.

    No test image has the random mask of a training image.
    """
    if network is None:
        key = jax.random.fold_in(jax.random.key(config.seed), split == "test")
        rank = partial(_control_ranks, each=each, blur=config.blur, key=key)
        return in_parts(rank, config.batch_size, images, np.arange(len(images)))
    options = {"objective": config.objective, "blur": config.blur}
    mean = np.float32(network.config.model.mean)
    rank = partial(_network_ranks, network.apply, mean, each=each, **options)
    return in_parts(rank, config.batch_size, images)


def _ranked(network: runs.Frozen | None, each: str, images: dict, config):
    return {
        split: roar.Ranked(pixels, labels, _ranks(network, each, split, pixels, config))
        for split, (pixels, labels) in images.items()
    }


def _retrain(model, config, ranked: Callable, keep: bool, percents) -> np.ndarray:
    """Return the accuracy (seeds, percents) of networks trained on images that lost pixels."""
    train, test = ranked().values()
    pixels = train.images[0, ..., 0].size
    # Rounded as the percentile of the paper's code has it: 103 of 1,024 pixels are 10 %.
    counts = [-(-p * (pixels - 1) // 100) for p in percents]
    return roar.retrain(
        model,
        train,
        test,
        np.array(config.seeds),
        np.array(counts),
        invert_mask=keep,
        fill=train.images.mean((0, 1, 2)),
        training=roar.Training(
            config.learning_rate, config.epochs, config.train_batch_size, config.at_once
        ),
    )


def _curve(accuracy, whole, keep: bool, classes: int) -> np.ndarray:
    """Return accuracy by what is removed, from nothing to everything: (seeds, percents + 2).

    accuracy: (seeds, percents). whole: with all pixels, (seeds, 1). Without any it is chance.
    """
    chance = np.full_like(whole, 1 / classes)
    # Of the kept, 90 % are where 10 % are removed.
    return np.concatenate([whole, accuracy[:, ::-1] if keep else accuracy, chance], axis=1)


def _scores(name: str, each: str, accuracies: Accuracies, curves: dict, config) -> dict:
    """Return the scores of one attribution, over seeds, and the accuracies they are made of."""
    fractions = np.array([0, *config.percents, 100]) / 100
    scores = {}
    for score in config.scores:
        if score in AREAS:
            keep = AREAS[score]
            above = roar.area(fractions, curves[name, each, keep], curves["", "random", keep])
            values = above if keep else -above
        else:
            first, others = (accuracies[name, each, keep] for keep in (True, False))
            values = (first - others[:, ::-1]).mean(1)
        scores[roar.SCORES[score]] = report.spread(values)
    cells = {
        "kept" if keep else "removed": accuracies[name, each, keep]
        for keep in AREAS.values()
        if (name, each, keep) in accuracies
    }
    return scores | cells


def _facts(network: runs.Frozen | None, test, config) -> dict:
    """Return a network's norm, radius and accuracy; of a control nothing."""
    if network is None:
        return {}
    images, labels = test
    logits, _ = vmapped.represent_images(network.apply, images, config.batch_size)
    accuracy = metrics.summarize(logits.argmax(-1) == labels, config.seed)
    norm, eps = _strength(network.config)
    return {"norm": norm, "eps": eps, "accuracy": accuracy}


def _strength(trained: ConfigDict) -> tuple[str, float]:
    """Return against what a network was trained, and how strongly: its norm and eps.

    Another loss of the attack makes another series, as in the paper. Without an adversary a penalty
    on gradients is one too, and its weight the strength; a network of neither has eps 0.
    """
    attack, loss = trained.attack, trained.loss
    if attack.eps:
        margin = "" if attack.loss == "cross_entropy" else f", {attack.loss}"
        return f"{attack.norm}{margin}", attack.eps
    if loss.gradient_penalty:
        return "gradient penalty", loss.gradient_penalty
    if loss.alignment_penalty:
        return "alignment penalty", loss.alignment_penalty
    return attack.norm, 0.0


def _trends(rows: list[dict], scores: Sequence[str]) -> list[dict]:
    """Correlate the scores with the radius of training, where there are three radii.

    By ranks (Spearman), under the score's key, and linearly (Pearson), under that and "_pearson".
    """
    keys = [roar.SCORES[score] for score in scores]
    trends = []
    for (each, norm), line in by_norm([row for row in rows if "eps" in row]).items():
        eps = [row["eps"] for row in line]
        if len(set(eps)) > 2:
            medians = {key: [report.center(row[key]) for row in line] for key in keys}
            ranks = {key: stats.spearmanr(eps, medians[key])[0] for key in keys}
            linear = {f"{key}_pearson": stats.pearsonr(eps, medians[key])[0] for key in keys}
            trends.append({"norm": norm, "attribution": each, "n": len(line), **ranks, **linear})
    return trends


def _shown(rows: list[dict]) -> set[str]:
    """Name the networks whose curves are drawn: all of a few, of many the ends of each series."""
    trained = [row for row in rows if "eps" in row]
    names = {row["network"] for row in trained}
    if len(names) > MOST_CURVES:
        ends = [max(line, key=lambda row: row["eps"]) for line in by_norm(trained).values()]
        names = {row["network"] for row in ends} | {trained[0]["network"]}
    return names | {""}


def _picture(workdir: str, score: str, shown: set[str], curves: dict, config) -> tuple[str, str]:
    """Draw the curves whose areas are a score, less those of random pixels."""
    keep = AREAS[score]
    random, sign = curves["", "random", keep], 1 if keep else -1
    removed = [0, *config.percents, 100]
    lines = {
        f"{name} {each}".strip(): (
            removed,
            [report.spread(column) for column in sign * (curve - random).T],
        )
        for (name, each, kept), curve in curves.items()
        if kept == keep and name in shown
    }
    axes = {
        "xlabel": "% of pixels removed",
        "ylabel": f"accuracy {'above' if keep else 'below'} random pixels', share",
    }
    file = figures.save_curves(workdir, f"retraining_{score}", lines, **axes, ylim=None)
    what = "all but the first-ranked" if keep else "the first-ranked"
    return file, f"{score}: {what} pixels are removed; the score is the area"


def _by_strength(workdir: str, scores: Sequence[str], rows: list[dict]) -> list[tuple[str, str]]:
    """Draw each score against the strength of training, of the series that have a trend."""
    series = {
        f"{each}, {norm}": line
        for (each, norm), line in by_norm([row for row in rows if "eps" in row]).items()
        if len({row["eps"] for row in line}) > 2
    }
    pictures = []
    for score in scores if series else ():
        points = {
            # As the paper's axis is: the strongest training of a series is at 1.
            label: [
                (row["eps"] / max(r["eps"] for r in line), row[roar.SCORES[score]]) for row in line
            ]
            for label, line in series.items()
        }
        file = figures.save_points(
            workdir,
            f"retraining_{score}_strength",
            points,
            xlabel="strength of training / the strongest",
            ylabel=f"{score}, difference of accuracy",
        )
        pictures.append((file, f"{score} against the strength of training: a point a network"))
    return pictures


def _text(config, whole, trends: list[dict], sizes: Sequence[int]) -> list[str]:
    n_train, n_test = sizes
    with_all = report.with_interval(report.spread(whole), 3)
    text = [
        "ROAR: the area by which accuracy falls faster without the first-ranked pixels than "
        "without random ones. KAR: by which it stays higher with them alone. DiffROAR: accuracy "
        "with the first-ranked pixels alone less that with the last-ranked alone. Higher is "
        "better; a control that scores says how much of a score needs no network.",
        f"{config.model} retrained on {n_train:,} images for {config.epochs} epochs, tested on "
        f"{n_test:,}; {config.percents} % of the pixels; median [least, greatest] of "
        f"{len(config.seeds)} networks; with all pixels {with_all}. Gradients of "
        f"{config.objective} of the predicted label; DeepLIFT, LRP and Grad-CAM are of its logit.",
    ]
    correlations = [
        f"{trend['attribution']}, {trend['norm']}: "
        + ", ".join(f"{score} {_pair(trend, roar.SCORES[score])}" for score in config.scores)
        for trend in trends
    ]
    if correlations:
        joined = "; ".join(correlations)
        text.append(
            "Correlation with the radius of training, or the weight of a penalty, Pearson's / "
            f"Spearman's: {joined}."
        )
    return text


def _pair(trend: dict, key: str) -> str:
    return f"{trend[f'{key}_pearson']:.2f} / {trend[key]:.2f}"
