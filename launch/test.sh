#!/usr/bin/env bash
# From a fresh machine with Python 3.11+ to a tested rrjax: installs into .venv, lints, tests.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
EXTRAS=dev
source launch/setup.sh
ruff check .
ruff format --check .
shellcheck --external-sources launch/*.sh launch/*.sbatch .ci/run
# Two workers, a file of tests to one of them at a time.
python -m pytest --numprocesses=2 --dist=loadfile "$@"
