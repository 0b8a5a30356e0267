"""How robust must a network be before its representations can be inverted?

For run folders trained with several eps and seeds: clean accuracy, accuracy under attack, and how
like its target an inversion from noise becomes. Not in the paper, which trains with one eps (A.1).

bash launch/training_eps.sh
"""

from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from rrjax import attack, data, figures, metrics, representation, runs

SCORES = ("correlation", "distance")


def run(config, workdir: str) -> None:
    """Measure every run `config.root/eps{eps}_seed{seed}`."""
    runs.make_folder(workdir)
    cells = [(eps, seed) for eps in config.train_eps for seed in config.seeds]
    rows = []
    for eps, seed in tqdm(cells, disable=None, desc="training eps", unit="run"):
        network = runs.load(Path(config.root) / f"eps{eps:g}_seed{seed}", config.checkpoint)
        rows.append({"eps": eps, "seed": seed, **_measure(network, config)})
    columns = [f"accuracy at eps {eps:g}" for eps in config.test_eps] + list(SCORES)
    runs.write_results(workdir, "training_eps", {"config": config.to_dict(), "rows": rows})
    section = _section(config, rows, columns, workdir)
    figures.write_report(workdir, section)
    print(figures.text_table(section.header, section.rows))


def _measure(network: runs.Frozen, config) -> dict[str, float]:
    """Return one run's accuracies over the whole test set and its mean inversion scores."""
    hits: dict = {eps: [] for eps in config.test_eps}
    for batch in data.test_batches(network.config, config.batch_size):
        keys = jax.random.split(jax.random.key(0), len(batch["label"]))  # no random start: unused
        for eps in config.test_eps:
            survived = attack.survives(
                network.apply,
                data.pixels(batch["image"]),
                batch["label"],
                keys,
                eps=eps,
                step_size=2.5 * eps / config.attack_steps,
                steps=config.attack_steps,
            )
            hits[eps].append(np.asarray(survived)[batch["mask"] == 1])
    rng = np.random.default_rng(config.seed)
    targets = data.test_images(network.config, config.n, rng)
    found = representation.invert_images(
        network.apply,
        network.straight_through if config.straight_through else network.apply,
        representation.noise(targets.shape, rng),
        targets,
        eps=config.eps,
        step_size=config.step_size,
        steps=config.steps,
        keep=config.keep,
    )
    scores = {f"accuracy at eps {eps:g}": np.concatenate(h).mean() for eps, h in hits.items()}
    scores["correlation"] = metrics.likeness(found.x, targets)["correlation"].mean()
    scores["distance"] = found.value.mean()
    return {name: float(value) for name, value in scores.items()}


def _section(config, rows: list[dict], columns: list[str], workdir: str) -> figures.Section:
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
    return figures.Section(
        name="training_eps",
        title="What the radius of training gives",
        text=[
            f"Mean [least, greatest] of {len(config.seeds)} seeds. Accuracy: the whole test set, "
            f"PGD of {config.attack_steps} steps of 2.5 * eps / steps. Correlation and normalised "
            f"representation distance: inversion from noise of {config.n} test images, "
            f"{config.steps} steps of {config.step_size:g}.",
        ],
        header=["trained with eps", *columns],
        rows=[
            [f"{eps:g}", *(figures.with_interval(over_seeds[c][i], 3) for c in columns)]
            for i, eps in enumerate(config.train_eps)
        ],
        figures=[(figure, "Accuracy and pixel correlation against the eps of training")],
    )


def _spread(values: list[float]) -> dict[str, float]:
    """Return the mean, least and greatest: three seeds are too few for an interval."""
    return {"mean": float(np.mean(values)), "low": min(values), "high": max(values)}
