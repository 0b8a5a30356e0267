"""The pages that are written from the code: config fields, shipped configs, the API, commands.

conf.py calls `write_pages` at every build, so that these pages say what the code does. It needs no
Sphinx, and the tests read its tables, too.
"""

import ast
import importlib
import io
import os
import re
import tokenize
from functools import cache
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

import rrjax
from rrjax import __main__ as rrjax_command
from rrjax import cli
from rrjax.runs import defaults

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path for path in (ROOT / "configs").glob("*.py") if path.stem != "__init__")
COMMANDS = ("train", "evaluate", "study", "convert", "prepare", "bench")
# The rooms that the API has a page of, and what the page says first.
ROOMS = {
    "core": "The maths of one image: `jax.vmap` makes it many.",
    "models": "Linen modules, `(images, train) -> (logits, reps)`.",
    "data": "Records to batches on the host, and changes of images on the device.",
    "runs": "Networks, run folders, photographs, checkpoints of other programs.",
    "evaluate": "Accuracy under attack, and every score.",
    "train": "The parts of a training: loop, tasks, options.",
    "study": "The studies, each a file: a question, `run(config, workdir)`.",
}
SECTIONS = ("Args:", "Returns:", "Raises:", "Yields:", "Attributes:")
# What fields mean that many configs have; a comment in the config says more, and comes before this.
MEANINGS = {
    "adversarial": "weight of the discriminator's term",
    "aside": "parts of the file that the network does not use",
    "at_once": "how many at a time",
    "attack.loss": '"cross_entropy", "margin" or "kl" (`rrjax.attack.Options`)',
    "b1": "Adam's",
    "b2": "Adam's",
    "discriminator_b2": "Adam's, of the discriminator",
    "batch_size": "images at a time, over all devices",
    "bench": "which bench this config is of",
    "beta": "weight of the term",
    "cases": "what is timed",
    "chips": "accelerators to compile for",
    "checkpoint": '"latest" or "best"',
    "classes": "number of classes",
    "compiled_steps": "attack steps of the programs whose compilation is timed",
    "convert": "which conversion this config is of",
    "decoder": "which decoder: a mirror of the stage, or one of AlexNet's",
    "dtype": "of products and convolutions",
    "encoder": "the frozen network, as `rrjax.load` takes it",
    "epochs": "passes over the training images",
    "eps": "radius, in units of pixels in [0,1]",
    "evaluation_steps": "attack steps of an evaluation",
    "feature": "weight of the difference of features",
    "file": "the file that is read or written",
    "flip": "whether half of the images are mirrored",
    "folder": "the tree of images to read",
    "gamma": "factor at each of `drops`",
    "group_names": "names of the groups",
    "image_size": "pixels a side",
    "inversion_eps": "radius of the inversion, in units of pixels in [0,1]",
    "inversion_step_size": "length of a step of the inversion, in units of pixels in [0,1]",
    "inversion_steps": "gradient steps of an inversion",
    "latent": "dimensions of the code",
    "learning_rate": "of the optimizer",
    "more_steps": "steps of the longest attack",
    "n": "how many examples",
    "name": "which one",
    "networks": "which of `standard` and `robust` have decoders",
    "norm": '"l2" or "linf"',
    "param_dtype": "of the parameters",
    "path": "the folder of the data",
    "peers": "whether programs of other frameworks are timed, too",
    "pixel": "weight of the difference of pixels",
    "prepare": "which preparation this config is of",
    "random_start": '"none", "sphere", "uniform" or "gaussian" (`rrjax.attack.Options`)',
    "restarts": "random starts; the worst of them counts",
    "return_iterate": '"best" or "last"',
    "robust": "the robust network, or its decoder, as `rrjax.load` takes it",
    "rounds": "rounds; the median counts",
    "run": "a run folder",
    "scores": "which scores",
    "seed": "of everything that is random",
    "seeds": "one result for each",
    "starts": "what an inversion starts from",
    "std": "as `mean`",
    "step_size": "length of a gradient step, in units of pixels in [0,1]",
    "steps": "gradient steps",
    "straight_through": "whether the last ReLU passes gradients to dead units",
    "study": "which study this config is of; do not change it",
    "styles": "where the styles come from",
    "tags": "of the card on the hub",
    "tars": "the folder of the two tars",
    "tensorboard": "whether metrics are written for TensorBoard, too",
    "test_eps": "radii of the attack, in units of pixels in [0,1]",
    "test_n": "test images; 0: all",
    "alignment_penalty": "weight of 1 - cosine(d true logit / d image, image)",
    "units": "which units: how many, or their numbers",
    "warmup": "rounds that do not count",
    "weights": "which network, in a file of several",
    "width": "channels of the first stage",
    "workers": "processes that read",
}


def write_pages(folder: Path) -> None:
    """Write every generated page into a folder, which they are included from."""
    folder.mkdir(exist_ok=True)
    pages = {"fields": fields_page(), "configs": configs_page(), "api": public_page()}
    pages["commands"] = commands_page()
    pages |= {f"api_{room}": room_page(room) for room in ROOMS}
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def comments(path: Path) -> dict[int, tuple[bool, str]]:
    """Return a file's comments by line, and whether a comment has its line to itself."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return {
        token.start[0]: (not token.line[: token.start[1]].strip(), token.string.lstrip("# "))
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def meanings(path: Path) -> dict[str, str]:
    """Return what the comments of a config file say of its fields, by their dotted names.

    A field's comment is behind it, or in the lines above it.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said, texts = comments(path), {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Attribute):
            continue
        root, *names = ast.unparse(node.targets[0]).split(".")
        names = ["data", *names] if root == "data" else names
        lines = []
        above = node.lineno - 1
        while said.get(above, (False,))[0]:
            lines.insert(0, said[above][1])
            above -= 1
        behind = said.get(node.end_lineno, (True, ""))
        lines += [] if behind[0] else [behind[1]]
        if lines and root in ("config", "data"):
            texts.setdefault(".".join(names), " ".join(lines))
    for node in ast.walk(tree):  # the configs that this one begins with
        if isinstance(node, ast.ImportFrom) and node.module == "rrjax.configs":
            for base in node.names:
                texts = meanings(path.with_name(f"{base.name}.py")) | texts
    return texts


def fields(config: ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Return a config's fields by their dotted names."""
    values = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        inner = fields(value, f"{name}.") if isinstance(value, ConfigDict) else {name: value}
        values |= inner
    return values


def meaning(name: str, texts: dict[str, str]) -> str:
    """Return what a field means: its own comment, else what its name means everywhere."""
    leaf = name.rpartition(".")[2]
    common = MEANINGS.get(name) or MEANINGS.get(leaf) or MEANINGS.get(leaf.partition("_")[2])
    return texts.get(name) or common or texts.get(f"data.{leaf}", "")


def shipped(path: Path) -> ConfigDict:
    """Return the config of a file, with its first argument where it needs one."""
    module = importlib.import_module(f"rrjax.configs.{path.stem}")
    needs = {"import_torch": "robust_rin", "untrained": "robust_digits", "import_lpips": "alexnet"}
    argument = needs.get(path.stem)
    return module.get_config(argument) if argument else module.get_config()


@cache
def _commands() -> dict[str, str]:
    """Return the command of each shipped config, such as "train"."""
    return {config: name for name in COMMANDS for config in cli.shipped_configs(f"rrjax.{name}")}


def cell(text: str) -> str:
    """Return a text as a cell of a Markdown table."""
    return " ".join(escaped(text).replace("|", "\\|").split())


def escaped(text: str) -> str:
    """Return plain text as Markdown: what opens no emphasis is a star, and nothing is HTML."""
    text = re.sub(r"(?<!\*)\*(?![^*\n]*\w\*)(?<!\w\*)", r"\\*", text)
    return text.replace("<", "&lt;")


def rows(values: dict[str, Any], texts: dict[str, str]) -> list[str]:
    """Return a table of fields: name, default, meaning."""
    table = ["| field | default | meaning |", "| --- | --- | --- |"]
    for name, value in values.items():
        shown = str(value).replace("|", "\\|") if value != "" else "''"
        table.append(f"| `{name}` | `{shown}` | {cell(meaning(name, texts))} |")
    return [*table, ""]


def tables() -> dict[str, dict[str, tuple[Any, str]]]:
    """Return the fields of every table of the site: value and meaning by name, by table."""
    known = meanings(ROOT / "rrjax/runs/defaults.py")
    training = fields(defaults.get_config())
    of_studies = fields(defaults.study("NAME"))
    whole = {"training": (training, known), "study": (of_studies, known)}
    for path in CONFIGS:
        values, texts = fields(shipped(path)), known | meanings(path)
        base = training if "optimizer.name" in values and "attack.eps" in values else {}
        base = of_studies if _commands()[path.stem] == "study" and "checkpoint" in values else base
        absent = object()
        own = {k: v for k, v in values.items() if base.get(k, absent) != v}
        own = {k: v for k, v in own.items() if k != "study" and not k.startswith("training.")}
        whole[path.stem] = (own, texts)
    return {
        title: {name: (value, meaning(name, texts)) for name, value in values.items()}
        for title, (values, texts) in whole.items()
    }


def _table(of: dict[str, tuple[Any, str]]) -> list[str]:
    return rows({k: v for k, (v, _) in of.items()}, {k: m for k, (_, m) in of.items()})


def fields_page() -> str:
    """Return the fields of every training and of every study, of rrjax/runs/defaults.py."""
    whole = tables()
    lines = ["## Trainings of classifiers", "", *_table(whole["training"])]
    return "\n".join([*lines, "## Studies", "", *_table(whole["study"])])


def prose(docstring: str) -> list[str]:
    """Return a config's docstring as Markdown: paragraphs that are commands become code."""
    lines = []
    for paragraph in docstring.split("\n\n"):
        first = paragraph.strip().split(" ")[0]
        if first in ("python", "bash") or "=" in first or first == "DATA=...":
            lines += ["```sh", paragraph.replace("\n\n", "\n").strip(), "```", ""]
        else:
            lines += [escaped(paragraph.strip()), ""]
    return lines


def configs_page() -> str:
    """Return the shipped configs by command: their docstrings and the fields that are their own."""
    whole, lines = tables(), []
    for name in COMMANDS:
        lines += [f"## rrjax.{name}", ""]
        mine = [path for path in CONFIGS if _commands()[path.stem] == name]
        lines += ["| config | what it is |", "| --- | --- |"]
        for path in mine:
            first = ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]
            lines.append(f"| [`{path.stem}`](#{path.stem.replace('_', '-')}) | {cell(first)} |")
        for path in mine:
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            lines += ["", f"### {path.stem}", "", *prose(docstring), *_table(whole[path.stem])]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Return the help of every command of photographs, as the command prints it."""
    # Help is as wide as the terminal, or as this says.
    os.environ["COLUMNS"] = "96"
    choices = rrjax_command._parser()._subparsers._group_actions[0].choices
    lines = []
    for name, parser in choices.items():
        if name not in COMMANDS:
            lines += [f"### rrjax {name}", "", "```text", parser.format_help().strip(), "```", ""]
    return "\n".join(lines)


def plain_to_rst(lines: list[str]) -> list[str]:
    """Return a docstring of the house, which is plain text, as reStructuredText.

    In a paragraph with hanging lines every other line is a point of a list; bars and stars of
    formulas stand for themselves.
    """
    text = []
    for paragraph in "\n".join(lines).split("\n\n"):
        own = [line for line in paragraph.split("\n") if line.strip()]
        hanging = any(line.startswith(" ") for line in own) and own[0][:1].strip()
        if own[:1] == ["Returns:"]:  # napoleon would take what is before a colon for a type
            own = [":returns: " + own[1].strip(), *own[2:]] if own[1:] else own
        elif hanging and not own[0].startswith((">>>", *SECTIONS)):
            own = [f"  {line.strip()}" if line[:1] == " " else f"- {line}" for line in own]
        text += [*own, ""]
    parts = re.split(r"(`[^`]*`)", "\n".join(text))
    parts[::2] = [re.sub(r"\|", r"\\|", part) for part in parts[::2]]
    # A star that opens no emphasis.
    parts[::2] = [re.sub(r"(?<!\*)\*(?=\w)(?![^*\n]*\w\*)", r"\\*", part) for part in parts[::2]]
    return "".join(parts).split("\n")


def modules(room: str) -> list[str]:
    """Return the modules of a room, by their dotted names."""
    paths = sorted((ROOT / "rrjax" / room).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [name for name in names if name.rpartition(".")[2] not in ("__init__", "__main__")]


def _directive(name: str, argument: str, *options: str) -> list[str]:
    return ["```{eval-rst}", f".. {name}:: {argument}", *(f"   :{o}:" for o in options), "```", ""]


def room_page(room: str) -> str:
    """Return the page of a room: its modules' public names."""
    lines = [ROOMS[room], ""]
    for module in modules(room):
        lines += [f"## {module}", "", *_directive("automodule", module, "members", "no-index")]
    return "\n".join(lines)


def public_page() -> str:
    """Return the page of what `import rrjax` has."""
    lines = []
    for name in sorted(rrjax._PUBLIC):
        lines += _directive("autofunction", f"rrjax.{name}")
    network = "rrjax.runs.networks.Frozen"
    lines += ["## What `rrjax.load` returns", "", *_directive("autoclass", network, "members")]
    return "\n".join(lines)
