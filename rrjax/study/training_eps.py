"""How robust must a network be before its representations can be inverted?

For run folders trained with several eps and seeds: clean accuracy, accuracy under attack, and how
like its target an inversion from noise becomes. Not in the paper, which trains with one eps (A.1).

bash launch/training_eps.sh
"""

from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from rrjax import data, runs
from rrjax.core import attack, representation, vmapped
from rrjax.evaluate import metrics, robustness
from rrjax.runs import figures, report

SCORES = ("correlation", "distance")


def run(config, workdir: str) -> None:
    """Measure every run `config.root/eps{eps}_seed{seed}`."""
    cells = [(eps, seed) for eps in config.train_eps for seed in config.seeds]
    networks = [
        runs.load(Path(config.root) / f"eps{eps:g}_seed{seed}", config.checkpoint)
        for eps, seed in cells
    ]
    runs.make_folder(workdir)
    bar = tqdm(zip(cells, networks, strict=True), "training eps", len(cells), disable=None)
    rows = [{"eps": e, "seed": s, **_measure(network, config)} for (e, s), network in bar]
    columns = [f"accuracy at eps {eps:g}" for eps in config.test_eps] + list(SCORES)
    runs.publish(workdir, config, _section(config, rows, columns, workdir), {"rows": rows})


def _measure(network: runs.Frozen, config) -> dict[str, float]:
    """Return one run's accuracies over the whole test set and its mean inversion scores."""
    hits = robustness.robust_accuracy_mask(
        network.apply,
        data.eval_batches(network.config, config.batch_size),
        jax.random.key(config.seed),
        [attack.protocol(eps, config.attack_steps) for eps in config.test_eps],
    )
    names = [f"accuracy at eps {eps:g}" for eps in config.test_eps]
    scores = {name: np.mean(survived) for name, survived in zip(names, hits, strict=True)}
    rng = np.random.default_rng(config.seed)
    targets = data.eval_images(network.config, config.n, rng)
    found = vmapped.invert_images(
        network.apply,
        network.differentiable_apply(config.straight_through),
        representation.noise(targets.shape, rng),
        targets,
        eps=config.inversion_eps,
        step_size=config.inversion_step_size,
        steps=config.inversion_steps,
        return_iterate=config.return_iterate,
    )
    scores["correlation"] = metrics.image_similarity(found.x, targets)["correlation"].mean()
    scores["distance"] = found.value.mean()
    return {name: float(value) for name, value in scores.items()}


def _section(config, rows: list[dict], columns: list[str], workdir: str) -> report.Section:
    over_seeds = {
        column: [
            _spread([row[column] for row in rows if row["eps"] == eps]) for eps in config.train_eps
        ]
        for column in columns
    }
    curves = {c: (config.train_eps, over_seeds[c]) for c in columns if c != "distance"}
    figure = figures.save_curves(
        workdir, "training_eps", curves, xlabel="l2 eps of training", ylabel="on the test set"
    )
    return report.Section(
        name="training_eps",
        title="What the radius of training gives",
        text=[
            f"Mean [least, greatest] of {len(config.seeds)} seeds. Accuracy: the whole test set, "
            f"PGD of {config.attack_steps} steps of 2.5 * eps / steps. Correlation and normalized "
            f"representation distance: inversion from noise of {config.n} test images, "
            f"{config.inversion_steps} steps of {config.inversion_step_size:g}.",
        ],
        header=["trained with eps", *columns],
        rows=[
            [f"{eps:g}", *(report.with_interval(over_seeds[c][i], 3) for c in columns)]
            for i, eps in enumerate(config.train_eps)
        ],
        figures=[(figure, "Accuracy and pixel correlation against the eps of training")],
    )


def _spread(values: list[float]) -> dict[str, float]:
    """Return the mean, least and greatest: three seeds are too few for an interval."""
    return {"mean": float(np.mean(values)), "low": min(values), "high": max(values)}
