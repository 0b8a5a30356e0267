"""The documentation: its size, links, commands and numbers. launch/docs.sh makes the site."""

import json
import re
import shlex

import numpy as np
import pytest
from absl import flags

import generate
from paths import ROOT
from rrjax import BadInput, cli
from rrjax import __main__ as command
from rrjax.runs import report
from rrjax.study import claims

README = (ROOT / "README.md").read_text()
PARSERS = command._parser()._subparsers._group_actions[0].choices
BUILT = ("_build", "_generated")
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if not set(BUILT) & set(path.parts)
} | {"README.md": README}


def table(page, name):
    """Return the rows of a page's table between <!-- NAME --> and <!-- end of NAME -->."""
    text = PAGES[page].split(f"<!-- {name} -->\n")[1].split(f"<!-- end of {name} -->")[0]
    header, _, *rows = (line.strip("| ").split(" | ") for line in text.splitlines())
    return header, rows


def test_the_readme_is_two_screens():
    assert len(README.splitlines()) <= 250 and len(README.encode()) <= 16 * 2**10


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    folder = (ROOT / page).parent
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", PAGES[page])
    assert not [t for t in targets if "://" not in t and not (folder / t).exists()]


def commands(page):
    """Return a page's commands, as lists of words; those with a shell's variables are left out."""
    text = re.sub(r"\\\n\s*", " ", PAGES[page])
    found = re.findall(r"(?m)^(?:\w+=\S+ )*(?:python -m )?(rrjax[. ]\w+ [^\n|]+)$", text)
    found += re.findall(r"`(?:\w+=\S+ )*(?:python -m )?(rrjax[. ]\w+ [^`]+)`", text)
    known = (line for line in found if re.split("[. ]", line)[1] in PARSERS)
    whole = (line for line in known if "$" not in line and line.count('"') % 2 == 0)
    words = [shlex.split(line, comments=True) for line in whole]
    return [each for each in words if not re.search(r"\.\.\.|NAME", " ".join(each))]


def refused(words):
    """Return what a command says against its words; its networks and images need not exist."""
    name = words[1] if words[0] == "rrjax" else words[0].partition(".")[2]
    given = words[words[0] == "rrjax" :][1:]
    try:
        if name not in command.MODULES:
            command._parser().parse_args([name, *given])
        elif "--help" not in given:
            cli.parsing.parse([name, *given], process_flags(name))
    except BadInput as error:
        return str(error)
    return ""


@pytest.mark.parametrize("page", PAGES)
def test_documented_commands_can_be_typed(page):
    """Their configs exist and have these fields."""
    assert not [(words, why) for words in commands(page) if (why := refused(words))]


def test_commands_are_seen():
    assert sum(len(commands(page)) for page in PAGES) > 60


def process_flags(name):
    """Return the flags that a command has besides --config and --workdir."""
    own = cli.process_flags()
    if name == "train":
        flags.DEFINE_bool("accept_changes", False, "", flag_values=own)
    return own


def test_every_field_of_a_config_has_a_meaning():
    """Behind it or above it stands a comment, or its name is one of `generate.MEANINGS`."""
    left = [
        f"{page}: {name}"
        for page, fields in generate.tables().items()
        for name, (_, meaning) in fields.items()
        if not meaning
    ]
    assert not left


def test_comments_of_fields_are_read(tmp_path):
    config = tmp_path / "some.py"
    config.write_text(
        "# Not this one.\n\n# Above,\n# both.\nconfig.a.b = 1  # Behind.\n"
        "config.c = 2\ndata.d = 3  # D.\n"
    )
    assert generate.meanings(config) == {"a.b": "Above, both. Behind.", "data.d": "D."}


# The workdirs of `claims` in docs/results/measured, and the tables of docs/results/claims.md.
CLAIMS = {
    "claims_digits": "claims on digits",
    "claims_digits_seeds": "claims on digits, three seeds",
    "claims_cifar10": "claims on CIFAR-10",
    "claims_rin64": "claims on Restricted ImageNet 64",
}


def measured(folder):
    """Return the results.json of a command's workdir, one of those that are kept."""
    return json.loads((ROOT / "docs/results/measured" / folder / "results.json").read_text())


@pytest.mark.parametrize("folder", CLAIMS)
def test_a_table_of_claims_is_the_measured_one(folder):
    rows = [row for row in measured(folder)["claims"]["rows"] if row["of"]]
    expected = [[row["claim"], row["source"], row["study"], *claims._cells(row)] for row in rows]
    assert table("docs/results/claims.md", CLAIMS[folder])[1] == expected


def test_the_scoreboard_is_the_measured_one():
    header, rows = table("README.md", "scoreboard")
    of = {name.removeprefix("claims on "): folder for folder, name in CLAIMS.items()}
    for column, name in enumerate(header[1:], 1):
        scored = {
            key(row["claim"]): claims.scored(row)
            for row in measured(of[name])["claims"]["rows"]
            if row["of"]
        }
        expected = [scored.pop(key(claim.text), claims.NOT_RUN) for claim in all_claims()]
        assert [row[column] for row in rows] == expected and not scored
    labels = [claim.short or claim.text.partition("; ")[0] for claim in all_claims()]
    assert [row[0] for row in rows] == labels


def all_claims():
    """Return the claims in the order of their table; the eps of the first one is any."""
    return (claims._within(2.0), *claims.CLAIMS)


def key(text):
    """Return what a claim says, without the radius that it is of."""
    return re.sub(r"^Within [\d.]+ of", "Within", text.partition("; ")[0])


def accuracies():
    """Return the lines of the README's table of networks, but for what they are trained against."""
    clean, l2, linf, rin = (
        measured(f"accuracy_{name}")["accuracy"]["models"]
        for name in ("cifar10_clean", "cifar10_l2", "cifar10_linf", "rin64")
    )
    lines = []
    for name, (cell,) in clean.items():
        (attacked,) = (linf if "linf" in name else l2)[name]
        ball = "linf 8/255" if "linf" in name else f"l2 {attacked['eps']:g}"
        lines.append((name, cell, attacked, ball))
    lines += [(name, *cells, f"l2 {cells[1]['eps']:g}") for name, cells in rin.items()]
    return [
        (f"`{name}`", f"{cell['mean']:.3f}", f"{attacked['mean']:.3f} at {ball}")
        for name, cell, attacked, ball in lines
    ]


def test_the_accuracies_are_the_measured_ones():
    _, rows = table("README.md", "networks")
    assert [(name, clean, attacked) for name, _, clean, attacked in rows] == accuracies()


# Cases of configs/bench_cpu.py, as docs/performance.md calls them: kind, network.
CASES = {
    "adversarial step (7 attack steps), ResNet-50 at 224, batch 8": ("adversarial", "resnet50"),
    "adversarial step, ResNet-18 at 32, batch 64": ("adversarial", "resnet18"),
    "evaluation with PGD-20, ResNet-18 at 32, batch 32": ("evaluation", "resnet18"),
    "inversion of 10 images, ResNet-18 at 32": ("inversion", "resnet18"),
    "standard training step, ResNet-50": ("standard", "resnet50"),
    "standard training step, ResNet-18": ("standard", "resnet18"),
}


def ratios(case, peer):
    """Return our time over another program's of a case, in each of three runs of the bench."""
    runs = [measured(f"bench_cpu_{i}")["speed_cpu"]["cases"] for i in (1, 2, 3)]
    found = [
        report.center(row["time_ratio"])
        for rows in runs
        for row in rows
        if (row["kind"], row["name"]) == case and row["program"] == peer
    ]
    assert len(found) == 3
    return found


def test_the_times_beside_other_programs_are_the_measured_ones():
    """Each the median of three runs, in brackets; each of them the median of its rounds."""
    (_, *peers), rows = table("docs/performance.md", "peers")
    assert [row[0] for row in rows] == list(CASES)
    for label, *cells in rows:
        for peer, cell in zip(peers, cells, strict=True):
            each = ratios(CASES[label], peer)
            listed = ", ".join(f"{x:.2f}" for x in each)
            assert cell == f"**{np.median(each):.2f}** ({listed})", (label, peer)
    of = {case: f"{np.median(ratios(case, 'robustness')):.2f}" for case in CASES.values()}
    adversarial, standard = (
        " to ".join(sorted(of[kind, name] for name in ("resnet18", "resnet50")))
        for kind in ("adversarial", "standard")
    )
    said = " ".join(README.split())
    assert f"an adversarial step takes {adversarial} of MadryLab/robustness' time" in said
    assert f"an inversion {of['inversion', 'resnet18']}" in said
    assert f"an ordinary training step {standard}" in said


def test_the_times_of_commands_are_the_measured_ones():
    of = measured("commands")["commands"]
    rows = {line.split("`")[1]: line for line in README.splitlines() if line.startswith("| `bash")}
    for command_line, row in rows.items():
        minutes, seconds = divmod(of[command_line]["seconds"], 60)
        exact, rounded = f"{minutes} min {seconds} s", f"{minutes + (seconds >= 30)} min"
        assert f"({exact} on 2" in row or f"({rounded} on 2" in row, row
    quickstart = rows["bash launch/quickstart.sh"]
    first = of["bash launch/quickstart.sh"]["first_picture"]
    assert len(rows) == 3 and f"a first picture after {first} seconds" in quickstart
    inverted = of["rrjax invert rin64_robust_l2_eps1 photo.jpg"]["seconds"]
    assert f"{inverted} s on\ntwo cores" in README
    assert f"for a CPU takes {of['pip install -e .']['gigabytes']} GB" in README


# Numbers with a point in the README that are no results: of texts, versions and settings.
SETTINGS = {"3.11", "1903.11626", "1906.00945", "2106.06927", "0.25", "0.5"}
# And results, each in a page and computed there, or counted: a compiler's bound, a share of images.
IN_PAGES = {"4.1": "docs/papers.md", "0.278": "docs/results/networks.md"}


def test_every_other_number_of_the_readme_is_known():
    text = README.split("## Citing")[0]
    for name in ("scoreboard", "networks"):
        begin, rest = text.split(f"<!-- {name} -->")
        text = begin + rest.split(f"<!-- end of {name} -->")[1]
    text = re.sub(r"On a CPU an adversarial step takes [^\[]*", "", text)
    text = re.sub(r"for a CPU takes \S+ GB", "", text)
    numbers = set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.:])", text)) - SETTINGS
    assert numbers == set(IN_PAGES)
    assert all(number in PAGES[page] for number, page in IN_PAGES.items())
