#!/usr/bin/env bash
# The first paper's networks and tables, from ImageNet's two tars:
#   TARS=/path/to/tars DATA=/path/to/data bash launch/reproduce.sh [FLAGS of every training]
# Prepares ImageNet, trains the six networks (days each on one GPU: start the trainings by themselves
# with gpu_node.sh, slurm.sbatch or tpu_pod.sh where there are more), then makes Tables 4 and 5 and
# the inversions. What is done already is not done again: it may be stopped and started at any time.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
EXTRAS=${EXTRAS-cuda}
source launch/setup.sh

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
  networks=(--config.standard="$out/standard_$set" --config.robust="$out/robust_$set")
  python -m rrjax.evaluate --config=configs/evaluate.py --workdir="$out/$set" \
    "${networks[@]}" --config.eps="(0.0,0.5,1.0,2.0,3.0)"
  python -m rrjax.evaluate --config=configs/evaluate.py --workdir="$out/vgg16_$set" \
    --config.standard="$out/vgg16_$set" --config.robust= --config.eps="(0.0,3.0)"
  python -m rrjax.study --config=configs/inversion.py --workdir="$out/$set" "${networks[@]}" \
    --config.step_size=1.0 --config.steps=10000 --config.straight_through=True
done
