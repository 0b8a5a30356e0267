"""docs/papers.md: every item of the papers has a command that can be typed, a test and a cost."""

import ast
import itertools
import re
import shlex
from string import Template

import pytest
from test_docs import PAGES, process_flags, table

from paths import ROOT
from rrjax.cli import parsing
from rrjax.study.interpolation import SHOWN

PAGE = PAGES["docs/papers.md"]
PAPERS = ("representations", "gradients", "autoencoder")
ROWS = {
    paper: [dict(zip(header, row, strict=True)) for row in rows]
    for paper in PAPERS
    for header, rows in [table("docs/papers.md", paper)]
}
EVERY = [row for rows in ROWS.values() for row in rows]
PROGRAMS = ("train", "study", "evaluate", "bash", "python")
# What the page's blocks say of the variables in its commands; the others are a user's folders.
VARIABLES = dict(re.findall(r'(?m)^([A-Z]+)="?([^"\n]+(?:\n[^"\n]+)?)"?$', PAGE))
COST = "cost at the paper's scale"

# How many images each set has, to train and to test.
TRAIN = {"restricted_imagenet": 263_900, "imagenet2012": 1_281_167, "cifar10": 50_000}
TRAIN |= {"folder": 50_000, "idx": 60_000}
TEST = {"$RIN": 10_150, "$IMAGENET": 50_000}
# Gradients of a network, or trainings, that a study's config asks for.
COUNTS = {
    "inversion": lambda c: c.n * len(c.targets) * len(c.starts) * c.steps,
    "proximity": lambda c: c.n * (len(c.radii) * c.steps + c.free_steps),
    "interpolation": lambda c: (min(SHOWN, c.n) * c.points + c.n) * c.steps,
    "visualization": lambda c: (2 * c.n + 1) * c.units * c.steps,
    "regularized": lambda c: 2 * c.units * (c.steps + c.regularized_steps),
    "manipulation": lambda c: c.n * c.units * 2 * c.steps,
    "activations": lambda c: c.units * c.steps,
    "synthesis": lambda c: c.n * (3 * c.steps + c.coarse_steps + c.fill_steps + c.paint_steps),
    "manifold": lambda c: (1 + len(c.more)) * len(c.losses) * 10_000 * c.steps,
    "retraining": lambda c: (
        (1 + len(c.more)) * (len(c.attributions) * 2 * len(c.percents) * len(c.seeds))
    ),
}


def label(row):
    """Return what other rows call a row."""
    return re.split("[,:]", row["item"])[0]


LABELS = {label(row): row for row in reversed(EVERY)}


def commands(row):
    """Return the commands of a row, each a list of words without the settings of its shell."""
    found = []
    for text in re.findall(r"`([^`]+)`", row["command"]):
        words = shlex.split(text)
        while words and re.match(r"[A-Z0-9]+=", words[0]):
            words = words[1:]
        if words and words[0] in PROGRAMS:
            found.append([each for word in words for each in expanded(word)])
    return found


def expanded(word):
    """Return the words that a shell makes of one."""
    whole = word.startswith("$") and word[1:] in VARIABLES
    for _ in range(2):  # a variable may hold another
        word = Template(word).safe_substitute(VARIABLES)
    word = re.sub(r"\$(\w+)", r"\1", word)
    return word.split() if whole else [word]


def described():
    """Return (row, config) of every command that takes a config."""
    for row in EVERY:
        for program, *words in commands(row):
            if program not in ("bash", "python"):
                yield row, parsing.parse([program, *words], process_flags(program))[0]


def test_every_item_of_the_papers_has_a_row():
    of = {paper: [label(row) for row in rows] for paper, rows in ROWS.items()}
    figures = [f"Figure {i}" for i in range(1, 24)] + [f"Table {i}" for i in range(1, 6)]
    assert of["representations"][:-1] == figures
    items = {paper: " ".join(row["item"] for row in rows) for paper, rows in ROWS.items()}
    sections = set(re.findall(r"\b[23]\.\d\b", items["gradients"]))
    assert sections == {"2.1", "2.2", "3.1", "3.2", "3.3"}
    assert {"first proposal", "second proposal", "its proposal of"} <= set(
        re.findall("first proposal|second proposal|its proposal of", items["gradients"])
    )
    ours = {"Encoder", "Losses", "Reconstruction C1", "Ladder C2", "Resolutions C3", "Style C6"}
    ours |= {"Against optimization C4", "Size C5", "Denoising C6", "Anomaly C6"}
    assert ours <= set(of["autoencoder"])
    assert {"AlexNet", "ResNet", "VGG16"} <= set(re.findall("AlexNet|ResNet|VGG16", PAGE))


def test_every_cell_says_something():
    assert not [row for row in EVERY for cell in row.values() if not cell.strip()]
    for row in EVERY:
        named = re.search(r"the row of ([^:;,|]+)", row["command"])
        assert commands(row) or commands(LABELS[named[1].strip()]), row["item"]
        cost = re.match(r"in that of (.+)", row[COST])
        assert re.search(r"\d|measured", (LABELS[cost[1]] if cost else row)[COST]), row["item"]


def test_every_command_can_be_typed():
    """Their configs exist and have these fields; those of scripts have these words."""
    assert len(list(described())) > 50
    targets = re.findall(r"(?m)^([a-z0-9-]+):", (ROOT / "launch/reproduce.mk").read_text())
    for row in EVERY:
        for program, *words in commands(row):
            if program == "bash":
                assert (ROOT / words[0]).is_file() and words[1] in targets
            if program == "python":
                assert words[:2] == ["-m", "pytest"] and (ROOT / words[2]).is_file()


@pytest.mark.parametrize("row", EVERY, ids=label)
def test_every_test_exists(row):
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", row["shrunk test"])
    assert named and row["shrunk test"].count("`") == 2 * len(named)
    for file, function in named:
        tree = ast.parse((ROOT / file).read_text())
        assert function in {node.name for node in tree.body if hasattr(node, "name")}, function


@pytest.mark.parametrize("row", EVERY, ids=label)
def test_the_arithmetic_of_costs(row):
    text = re.sub(r"\([^\d()]*\)", "", row[COST])  # a remark
    text = re.sub(r"[A-Za-z']{2,}|\b[a-wyz]\b", "", re.sub(r"(?<=\d),(?=\d{3})", "", text))
    for left, right in re.findall(r"([\d(][\dx+() ]*)=\s*(\d+)", text):
        assert eval(left.replace("x", "*")) == int(right), row[COST]


def count(row, config):
    """Return the gradients, images or trainings that a config asks for; None if it is not all."""
    if "study" in config:
        return COUNTS[config.study](config) if config.study in COUNTS else None
    if "epochs" not in config:  # an evaluation
        images = TEST["$RIN" if "$RIN" in row["command"] else "$IMAGENET"]
        images = (2 + len(config.more)) * config.n or images  # of all networks, or of one
        return images * sum(eps > 0 for eps in config.eps) * sum(config.steps)
    if config.model.name == "vaegan" or config.data.groups:
        return None
    passes = config.attack.steps + 1 if "attack" in config and config.attack.eps else 1
    return config.epochs * TRAIN[config.data.name] * passes


def test_costs_are_those_of_the_configs():
    counts = [(row, count(row, config)) for row, config in described()]
    counts = [(row, n) for row, n in counts if n and not row[COST].startswith("in ")]
    assert not [(label(row), n) for row, n in counts if f"{n:,}" not in row[COST]]
    assert len(counts) > 40


def test_bounds_are_those_of_the_compiler():
    """The gradients of a cost over those that docs/performance.md allows in a second."""
    header, rows = table("docs/performance.md", "compiled")
    best = {}
    for row in itertools.takewhile(any, rows):  # up to the second table
        read = dict(zip(header, row, strict=True))
        if (read["chip"], read["images a device"]) == ("1 x h100", "128"):
            images = read["images/s at best"].rpartition(", ")[0]
            best[read["program"].split()[0]] = int(images.replace(",", ""))
    assert set(best) == {"adversarial", "standard", "evaluation", "inversion"}
    rates = {"Table 2": best["standard"], "Table 3": 8 * best["adversarial"]}
    pattern = r"([\d,]+\d)(?: gradients[^;,]*)?[;,] at least ([\d.]+) (s|min|h) \(bound\)"
    found = 0
    for row in EVERY:
        for gradients, least, unit in re.findall(pattern, row[COST]):
            rate = rates.get(label(row), 100 * best["inversion"])
            seconds = float(least) * {"s": 1, "min": 60, "h": 3600}[unit]
            assert seconds == pytest.approx(int(gradients.replace(",", "")) / rate, rel=0.06)
            found += 1
    assert found == PAGE.count("(bound)") > 15
