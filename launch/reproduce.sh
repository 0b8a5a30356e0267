#!/usr/bin/env bash
# The first paper's networks, tables and figures:
#   bash launch/reproduce.sh small                       on digits: two trainings, every study
#   TARS=... DATA=... bash launch/reproduce.sh paper [FLAGS of every training]
# "paper" prepares ImageNet from the two tars in TARS into DATA, trains the six networks (days each on
# one GPU: start the trainings by themselves with gpu_node.sh, slurm.sbatch or tpu_pod.sh where there
# are more), then makes Tables 4 and 5 and the figures. What is trained already is not trained again:
# it may be stopped and started at any time.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
which=${1:?usage: launch/reproduce.sh small or paper [FLAGS]}
shift
studies=(inversion proximity interpolation visualization regularized manipulation activations)

small() {
  out=runs/small
  for name in standard robust; do
    python -m rrjax.train --config="configs/${name}_digits.py" --workdir="$out/$name" "$@"
  done
  networks=(--config.standard="$out/standard" --config.robust="$out/robust")
  python -m rrjax.evaluate --config=configs/evaluate.py --workdir="$out" "${networks[@]}"
  for study in "${studies[@]}" synthesis transfer; do
    python -m rrjax.study --config="configs/$study.py" --workdir="$out" "${networks[@]}"
  done
  python -m rrjax.study --config=configs/masking.py --workdir="$out" \
    --config.networks="('$out/standard','$out/robust')" --config.source="$out/standard"
  echo "Look at $out/report.html"
}

paper() {
  : "${TARS:?the folder of ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar}"
  : "${DATA:?the folder to write the prepared data into}"
  out=runs/reproduce
  if [ ! -d "$DATA/imagenet2012" ]; then
    python -m rrjax.prepare --config=configs/prepare_imagenet.py --config.tars="$TARS" \
      --workdir="$DATA"
  fi
  for name in {standard,robust,vgg16}_{rin,imagenet}; do
    python -m rrjax.train --config="configs/$name.py" --config.data.path="$DATA" \
      --workdir="$out/$name" "$@"
  done
  for set in rin imagenet; do
    networks=(--config.standard="$out/standard_$set" --config.robust="$out/robust_$set"
      --config.more="('$out/vgg16_$set',)")
    python -m rrjax.evaluate --config=configs/evaluate.py --workdir="$out/$set" \
      "${networks[@]}" --config.eps="(0.0,0.5,1.0,2.0,3.0)"
    # Radii and steps of the paper, or its code; the others are the configs'.
    python -m rrjax.study --config=configs/inversion.py --workdir="$out/$set" "${networks[@]}" \
      --config.step_size=1.0 --config.steps=10000 --config.straight_through=True
    python -m rrjax.study --config=configs/proximity.py --workdir="$out/$set" "${networks[@]}" \
      --config.radii="(0.5,1.0,2.0,4.0,8.0,16.0,32.0)" --config.straight_through=True \
      --config.free_step_size=1.0 --config.free_steps=10000
    python -m rrjax.study --config=configs/interpolation.py --workdir="$out/$set" \
      "${networks[@]}" --config.step_size=1.0 --config.steps=10000 --config.straight_through=True
    python -m rrjax.study --config=configs/visualization.py --workdir="$out/$set" \
      "${networks[@]}" --config.step_size=1.0
    python -m rrjax.study --config=configs/regularized.py --workdir="$out/$set" \
      "${networks[@]}" --config.step_size=1.0
    for study in manipulation activations; do
      python -m rrjax.study --config="configs/$study.py" --workdir="$out/$set" "${networks[@]}"
    done
  done
}

case $which in
  small) EXTRAS=${EXTRAS-} ;;
  paper) EXTRAS=${EXTRAS-cuda} ;;
  *)
    echo "error: launch/reproduce.sh $which: choose small or paper" >&2
    exit 2
    ;;
esac
source launch/setup.sh
"$which" "$@"
