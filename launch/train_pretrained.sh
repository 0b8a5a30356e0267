#!/usr/bin/env bash
# The networks that come with rrjax, into runs/cifar10 or runs/rin64:
#   DATA=/path/to/images bash launch/train_pretrained.sh cifar10|rin64 [FLAGS of every training]
# DATA holds CIFAR-10, {train,test}/<class>/*.jpg, or Tiny ImageNet, {train,val}/<wnid>/*.JPEG. On two
# cores a network of CIFAR-10 takes half an hour to an hour and a half; one of Restricted ImageNet at 64
# pixels an hour or two. What is done already is not done again: it may be stopped and started at any
# time.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
family=${1:?usage: DATA=... bash launch/train_pretrained.sh cifar10 or rin64 [FLAGS]}
shift
: "${DATA:?the folder that holds train/ and the test images}"
EXTRAS=${EXTRAS-}
source launch/setup.sh

if [ -z "${XLA_FLAGS-}" ] && [ "${JAX_PLATFORMS-}" = cpu ]; then
  # A device a core: small networks leave the second core idle otherwise.
  export XLA_FLAGS="--xla_force_host_platform_device_count=2 --xla_cpu_multi_thread_eigen=false"
  # Keep freed memory: the kernel's pages cost a seventh of the time otherwise.
  export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=16000000000 MALLOC_ARENA_MAX=1
fi

train() { # CONFIG NAME SEED FLAGS
  config=$1 name=$2 seed=$3
  shift 3
  python -m rrjax.train --config="configs/$config" --config.data.path="$DATA" \
    --config.seed="$seed" --workdir="runs/$family/${name}_seed$seed" "$@"
}

cifar10() {
  small=small_cifar10.py
  train $small robust_l2_eps05 0 "$@"
  train $small standard 0 --config.attack.eps=0 "$@"
  train $small robust_linf_eps8 0 --config.attack.norm=linf --config.attack.eps=.03137255 \
    --config.attack.step_size=.03921569 "$@"
  # Three epochs more of the network that comes with rrjax, at another radius.
  warm=(--config.start_from=cifar10_robust_l2_eps05 --config.epochs=3 --config.eval_every=3
    --config.optimizer.learning_rate=.1)
  train $small robust_l2_eps1 0 "${warm[@]}" --config.attack.eps=1 \
    --config.attack.step_size=1.25 "$@"
  train $small robust_l2_eps025 0 "${warm[@]}" --config.attack.eps=.25 \
    --config.attack.step_size=.3125 "$@"
  for seed in 1 2; do
    train $small robust_l2_eps05 "$seed" "$@"
    train $small standard "$seed" --config.attack.eps=0 "$@"
  done
}

rin64() {
  for seed in 0 1; do
    train rin64.py:l2,1 robust_l2_eps1 "$seed" "$@"
    train rin64.py:l2,0 standard "$seed" --config.epochs=40 "$@"
  done
  train rin64.py:l2,3 robust_l2_eps3 0 "$@"
  train rin64.py:linf,4/255 robust_linf_eps4 0 "$@"
}

case $family in
  cifar10 | rin64) $family "$@" ;;
  *)
    echo "error: launch/train_pretrained.sh $family: choose cifar10 or rin64" >&2
    exit 2
    ;;
esac
