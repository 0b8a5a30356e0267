#!/usr/bin/env bash
# Train on a TPU VM or pod slice from this machine, with the gcloud command set up:
#   TPU=my-tpu ZONE=us-central2-b bash launch/tpu_pod.sh configs/robust_rin.py /mnt/shared/robust_rin \
#     --config.data.path=/mnt/shared/data
# WORKDIR and the data are on a disk that all workers mount. Every worker clones REPOSITORY at COMMIT,
# installs, and trains. Told to stop (75), or cut off when
# the TPU is preempted, it waits until the TPU is READY again and goes on from the last checkpoint;
# bad input (2) ends it. A pod has few images of a batch of 256 on each device: add
# --config.model.sync_batch_norm=True, for BN's statistics over all of them.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."

: "${TPU:?name the TPU}" "${ZONE:?name its zone}"
config=${1:?usage: TPU=... ZONE=... launch/tpu_pod.sh CONFIG WORKDIR [FLAGS]}
workdir=${2:?usage: TPU=... ZONE=... launch/tpu_pod.sh CONFIG WORKDIR [FLAGS]}
shift 2
repository=${REPOSITORY:-$(git remote get-url origin)}
commit=${COMMIT:-$(git rev-parse HEAD)}
printf -v train '%q ' python -m rrjax.train --distributed \
  --config="$config" --workdir="$workdir" "$@"
printf -v fetch 'rm -rf rrjax && git clone -q %q rrjax && cd rrjax && git checkout -q %q' \
  "$repository" "$commit"
worker="if [ ! -d rrjax ] || ! git -C rrjax cat-file -e $commit; then $fetch; else cd rrjax; fi"
worker+=" && git checkout -q $commit && EXTRAS=tpu && source launch/setup.sh && $train"

state() {
  gcloud compute tpus tpu-vm describe "$TPU" --zone="$ZONE" --format='value(state)' || echo GONE
}

while true; do
  code=0
  gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="$worker" || code=$?
  case $code in 0 | 2) exit "$code" ;; esac
  echo "training ended with $code; waiting for $TPU" >&2
  until [ "$(state)" = READY ]; do sleep 60; done
  sleep 10
done
