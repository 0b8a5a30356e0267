#!/usr/bin/env bash
# From a fresh machine with Python 3.11+ to runs/quickstart/report.html: installs rrjax into .venv,
# trains a standard and a robust network on scikit-learn's digits, attacks both, inverts both.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
source launch/setup.sh

out=runs/quickstart
python -m rrjax.train --config=configs/standard_digits.py --workdir=$out/standard
python -m rrjax.train --config=configs/robust_digits.py --workdir=$out/robust
python -m rrjax.evaluate --config=configs/evaluate.py --workdir=$out
python -m rrjax.study --config=configs/inversion.py --workdir=$out
echo "Look at $out/report.html"
