#!/usr/bin/env bash
# From a fresh machine with Python 3.11+ to runs/quickstart/report.html: installs rrjax into .venv,
# trains a standard and a robust network on scikit-learn's digits, attacks both, inverts both. Beside
# the first training it draws runs/quickstart/first.png: scikit-learn's two photographs, moved towards
# a dog through the robust network of 64 pixels that comes with rrjax.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
source launch/setup.sh

out=runs/quickstart
mkdir -p "$out"

first_picture() {
  python - >"$out/first.log" <<END
from rrjax.__main__ import main
from sklearn.datasets import load_sample_images

photographs = load_sample_images().filenames
how = ["--eps=12", "--output=$out/first.png"]
main(["rrjax", "towards", "rin64_robust_l2_eps1", "dog", *photographs, *how])
END
  echo "Look at $out/first.png: photographs, and each moved until the network sees a dog in it"
}

first_picture &
picture=$!
python -m rrjax.train --config=configs/standard_digits.py --workdir=$out/standard
wait "$picture"
python -m rrjax.train --config=configs/robust_digits.py --workdir=$out/robust
python -m rrjax.evaluate --config=configs/evaluate.py --workdir=$out
python -m rrjax.study --config=configs/inversion.py --workdir=$out
echo "Look at $out/report.html"
