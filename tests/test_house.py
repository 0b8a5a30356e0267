"""The house's own law: imports point down only."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "rrjax"
# A room may import rooms of a lower layer, and modules of its own package.
LAYERS = (
    ("errors", "prefetch", "signals", "batches", "report", "wavelets"),
    ("locks", "parallel", "checkpoints"),
    (
        "pgd",
        "objectives",
        "attribution",
        "metrics",
        "models",
        "data",
        "figures",
        "door",
        "manifold",
        "sampling",
        "stylization",
        "lpips",
    ),
    ("safetensors", "torch_pickle"),
    ("pretrained",),
    (
        "attack",
        "interpretability",
        "representation",
        "regularization",
        "retraining",
        "synthesis",
        "anomaly",
        "runs",
        "torch_checkpoint",
        "torch_files",
    ),
    ("loop", "conversion", "cards"),
    ("tasks",),
    ("studies", "benches"),
    ("train", "evaluate", "study", "convert", "prepare", "bench"),
)
LAYER = {room: i for i, rooms in enumerate(LAYERS) for room in rooms}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported_rooms(path):
    """Return the rooms of rrjax that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("rrjax."))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for other in imported_rooms(path):
        if other == room:
            # Families share their layers, data its parts, a bench has its peers; one study knows
            # no other.
            assert room in ("models", "data", "tasks", "benches")
        else:
            assert LAYER[other] < LAYER[room], f"{room} imports {other}"


def test_base_install_is_without_tensorflow_and_torch():
    for path in FILES:
        if path == PACKAGE / "benches/peers.py":  # what we are measured beside, where it is
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                roots = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                roots = {node.module.split(".")[0]}
            else:
                continue
            assert not roots & {"tensorflow", "torch"}, path


def test_doors_are_short():
    for door in LAYERS[-1]:
        path = PACKAGE / f"{door}.py"
        if path.exists():
            assert len(path.read_text().splitlines()) <= 40, path
