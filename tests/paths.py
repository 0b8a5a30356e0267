"""Where the tests find the clone, the golden files and the real images beside the project."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests/golden"
SHARED = ROOT.parent / "shared/data"  # absent on most machines: tests that need it skip
