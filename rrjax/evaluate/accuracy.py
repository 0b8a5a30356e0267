"""How much accuracy is left under attack? Standard and robust side by side.

Engstrom et al. (2019), Tables 4 and 5: accuracy for each eps, PGD of 20 and of 100 steps of
2.5 * eps / steps, on the whole test set.

A batch that is done is saved: the same command goes on behind it, and ends with the same numbers.

python -m rrjax.evaluate --config=configs/evaluate.py --workdir=runs/quickstart
"""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from rrjax import BadInput, data, runs
from rrjax.core import attack, checks, devices
from rrjax.data.augment import Batch
from rrjax.evaluate import metrics, robustness
from rrjax.runs import figures, report


def run(config: ConfigDict, workdir: str) -> None:
    """Evaluate config.standard and config.robust ("" leaves one out), and those of config.more.

    results.json gets "models": for each network a summary, "steps" and "eps" for each attack.

    Raises:
      BadInput: for networks that cannot be loaded, and for values that are no attack.
    """
    _check(config)
    networks = runs.load_networks(config)
    runs.make_folder(workdir)
    results = {}
    for name, network in networks.items():
        identity = (network.config.to_json(sort_keys=True), network.variables)
        cached = runs.disk_cache(workdir, "accuracy", config, identity)
        results[name] = _evaluate(name, network, config, cached)
    section = _section(config, results, networks, workdir)
    runs.publish(workdir, config, section, {"models": results})


def _check(config: ConfigDict) -> None:
    numbers = (*config.eps, *config.steps, config.batch_size)
    plain = all(isinstance(number, int | float) for number in numbers)
    if not (plain and config.eps and config.steps and min(config.eps) >= 0):
        raise BadInput(f"eps={config.eps}, steps={config.steps}: give numbers, and no eps below 0")
    if min(*config.steps, config.batch_size) < 1:
        raise BadInput(f"steps={config.steps}, batch_size={config.batch_size}: none may be below 1")
    for eps in config.eps:
        checks.check_sizes("", config.norm, eps, step_size=eps, steps=1)
    if config.n < 0 or config.n == 1:  # of one image there is no interval
        raise BadInput(f"n={config.n}: give 2 test images or more, or 0 for all of them")
    if config.record < 0:
        raise BadInput(f"record={config.record}: give a number of test images, or 0 for none")


def _evaluate(name: str, network: runs.Frozen, config: ConfigDict, cached: Callable) -> list[dict]:
    """Return a summary of accuracy for each number of steps and each eps."""
    grid = [(steps, eps) for steps in config.steps for eps in config.eps]
    batches = data.eval_batches(network.config, config.batch_size, config.n, config.seed)
    attacks = [_attack(config, eps, steps) for steps, eps in grid]
    parts = []
    for batch in tqdm(batches, disable=None, desc=f"accuracy of {name}", unit="batch"):
        masks = partial(_masks, network, batch, attacks, config)
        parts.append(cached(_digest(batch), masks)["correct"])
    return [
        {"steps": steps, "eps": eps, **metrics.summarize(correct, config.seed)}
        for (steps, eps), correct in zip(grid, np.concatenate(parts, axis=1), strict=True)
    ]


def _attack(config: ConfigDict, eps: float, steps: int) -> dict[str, Any]:
    fixed = {"norm": config.norm, "random_start": config.random_start, "restarts": config.restarts}
    return attack.protocol(eps, steps) | fixed


def _masks(
    network: runs.Frozen, batch: Batch, attacks: list[dict], config: ConfigDict
) -> dict[str, np.ndarray]:
    """Return which examples of a batch are classified right, (attacks, N), of all processes."""
    key = jax.random.key(config.seed)
    masks = robustness.robust_accuracy_mask(network.apply, [batch], key, attacks)
    return {"correct": np.stack(masks)}


def _digest(batch: Batch) -> str:
    """Name a batch by what it holds, and the other processes' batches at its place."""
    content = hashlib.sha256()
    for field in sorted(batch):
        content.update(f"{field} {batch[field].shape} ".encode() + batch[field].tobytes())
    mine = np.frombuffer(content.digest(), np.uint8)
    return devices.gathered(mine).tobytes().hex()


@partial(jax.jit, static_argnames=attack.STATIC)
def _attacked(apply, images, labels, keys, **options):
    """Return adversarial examples (N, H, W, C), and the classes that they are taken for (N,)."""

    def one(image, label, key):
        adversarial = attack.adversary(apply, image, label, key, **options)
        return adversarial, apply(adversarial)[0].argmax()

    return jax.vmap(one)(images, labels, keys)


def _drawn(network: runs.Frozen, config: ConfigDict, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Attack n images by the last attack of every eps; return what `_attacked` does."""
    size = -(-n // jax.process_count()) * jax.process_count()
    key = jax.random.key(config.seed)

    def attacked(images, labels, index):
        keys = jax.vmap(partial(jax.random.fold_in, key))(index)
        attacks = [_attack(config, eps, config.steps[-1]) for eps in config.eps]
        return [_attacked(network.apply, images, labels, keys, **each) for each in attacks]

    batches = data.eval_batches(network.config, size, n, config.seed)
    return robustness.over_batches(batches, attacked)


def _pictures(config: ConfigDict, networks: dict[str, runs.Frozen], workdir: str, n: int) -> list:
    """Draw n test images under attack, a row an eps, and a slider over eps."""
    pictures, files = [], {}
    for number, (name, network) in enumerate(networks.items()):
        rows = {
            f"eps {eps:g}": row
            for eps, row in zip(config.eps, _drawn(network, config, n), strict=True)
        }
        classes = np.stack([seen for _, seen in rows.values()])
        titles = dict(
            zip(rows, figures.class_labels(classes, data.class_names(network.config)), strict=True)
        )
        grid = {label: images for label, (images, _) in rows.items()}
        files[name] = figures.save_grid(workdir, f"accuracy_attacked_{number}", grid, titles=titles)
        pictures.append((files[name], f"{name}: attacked, and the class that it takes them for"))
    values = [f"{eps:g}" for eps in config.eps]
    label = f"{config.norm} eps of the attack, pixels in [0,1]"
    return [report.Slider(label=label, values=values, files=files, axis="row"), *pictures]


def _section(
    config: ConfigDict, results: dict, networks: dict[str, runs.Frozen], workdir: str
) -> report.Section:
    header = ["network", "PGD steps", *(f"eps {eps:g}" for eps in config.eps)]
    rows, curves = [], {}
    for name, cells in results.items():
        for steps in config.steps:
            line = [cell for cell in cells if cell["steps"] == steps]
            rows.append([name, str(steps), *(report.with_interval(c, 3) for c in line)])
        curves[name] = (config.eps, line)  # of the last, strongest attack
    figure = figures.save_curves(
        workdir,
        "accuracy",
        curves,
        xlabel=f"{config.norm} eps, pixels in [0,1]",
        ylabel="test accuracy, share of images",
    )
    caption = f"Test accuracy against the radius of a PGD-{config.steps[-1]} attack"
    pictures = [(figure, caption)]
    n = next(iter(results.values()))[0]["n"]
    if config.record:
        pictures += _pictures(config, networks, workdir, min(config.record, n))
    paths = {"standard": config.standard, "robust": config.robust}
    origin = ", ".join(f"{name}: {path}" for name, path in paths.items() if path)
    origin = f" {origin}." if origin else ""
    return report.Section(
        name="accuracy",
        title="Accuracy under attack",
        text=[
            f"{n} test images; PGD ({config.norm}{_starts(config)}) in steps of 2.5 * eps / "
            f"steps; 95 % intervals over images.{origin}"
        ],
        header=header,
        rows=rows,
        figures=pictures,
    )


def _starts(config: ConfigDict) -> str:
    if config.random_start == "none":
        return ""
    return f", worst of {config.restarts} {config.random_start} starts"
