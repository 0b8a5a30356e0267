"""The examples of the public functions, and the README's, run as they are written."""

import doctest
import re

import pytest

from paths import ROOT
from rrjax.core import representation
from rrjax.runs import networks, own

README = (ROOT / "README.md").read_text()
FIRST = re.search("```python\n(.*?)```", README, re.DOTALL)[1]  # the others need other packages


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", [representation, networks, own], ids=lambda module: module.__name__
)
def test_docstrings(module):
    results = doctest.testmod(module)
    assert results.attempted and not results.failed


@pytest.mark.slow
def test_the_notebook_of_the_readme():
    names = {}
    exec(FIRST, names)
    assert names["result"].x.shape == (32, 32, 3)
    assert names["result"].value < 0.3
