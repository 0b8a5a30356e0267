#!/usr/bin/env bash
# The table of digits (docs/results/representations.md): trains 5 eps x 3 seeds (about a minute each
# on two cores; a run that is done is not trained again), then measures accuracy, attack and inversion
# of each.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
source launch/setup.sh

out=runs/training_eps
for seed in 0 1 2; do
  python -m rrjax.train --config=configs/standard_digits.py --config.seed=$seed \
    --workdir="$out/eps0_seed$seed"
  for eps in 0.5 1 1.5 2; do
    python -m rrjax.train --config=configs/robust_digits.py --config.attack.eps=$eps \
      --config.seed=$seed --workdir="$out/eps${eps}_seed$seed"
  done
done
python -m rrjax.study --config=configs/training_eps.py --workdir=$out
