"""The laws of the source tree: imports point down, functions are short, public names documented."""

import ast
import re
from itertools import accumulate

import pytest

from paths import ROOT

# A module imports from the rooms before its own `<`, and from its own room.
LAW = "cli, core, models, data < runs < train, evaluate, prepare < study, bench < convert"
LEVELS = [frozenset(level.split(", ")) for level in LAW.split(" < ")]
BELOW = {
    room: lower
    for level, lower in zip(
        LEVELS, accumulate(LEVELS, frozenset.union, initial=frozenset()), strict=False
    )
    for room in level
}

PACKAGE = ROOT / "rrjax"
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if PACKAGE / "configs" not in path.parents]
TREES = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in FILES}
FUNCTIONS = [
    (name, node)
    for name, tree in TREES.items()
    for node in ast.walk(tree)
    if isinstance(node, ast.FunctionDef)
]

# The package's own two files are no room, and import from any; what the first defines, any imports.
OWN = ("__init__", "__main__")
DEFINED = {"BadInput", "Stopped", "did_you_mean"}
MOST_ENTRIES = 11  # rooms in rrjax/
MOST_LINES = 50  # of a function, its docstring included
MOST_PARAMETERS = 9
# Functions whose parameters a library dictates: flax calls this one as lax.conv_general_dilated.
DICTATED = {("models/convolution.py", "convolution")}
# The one module that may import other frameworks: it measures them, where they are installed.
PEERS = "bench/peers.py"
# Metaphors that the field does not use, in halves, since this file is searched too.
HALVES = (("do", "or"), ("me", "nd"), ("she", "lf"), ("jud", "ged"), ("offen", "der"))
WORDS = re.compile(rf"\b({'|'.join(map(''.join, HALVES))})\b", re.IGNORECASE)
SEARCHED = ("rrjax", "tests", "configs", "launch", "docs", "README.md")


def imported(tree):
    """Return what a file imports anywhere in it, each name with its module's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(tree):
    """Return the rooms of rrjax that a file imports from."""
    names = {name.split(".")[1] for name in imported(tree) if name.startswith("rrjax.")}
    return names - DEFINED


def test_the_law_names_every_room():
    """A room is a folder or a module of rrjax/; there are few of them."""
    entries = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    entries -= {*OWN, "__pycache__", "configs"}
    assert entries == set(BELOW) and len(entries) <= MOST_ENTRIES


@pytest.mark.parametrize("name", [name for name in TREES if name[:-3] not in OWN])
def test_imports_point_down(name):
    room = name.split("/")[0].removesuffix(".py")
    wrong = rooms(TREES[name]) - BELOW[room] - {room}
    assert not wrong, f"rrjax/{name} imports {wrong}, which are not below {room}: {LAW}"


def test_the_law_sees_every_form_of_an_import():
    source = """
import rrjax.study.claims
from rrjax import cli, runs
def late():
    from rrjax.data.folder import files
"""
    assert rooms(ast.parse(source)) == {"study", "cli", "runs", "data"}
    assert BELOW["runs"] == {"cli", "core", "models", "data"}
    assert BELOW["core"] == set() and "convert" not in BELOW["bench"]


def test_the_package_imports_no_config():
    """Only the command line finds them, by name, when a user asks for one."""
    for name, tree in TREES.items():
        assert not any(module.split(".")[0] == "configs" for module in imported(tree)), name
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        assert name == "cli/parsing.py" or "rrjax.configs" not in texts, name


def test_base_install_is_without_tensorflow_and_torch():
    for name, tree in TREES.items():
        if name != PEERS:
            roots = {module.split(".")[0] for module in imported(tree)}
            assert not roots & {"tensorflow", "torch"}, name


def lines(node):
    """Return how many lines a function takes."""
    return node.end_lineno - node.lineno + 1


def test_functions_are_short():
    long = [f"{name}: {node.name}" for name, node in FUNCTIONS if lines(node) > MOST_LINES]
    assert not long


def test_functions_take_few_parameters():
    wide = []
    for name, node in FUNCTIONS:
        arguments = node.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        named += filter(None, (arguments.vararg, arguments.kwarg))
        if len([each for each in named if each.arg != "self"]) > MOST_PARAMETERS:
            wide.append((name, node.name))
    assert set(wide) == DICTATED


def undocumented(tree, prefix=""):
    """Return the public classes and functions, and public methods, without a docstring."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            if ast.get_docstring(node) is None:
                yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from undocumented(node, f"{prefix}{node.name}.")


@pytest.mark.parametrize("name", TREES)
def test_public_names_have_docstrings(name):
    assert ast.get_docstring(TREES[name])
    assert not [*undocumented(TREES[name])]


def test_words_are_the_fields():
    suffixes = {".py", ".sh", ".md", ".toml", ".json", ""}
    used = []
    for root in SEARCHED:
        paths = [ROOT / root] if (ROOT / root).is_file() else sorted((ROOT / root).rglob("*"))
        for path in paths:
            if path.is_file() and path.suffix in suffixes:
                text = path.read_text().splitlines()
                hits = (i for i, line in enumerate(text, 1) if WORDS.search(line))
                used += [f"{path.relative_to(ROOT)}:{i}" for i in hits]
    assert not used


def entries(text):
    """Return the code map of a Markdown page: each room's entry in `rrjax/`, and its text."""
    lines = re.search(r"```text\nrrjax/\n(.*?)```", text, re.DOTALL)[1].splitlines()
    found, name = {}, ""
    for line in lines:
        start = re.match(r" {0,2}(\S+)", line)
        name = start[1] if start else name
        found[name] = f"{found.get(name, '')} {line}"
    return found


TOP = {"configs/", "docs/", "launch/", "tests/"}


def test_the_readmes_code_map_is_the_tree():
    drawn = set(entries((ROOT / "README.md").read_text())) - TOP
    there = [path for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "configs")]
    assert drawn == {f"{path.name}/" if path.is_dir() else path.name for path in there}
    assert all((ROOT / name).is_dir() for name in TOP)


def test_the_design_page_names_every_module():
    drawn = entries((ROOT / "docs/design.md").read_text())
    left = []
    for path in FILES:
        room, *inner = path.relative_to(PACKAGE).parts
        if inner and path.stem not in OWN:
            words = re.findall(r"\w+", drawn[f"{room}/"])
            left += [f"{room}/{'/'.join(inner)}"] if path.stem not in words else []
    assert not left
