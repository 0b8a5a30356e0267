#!/usr/bin/env bash
# Evaluate the pretrained models under attack, into runs/evaluations, and write their model cards:
#   DATA=/path/to/images bash launch/evaluate_pretrained.sh cifar10|rin64 [NAME ...]
# DATA as in launch/train_pretrained.sh. Clean accuracy is over all test images, every attack over N of
# them (default 1,000: hours; with N=500 the study of masking alone takes half an hour of one core).
# What is done already is not done again.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
family=${1:?usage: DATA=... bash launch/evaluate_pretrained.sh cifar10 or rin64 [NAME ...]}
shift
: "${DATA:?the folder that holds train/ and the test images}"
EXTRAS=dev # foolbox is part of it
source launch/setup.sh

n=${N:-1000}
case $family in
  cifar10) l2_radii=0.25,0.5,1.0 linf_radii=0.00784314,0.01568627,0.03137255 ;;
  rin64) l2_radii=0.5,1.0,3.0 linf_radii=0.00392157,0.00784314,0.01568627 ;;
  *)
    echo "error: launch/evaluate_pretrained.sh $family: choose cifar10 or rin64" >&2
    exit 2
    ;;
esac
# shellcheck disable=SC2034 # both are used by name
l2=("--config.norm=l2" "--config.eps=($l2_radii)")
# shellcheck disable=SC2034
linf=("--config.norm=linf" "--config.eps=($linf_radii)")

attack() { # NAME FOLDER FLAGS
  out=runs/evaluations/$1/$2
  if [ -e "$out/results.json" ]; then return; fi
  python -m rrjax.evaluate --config=configs/evaluate.py --config.standard= --config.robust="$1" \
    --config.data.path="$DATA" --workdir="$out" "${@:3}"
}

probe() { # NAME FLAGS: its own ball
  out=runs/evaluations/$1/probe_$n
  if [ -e "$out/results.json" ]; then return; fi
  python -m rrjax.study --config=configs/masking.py --config.networks="('$1',)" \
    --config.source="${family}_standard" --config.data.path="$DATA" --config.n="$n" \
    --workdir="$out" "${@:2}"
}

if [ $# = 0 ]; then
  mapfile -t names < <(python -c "import rrjax; print(*rrjax.models_available(), sep='\n')" |
    grep "^${family}_")
  set -- "${names[@]}"
fi
for name; do
  attack "$name" clean --config.eps="(0.0,)" --config.steps="(20,)"
  for norm in l2 linf; do
    declare -n ball=$norm
    attack "$name" "${norm}_$n" "${ball[@]}" --config.steps="(20,100)" --config.n="$n"
    attack "$name" "${norm}_starts_$n" "${ball[@]}" --config.steps="(20,)" --config.n="$n" \
      --config.random_start=uniform --config.restarts=5
  done
  case $name in
    *linf_eps8) probe "$name" --config.norm=linf --config.eps=0.03137255 ;;
    *linf_eps4) probe "$name" --config.norm=linf --config.eps=0.01568627 ;;
    *eps3) probe "$name" --config.eps=3.0 ;;
    *eps1 | rin64_standard) probe "$name" --config.eps=1.0 ;;
    *eps025) probe "$name" --config.eps=0.25 ;;
    *) probe "$name" --config.eps=0.5 ;;
  esac
  python -m rrjax.convert --config=configs/card.py --config.name="$name" \
    --workdir=runs/evaluations/cards
done
