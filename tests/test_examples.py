"""The examples of public functions, the README, the tutorials and a guide, run as they stand.

Their searches take fewer steps here.
"""

import doctest
import re

import pytest
import skimage.data
from PIL import Image

from paths import ROOT
from rrjax.core import representation
from rrjax.runs import networks, own

TUTORIALS = sorted((ROOT / "docs/tutorials").glob("*.md"))
PAGES = ["README.md", *(f"docs/tutorials/{path.name}" for path in TUTORIALS)]
PAGES += ["docs/guides/own_models.md"]
BLOCK = re.compile("```python\n(.*?)```", re.DOTALL)
EXAMPLES = {page: BLOCK.findall((ROOT / page).read_text()) for page in PAGES}


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", [representation, networks, own], ids=lambda module: module.__name__
)
def test_docstrings(module):
    results = doctest.testmod(module)
    assert results.attempted and not results.failed


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, blocks in EXAMPLES.items() if blocks])
def test_a_pages_python(page, tmp_path, monkeypatch):
    """All of a page's blocks in turn, in an empty folder with a photograph."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(skimage.data.cat()).save("photo.jpg")
    names = {}
    for block in EXAMPLES[page]:
        exec(re.sub(r"\bsteps=\d+", "steps=2", block), names)
