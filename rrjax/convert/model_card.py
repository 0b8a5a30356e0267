"""The model card of a pretrained network, from its config and from the results of evaluations."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from rrjax import BadInput, cli, runs
from rrjax.runs import pretrained, report
from rrjax.runs.files import replace_text
from rrjax.study import masking


class Family(NamedTuple):
    """What the cards of networks trained on the same data share.

    config: of their training, with the name of a file in configs/ and its argument; in words: the
    architecture, what the images are of, the data, the test images, how settings were chosen.
    """

    config: str
    architecture: str
    images: str
    data: str
    test: str
    chosen: str


FAMILIES = {
    "cifar10": Family(
        config="small_cifar10",
        architecture="A ResNet-18 with CIFAR's stem and a quarter of its width",
        images="CIFAR-10's ten classes in the order of their names",
        data="""CIFAR-10's 50,000 training images, in a copy of JPEGs of quality 75: a little softer
  than the originals. DATA holds {train,test}/<class>/*.jpg.""",
        test="test images (the same JPEG copy)",
        chosen="chosen on 5,000 images held out of the training set, by the l2 radius 0.5",
    ),
    "rin64": Family(
        config="rin64:{norm},{eps}",
        architecture="A ResNet-18 with ImageNet's stem and half of its width",
        images="""nine groups of ImageNet's classes: dog, cat, amphibian,
reptile, bird, primate, fish, crustacean, insect""",
        data="""the 36 classes of Tiny ImageNet that are of these groups, 18,000 training images.
  DATA holds {train,val}/<wnid>/*.JPEG.""",
        test="validation images of the 36 classes",
        chosen="as in a trial of ten epochs, and not tuned",
    ),
}


def write(config: ConfigDict, workdir: str | Path) -> None:
    """Write the model card of `config.name` into the workdir.

    Raises:
      BadInput: for an unknown name, or if there is no evaluation under `config.evaluations`.
    """
    if config.name not in pretrained.models_available():
        names = ", ".join(pretrained.models_available())
        raise BadInput(f"config.name={config.name!r}: choose from {names}")
    rows = findings(Path(config.evaluations) / config.name)
    if not rows:
        raise BadInput(
            f"config.evaluations={config.evaluations}: holds no evaluation in {config.name}/: run "
            f"launch/evaluate_pretrained.sh {_family(config.name)} {config.name}"
        )
    runs.make_folder(workdir)
    path = Path(workdir) / f"{config.name}.md"
    replace_text(path, card(config.name, rows))
    print(f"{config.evaluations}/{config.name} -> {path}")


def findings(folder: Path) -> list[tuple[str, str, str, str]]:
    """Return (attack, eps, accuracy, n) of all evaluations in a folder and in those within it.

    By norm and radius, the clean accuracy first; then by n, since only accuracies of the same
    images are comparable.
    """
    summaries: dict[tuple[str, float, int, str], dict] = {}
    for path in sorted(folder.rglob("results.json")):
        results = runs.read_results(path.parent)
        for norm, eps, attack, summary in (*_of_accuracy(results), *_of_masking(results)):
            clean = ("", 0.0, -summary["n"], "none")
            summaries[clean if eps == 0 else (norm, eps, -summary["n"], attack)] = summary
    return [
        (
            attack if not norm else f"{norm}, {attack}",
            radius(norm, eps),
            report.with_interval(summary, 3),
            f"{summary['n']:,}",
        )
        for (norm, eps, _, attack), summary in sorted(summaries.items())
    ]


def radius(norm: str, eps: float) -> str:
    """Write a radius, in units of [0,1] pixels, as papers do: linf in 255ths."""
    return f"{255 * eps:.3g}/255" if norm == "linf" else f"{eps:g}"


def _of_accuracy(results: dict) -> Iterator[tuple[str, float, str, dict]]:
    if "accuracy" not in results:
        return
    section = results["accuracy"]
    config = section["config"]
    starts = "" if config["restarts"] == 1 else f", worst of {config['restarts']} starts"
    for rows in section["models"].values():
        for row in rows:
            yield config["norm"], row["eps"], f"PGD-{row['steps']}{starts}", row


def _of_masking(results: dict) -> Iterator[tuple[str, float, str, dict]]:
    if "masking" not in results:
        return
    section = results["masking"]
    settings = section["config"]
    labels = masking.attack_labels(settings)
    labels["transfer"] = f"transfer from {settings['source']}"
    for result in section["networks"].values():
        for attack, summary in result["accuracy"].items():
            eps = 0.0 if attack == "clean" else settings["eps"]
            yield settings["norm"], eps, labels[attack], summary


def card(name: str, rows: Sequence[tuple[str, ...]]) -> str:
    """Return the text of a model card, in Markdown; `rows` are those of `findings`."""
    trained, variables = pretrained.read(name)
    count = sum(x.size for x in jax.tree.leaves(variables["params"])) / 1e6
    begun = f", from the weights of {trained.start_from}" if trained.start_from else ""
    family = FAMILIES[_family(name)]
    return _CARD.format(
        name=name,
        family=_family(name),
        architecture=family.architecture,
        count=count,
        adversary=_adversary(trained.attack),
        begun=begun,
        shape=(trained.data.image_size, trained.data.image_size, len(trained.model.mean)),
        images=family.images,
        data=family.data,
        test=family.test,
        seed=trained.seed,
        settings=_BEGUN if begun else family.chosen,
        command=command(family, trained),
        time=pretrained.facts(name)["time"],
        table=report.text_table(("attack", "eps", "accuracy", "n"), rows),
    )


def _family(name: str) -> str:
    """Return which of FAMILIES a name begins with."""
    family = name.partition("_")[0]
    if family not in FAMILIES:
        raise BadInput(f"config.name={name!r}: a name begins with one of {', '.join(FAMILIES)}")
    return family


def _adversary(attack: ConfigDict) -> str:
    if not attack.eps:
        return "without an adversary"
    return f"against {attack.norm} attacks of radius {radius(attack.norm, attack.eps)}"


def command(family: Family, trained: ConfigDict) -> str:
    """Return the command of a training: the fields in which it differs from its family's config."""
    attack = trained.attack
    name = family.config.format(norm=attack.norm, eps=radius(attack.norm, attack.eps))
    fields, shared = (runs.flat(each) for each in (trained, cli.load_config(name)))
    flags = [
        f"--config.{field}={value}"
        for field, value in fields.items()
        if field != "data.path" and shared[field] != value
    ]
    file, _, argument = name.partition(":")
    config = f"configs/{file}.py" + (f":{argument}" if argument else "")
    return " ".join([f"python -m rrjax.train --config={config} --config.data.path=DATA", *flags])


_BEGUN = "of that network but for those of the command, which were not tuned"

_CARD = """# {name}

{architecture} ({count:.2f} million parameters), trained
{adversary}{begun},
for images {shape}, float in [0,1], of {images}.
`rrjax.load("{name}")`.

- **Data**: {data}
- **Training**: seed {seed}; settings {settings}:

  `{command} --workdir=runs/mine`

- **Time**: {time}.
- **Weights**: parameters rounded to bfloat16, BN statistics float32; the numbers below are theirs.

Accuracy on the {test}, mean and 95 % interval over n images,
drawn by seed 0 where they are not all; PGD in steps of 2.5 * eps / steps:

{table}

The first row, from the installed weights:

```
python -m rrjax.evaluate --config=configs/evaluate.py --config.standard= --config.robust={name} \\
  --config.eps="(0.0,)" --config.steps="(20,)" --config.data.path=DATA --workdir=runs/check
```

All of them, and more, for each n of the table:
`DATA=... N=n bash launch/evaluate_pretrained.sh {family} {name}`.
"""
