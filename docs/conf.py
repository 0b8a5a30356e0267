"""The documentation site: Sphinx with MyST. `bash launch/docs.sh` builds it."""

import os
import re
import sys
from pathlib import Path

from docutils import nodes

DOCS = Path(__file__).parent
# Characters of a cell, and of code in a text or in a cell, that stay on one line.
SHORT, SHORT_CODE, SHORT_IN_TABLE = 20, 36, 60
sys.path[:0] = [str(DOCS), str(DOCS.parent)]
os.environ["JAX_PLATFORMS"] = "cpu"

import generate  # noqa: E402
import rrjax  # noqa: E402

generate.write_pages(DOCS / "_generated")

project = "rrjax"
author = "rrjax contributors"
copyright = author
version = release = rrjax.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_generated"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
default_role = "code"
smartquotes = False  # they make a dash of the two of a flag

html_theme = "furo"
html_title = "rrjax"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_theme_options = {"sidebar_hide_name": False}
copybutton_exclude = ".linenos, .gp, .go"


def _as_rst(_app, _what, _name, _obj, _options, lines):
    lines[:] = generate.plain_to_rst(lines)


def _skipped(_app, _what, _name, obj, skip, _options):
    return skip or (getattr(obj, "__module__", None) or "").startswith("matplotlib")


def _sized(_app, doctree):
    """Keep short cells, intervals and short code on one line; give long cells room."""
    for entry in doctree.findall(nodes.entry):
        entry["classes"].append("short" if len(entry.astext()) <= SHORT else "long")
        _replace(entry, r"(\[[-\d.]+,) (?=[-\d.]+\])", "\\1\u00a0")
    for code in doctree.findall(nodes.literal):
        in_table = isinstance(code.parent.parent, nodes.entry)
        if len(code.astext()) <= (SHORT_IN_TABLE if in_table else SHORT_CODE):
            code["classes"].append("short")
    _replace(doctree, " -- ", " – ")  # napoleon's


def _replace(node, pattern, replacement):
    for text in list(node.findall(nodes.Text)):
        if re.search(pattern, text) and not isinstance(text.parent, nodes.FixedTextElement):
            text.parent.replace(text, nodes.Text(re.sub(pattern, replacement, text)))


def setup(app):
    """Let docstrings be plain text, and tables be wide."""
    app.connect("doctree-read", _sized)
    app.connect("autodoc-process-docstring", _as_rst, priority=400)  # before napoleon reads them
    app.connect("autodoc-skip-member", _skipped)
