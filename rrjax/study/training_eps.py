"""How robust must a network be before its representations can be inverted?

For run folders trained with several eps and seeds: clean accuracy, accuracy under attack, and how
like its target an inversion from noise becomes. Not in the paper, which trains with one eps (A.1).

bash launch/training_eps.sh
"""

from functools import partial
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from rrjax import BadInput, data, runs
from rrjax.core import attack, representation, vmapped
from rrjax.evaluate import metrics, robustness
from rrjax.runs import figures
from rrjax.study.comparison import require, section

# Of inversions, beside the accuracies, each with what its axis says.
SCORES = {
    "correlation": "correlation of pixels with the target's",
    "distance": "normalized distance of R(x)",
}


def run(config: ConfigDict, workdir: str) -> None:
    """Measure every run `config.root/eps{eps}_seed{seed}`.

    Raises:
      BadInput: where one of them is missing, and for counts that are too small.
    """
    require(config, n=1, attack_steps=1, inversion_steps=1, batch_size=1)
    cells = [(eps, seed) for eps in config.train_eps for seed in config.seeds]
    if not cells or not config.test_eps:
        raise BadInput(
            f"train_eps={config.train_eps}, seeds={config.seeds}, test_eps={config.test_eps}: give "
            "at least one of each"
        )
    networks = [
        runs.load(
            Path(config.root) / f"eps{eps:g}_seed{seed}", config.checkpoint, dtype=config.dtype
        )
        for eps, seed in cells
    ]
    runs.make_folder(workdir)
    bar = tqdm(zip(cells, networks, strict=True), "training eps", len(cells), disable=None)
    rows = [{"eps": e, "seed": s, **_measure(network, config)} for (e, s), network in bar]
    curves = _over_seeds(rows, config)
    pictures = _pictures(workdir, curves, config)
    shown = [
        {"eps": f"{eps:g}"} | {name: curve[i] for name, curve in curves.items()}
        for i, eps in enumerate(config.train_eps)
    ]
    columns = {"eps": "trained with eps"} | {name: name for name in curves}
    title = "What the radius of training gives"
    part = section(config, title, _text(config), shown, columns, pictures, digits=3)
    runs.publish(workdir, config, part, {"rows": rows})


def _measure(network: runs.Frozen, config) -> dict[str, float | list[float]]:
    """Return one run's accuracies over the whole test set and its mean inversion scores.

    "accuracy" has one for each of config.test_eps.
    """
    masks = robustness.robust_accuracy_mask(
        network.apply,
        data.eval_batches(network.config, config.batch_size),
        jax.random.key(config.seed),
        [attack.protocol(eps, config.attack_steps) for eps in config.test_eps],
    )
    rng = np.random.default_rng(config.seed)
    targets = data.eval_images(network.config, config.n, rng)
    invert = partial(
        vmapped.invert_images,
        network.apply,
        network.differentiable_apply(config.straight_through),
        eps=config.inversion_eps,
        step_size=config.inversion_step_size,
        steps=config.inversion_steps,
        return_iterate=config.return_iterate,
    )
    starts = representation.noise(targets.shape, rng)
    inverted = vmapped.in_parts(invert, config.n, starts, targets)
    correlation = metrics.image_similarity(inverted.x, targets)["correlation"]
    return {
        "accuracy": [float(np.mean(mask)) for mask in masks],
        "correlation": float(correlation.mean()),
        "distance": float(inverted.value.mean()),
    }


def _over_seeds(rows: list[dict], config) -> dict[str, list[dict[str, float]]]:
    """Return curves by what is measured: a summary over seeds for each of config.train_eps."""
    groups = [[row for row in rows if row["eps"] == eps] for eps in config.train_eps]
    curves = {
        f"accuracy at eps {eps:g}": [[row["accuracy"][i] for row in group] for group in groups]
        for i, eps in enumerate(config.test_eps)
    }
    curves |= {s: [[row[s] for row in group] for group in groups] for s in SCORES}
    return {name: [_spread(values) for values in curve] for name, curve in curves.items()}


def _spread(values: list[float]) -> dict[str, float]:
    """Return the mean, least and greatest: three seeds are too few for an interval."""
    return {"mean": float(np.mean(values)), "low": min(values), "high": max(values)}


def _pictures(workdir: str, curves: dict[str, list], config) -> list[tuple[str, str]]:
    """Draw the accuracies, and each score of inversions on a scale of its own."""
    lines = {name: (config.train_eps, curve) for name, curve in curves.items()}
    accuracies = {name: line for name, line in lines.items() if name not in SCORES}
    draw = partial(figures.save_curves, workdir, xlabel="l2 eps of training, pixels in [0,1]")
    file = draw("training_eps", accuracies, ylabel="test accuracy, share of images")
    pictures = [(file, "Accuracy against the eps of training")]
    for score, ylabel in SCORES.items():
        file = draw(f"training_eps_{score}", {score: lines[score]}, ylabel=ylabel, ylim=None)
        pictures.append((file, f"Inversions from noise: {score}, against the eps of training"))
    return pictures


def _text(config) -> list[str]:
    return [
        f"Mean [least, greatest] of {len(config.seeds)} seeds. Accuracy: the whole test set, PGD "
        f"of {config.attack_steps} steps of 2.5 * eps / steps. Correlation and normalized "
        f"representation distance: inversion from noise of {config.n} test images, "
        f"{config.inversion_steps} steps of {config.inversion_step_size:g}.",
    ]
