#!/usr/bin/env bash
# The small CIFAR-10 networks that come with rrjax, into runs/cifar10:
#   DATA=/path/to/cifar10 bash launch/train_cifar10.sh [FLAGS of every training]
# DATA holds {train,test}/<class>/*.jpg. Half an hour to an hour and a half each on two cores; what is
# done already is not done again: it may be stopped and started at any time.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
EXTRAS=${EXTRAS-}
source launch/setup.sh

: "${DATA:?the folder that holds train/ and test/}"
if [ -z "${XLA_FLAGS-}" ] && [ "${JAX_PLATFORMS-}" = cpu ]; then
  # A device a core: small networks leave the second core idle otherwise.
  export XLA_FLAGS="--xla_force_host_platform_device_count=2 --xla_cpu_multi_thread_eigen=false"
  # Keep freed memory: the kernel's pages cost a seventh of the time otherwise.
  export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=16000000000 MALLOC_ARENA_MAX=1
fi

train() { # NAME SEED FLAGS
  name=$1 seed=$2
  shift 2
  python -m rrjax.train --config=configs/small_cifar10.py --config.data.path="$DATA" \
    --config.seed="$seed" --workdir="runs/cifar10/${name}_seed$seed" "$@"
}

train robust_l2_eps05 0 "$@"
train standard 0 --config.attack.eps=0 "$@"
train robust_linf_eps8 0 --config.attack.norm=linf --config.attack.eps=.03137255 \
  --config.attack.step_size=.03921569 "$@"
# Three epochs more of the network that comes with rrjax, at another radius.
warm=(--config.start_from=cifar10_robust_l2_eps05 --config.epochs=3 --config.eval_every=3
  --config.optimizer.learning_rate=.1)
train robust_l2_eps1 0 "${warm[@]}" --config.attack.eps=1 --config.attack.step_size=1.25 "$@"
train robust_l2_eps025 0 "${warm[@]}" --config.attack.eps=.25 --config.attack.step_size=.3125 "$@"
for seed in 1 2; do
  train robust_l2_eps05 "$seed" "$@"
  train standard "$seed" --config.attack.eps=0 "$@"
done
