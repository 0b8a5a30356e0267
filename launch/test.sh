#!/usr/bin/env bash
# From a fresh machine with Python 3.11+ to a tested rrjax: installs into .venv, lints, checks types,
# tests. bash launch/test.sh [--quick] [arguments of pytest]
# --quick leaves out the slow tests, which CI runs.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
EXTRAS=dev
source launch/setup.sh

tests=()
if [ "${1-}" = --quick ]; then
  shift
  tests=(-m "not slow")
fi
ruff check .
ruff format --check .
shellcheck --external-sources launch/*.sh launch/*.sbatch .ci/run
pyrefly check --summary=none
# Two workers, a file of tests to one of them at a time, in the order of tests/conftest.py.
python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder "${tests[@]}" "$@"
