#!/usr/bin/env bash
# Builds the documentation site into docs/_build/html: bash launch/docs.sh [arguments of sphinx-build]
# A warning, such as a link to nowhere, is an error; every page is read anew, since a page that is not
# repeats no warning.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
EXTRAS=docs
source launch/setup.sh
sphinx-build --fresh-env --fail-on-warning --keep-going --quiet "$@" docs docs/_build/html
echo "Look at docs/_build/html/index.html"
