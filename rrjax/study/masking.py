"""Is the robustness real? Attacks that see through masked gradients, beside PGD.

A network may hide its gradients instead of being robust (Athalye et al. 2018). Then more steps,
more starts, another loss, an outside implementation (foolbox) or examples made on another network
win where PGD does not, or a ball so large that everything is lost in it is not enough. The list is
that of Carlini et al. (2019), "On Evaluating Adversarial Robustness".

python -m rrjax.study --config=configs/masking.py --workdir=runs/quickstart
"""

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from rrjax import BadInput, data, runs
from rrjax.core import attack, losses
from rrjax.data.augment import Batch
from rrjax.evaluate import metrics, robustness
from rrjax.runs import figures, report
from rrjax.study.comparison import require

NORMS = ("l2", "linf")


def run(config: ConfigDict, workdir: str) -> None:
    """Attack every network of config.networks in every way, in the ball of config.norm and eps.

    results.json gets "networks": for each one "accuracy", a summary for each of `attack_labels`
    that was tried, and "loss", a summary for each of config.curve.

    Raises:
      BadInput: for networks that cannot be loaded, and for values that are no attack.
    """
    _check(config)
    which = {"checkpoint": config.checkpoint, "data": config.data, "dtype": config.dtype}
    networks = {path: runs.load(path, **which) for path in config.networks}
    source = runs.load(config.source, **which)
    runs.make_folder(workdir)
    results = {path: _evaluate(network, source, config, path) for path, network in networks.items()}
    runs.publish(workdir, config, _section(config, results, workdir), {"networks": results})


def _check(config) -> None:
    if config.norm not in NORMS or not config.networks or not config.curve:
        raise BadInput(
            f"norm={config.norm!r}, networks={config.networks}, curve={config.curve}: give a norm "
            f"of {NORMS}, at least one network and at least one number of steps"
        )
    require(config, steps=1, more_steps=1, restarts=1, batch_size=1, n=0)  # n of 0: all
    if min(config.curve) < 1 or not (config.eps > 0 and config.far > 0):
        raise BadInput(
            f"curve={config.curve}, eps={config.eps}, far={config.far}: they must be positive"
        )


def attack_labels(config: Mapping[str, Any]) -> dict[str, str]:
    """Return what a reader sees of every attack, by its key in results.json.

    config: the study's, or as a plain dict, as results.json has it.
    """
    pgd = f"PGD-{config['steps']}"
    return {
        "clean": "clean",
        "pgd": pgd,
        "pgd_more_steps": f"PGD-{config['more_steps']}",
        "pgd_restarts": f"{pgd}, {config['restarts']} starts",
        "pgd_margin": f"{pgd}, margin",
        "pgd_far": f"{pgd}, {config['far']:g} eps",
        "transfer": "transfer",
        "foolbox_pgd": f"foolbox {pgd}",
        "foolbox_deepfool": "foolbox DeepFool",
    }


def _attacks(config) -> dict[str, dict]:
    """Return the attacks that rrjax makes, by key: options of `attack.adversary`."""
    pgd = {"norm": config.norm} | attack.protocol(config.eps, config.steps)
    return {
        "clean": pgd | attack.protocol(0.0, config.steps),
        "pgd": pgd,
        "pgd_more_steps": pgd | attack.protocol(config.eps, config.more_steps),
        "pgd_restarts": pgd | {"random_start": "uniform", "restarts": config.restarts},
        "pgd_margin": pgd | {"loss": "margin"},
        "pgd_far": pgd | attack.protocol(config.far * config.eps, config.steps),
    }


def _evaluate(network: runs.Frozen, source: runs.Frozen, config, path: str) -> dict:
    """Return a summary of accuracy for each attack, and of the loss for each number of steps."""
    attacks = _attacks(config)
    key = jax.random.key(config.seed)

    def batches(label: str) -> Iterable[Batch]:  # read anew for every attack: no list holds them
        opened = data.eval_batches(network.config, config.batch_size, config.n, config.seed)
        return tqdm(opened, disable=None, unit="batch", desc=label)

    masks = robustness.robust_accuracy_mask(
        network.apply, batches(path), key, list(attacks.values())
    )
    accuracy = dict(zip(attacks, masks, strict=True))
    others = {"transfer": partial(_correct_after_transfer, network, source, config)}
    others |= _foolbox(network, config)
    for name, correct in others.items():
        label = f"{path}, {attack_labels(config)[name]}"
        accuracy[name] = robustness.over_batches(batches(label), correct)
    loss = [
        robustness.over_batches(
            batches(f"{path}, {steps} steps"), partial(_loss, network, config, steps)
        )
        for steps in config.curve
    ]
    summarize = partial(metrics.summarize, seed=config.seed)
    return {
        "accuracy": {name: summarize(values) for name, values in accuracy.items()},
        "loss": [summarize(values) for values in loss],
    }


@jax.jit
def _logits(apply, images):
    return jax.vmap(apply)(images)[0]


def _correct_after_transfer(network, source, config, images, labels, _index):
    """Say which of the source's adversarial examples the network still classifies right."""
    options = attack.protocol(config.eps, config.steps)
    adversarial = attack.adversaries(source.apply, images, labels, norm=config.norm, **options)
    return _logits(network.apply, adversarial).argmax(-1) == labels


def _loss(network, config, steps: int, images, labels, _index):
    """Return the cross-entropy that PGD of that many steps reaches, in nats."""
    options = attack.protocol(config.eps, steps)
    adversarial = attack.adversaries(network.apply, images, labels, norm=config.norm, **options)
    logits = _logits(network.apply, adversarial)
    return losses.cross_entropy(logits, labels)


def _foolbox(network, config) -> dict[str, Callable]:
    """Return foolbox's PGD, of the same steps, and its DeepFool, by key; {} without foolbox.

    Each says of (images, labels, index) which are classified right after the attack, (N,).
    """
    if importlib.util.find_spec("foolbox") is None:
        return {}
    import foolbox  # a check only: the package does not need it

    model = foolbox.JAXModel(partial(_logits, network.apply), bounds=(0, 1))
    kinds = {
        "l2": (foolbox.attacks.L2PGD, foolbox.attacks.L2DeepFoolAttack),
        "linf": (foolbox.attacks.LinfPGD, foolbox.attacks.LinfDeepFoolAttack),
    }
    pgd, deepfool = kinds[config.norm]
    step_size = 2.5 * config.eps / config.steps
    attacks = {
        "foolbox_pgd": pgd(steps=config.steps, abs_stepsize=step_size, random_start=False),
        "foolbox_deepfool": deepfool(),
    }

    def correct_under_attack(attack_, images, labels, _index):
        # On one device: foolbox computes an operation at a time, and operations on arrays of
        # several CPU devices, started one after the other, can wait for each other forever.
        images, labels = (jnp.asarray(np.asarray(x)) for x in (images, labels))
        _, _, success = attack_(model, images, labels, epsilons=config.eps)
        return ~success

    return {name: partial(correct_under_attack, attack_) for name, attack_ in attacks.items()}


def _section(config, results: dict, workdir: str) -> report.Section:
    curves = {path: (config.curve, result["loss"]) for path, result in results.items()}
    figure = figures.save_curves(
        workdir, "masking", curves, xlabel="steps of PGD", ylabel="cross-entropy, nats", ylim=None
    )
    keys = list(next(iter(results.values()))["accuracy"])
    n = next(iter(results.values()))["accuracy"]["clean"]["n"]
    return report.Section(
        name="masking",
        title="Is the robustness real?",
        text=[
            f"Accuracy of {n} test images in the {config.norm} ball of {config.eps:g}, mean and 95 "
            "% interval over images; PGD in steps of 2.5 * eps / steps. Where gradients "
            f"are masked, something below wins more than PGD-{config.steps}, or a ball of "
            f"{config.far:g} eps leaves accuracy. Transfer: examples made on {config.source}.",
        ],
        header=["attack", *results],
        rows=[
            [
                attack_labels(config)[key],
                *(report.with_interval(r["accuracy"][key], 3) for r in results.values()),
            ]
            for key in keys
        ],
        figures=[(figure, "The loss that PGD reaches, against its steps: it must level off")],
    )
