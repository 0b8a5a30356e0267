#!/usr/bin/env bash
# Train on all GPUs of this machine, from an empty clone:
#   bash launch/gpu_node.sh configs/robust_rin.py runs/robust_rin --config.data.path=DATA
# SIGTERM and Ctrl-C end it with 75 when the step is saved; whoever started it starts it again
# (systemd: Restart=on-failure). Every other failure is tried again from the last checkpoint, three
# times; bad input (exit code 2) is not.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
EXTRAS=cuda
source launch/setup.sh

config=${1:?usage: launch/gpu_node.sh CONFIG WORKDIR [FLAGS]}
workdir=${2:?usage: launch/gpu_node.sh CONFIG WORKDIR [FLAGS]}
shift 2
for attempt in 1 2 3; do
  python -m rrjax.train --config="$config" --workdir="$workdir" "$@" &
  child=$!
  trap 'kill -TERM "$child"' TERM INT
  code=0
  wait "$child" || code=$?
  # A signal ends `wait` before the child has saved.
  while kill -0 "$child" 2>/dev/null; do
    code=0
    wait "$child" || code=$?
  done
  trap - TERM INT
  case $code in 0 | 2 | 75) exit "$code" ;; esac
  echo "training ended with $code (attempt $attempt of 3)" >&2
done
exit "$code"
