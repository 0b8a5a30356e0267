#!/usr/bin/env bash
# Our steps beside PyTorch's: installs rrjax, PyTorch and MadryLab's robustness into .venv-peers and
# runs one bench of both. bash launch/bench_peers.sh [cpu|gpu] [--config.rounds=3 ...]
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."

which=${1:-cpu}
shift || true
if [ ! -e ".venv-peers/installed-$which" ]; then
  "${PYTHON:-python3}" -m venv --clear .venv-peers
  extras=$([ "$which" = gpu ] && echo "[cuda]" || true)
  .venv-peers/bin/pip install --quiet --editable ".$extras" torch torchvision robustness
  touch ".venv-peers/installed-$which"
fi
if [ "$which" = gpu ]; then
  # PyTorch shares the card; convolutions are tried out thoroughly, collectives overlap.
  export XLA_PYTHON_CLIENT_MEM_FRACTION=.6
  export XLA_FLAGS="--xla_gpu_autotune_level=4 --xla_gpu_enable_latency_hiding_scheduler=true"
else
  # XLA:CPU runs a convolution of few channels on one thread: a device for each core uses them all.
  # PyTorch's threads shall not spin while ours work.
  XLA_FLAGS="--xla_force_host_platform_device_count=$(nproc) --xla_cpu_multi_thread_eigen=false"
  export XLA_FLAGS OMP_WAIT_POLICY=passive JAX_PLATFORMS=cpu
  # Huge pages, for both sides: they take new memory at every step.
  export GLIBC_TUNABLES=${GLIBC_TUNABLES-glibc.malloc.hugetlb=1}
fi
.venv-peers/bin/python -m rrjax.bench --config="configs/bench_$which.py" \
  --workdir="runs/bench_$which" "$@"
