"""The documentation: its size, links, commands and numbers. launch/docs.sh makes the site."""

import re
import shlex

import pytest
from absl import flags

import generate
from paths import ROOT
from rrjax import BadInput, cli
from rrjax import __main__ as command
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


def test_the_scoreboard_says_what_the_tables_of_claims_say():
    header, rows = table("README.md", "scoreboard")
    labels = [claim.short or claim.text.partition("; ")[0] for claim in all_claims()]
    assert [row[0] for row in rows] == labels
    for column in (1, 2):
        _, measured = table("docs/results/claims.md", f"claims on {header[column]}")
        cells = {row[0].partition("; ")[2]: (row[7], row[5].split()[0]) for row in measured}
        for claim, row in zip(all_claims(), rows, strict=True):
            of = claim.text.partition("; ")
            same = [r for r in measured if key(r[0]) == key(of[0])]
            expected = f"{same[0][7]}, {same[0][5].split()[0]}" if same else claims.NOT_RUN
            assert row[column] == expected
        assert len(cells) and len(measured) == sum(row[column] != claims.NOT_RUN for row in rows)


def all_claims():
    """Return the claims in the order of their table; the eps of the first one is any."""
    return (claims._within(2.0), *claims.CLAIMS)


def key(text):
    """Return what a claim says, without the radius that it is of."""
    return re.sub(r"^Within [\d.]+ of", "Within", text.partition("; ")[0])


def test_the_readmes_numbers_stand_in_a_page_with_their_measurement():
    everywhere = " ".join(text for page, text in PAGES.items() if page != "README.md")
    measured = set(re.findall(r"\d+\.\d+", everywhere))
    numbers = set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.:])", README.split("## Citing")[0]))
    assert numbers - {"3.11", "1903.11626", "1906.00945", "2106.06927"} <= measured
    assert len(numbers) > 30
