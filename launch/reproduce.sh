#!/usr/bin/env bash
# The papers' networks, tables and figures:
#   bash launch/reproduce.sh small                       on digits: two trainings, every study
#   bash launch/reproduce.sh seeds                       the first paper's with three seeds of them
#   DATA=... CBSD68=... bash launch/reproduce.sh cifar10 with the networks that come with rrjax
#   DATA=... OTHERS=... CBSD68=... bash launch/reproduce.sh rin64
#   PHOTOS=... [DATA=...] bash launch/reproduce.sh imagenet-zoo [FLAGS of every study]
#   DATA=... bash launch/reproduce.sh gradients [FLAGS of every classifier's training]
#   DATA=... [MNIST=...] [FASHION_MNIST=...] bash launch/reproduce.sh gradients-paper [FLAGS, as above]
#   TARS=... DATA=... bash launch/reproduce.sh paper [FLAGS of every training]
#   TARS=... DATA=... CIFAR10=... CBSD68=... bash launch/reproduce.sh decoders [FLAGS of every training]
#   DATA=... bash launch/reproduce.sh ladder             the ladder of cifar10, up to an eps of 3
# "cifar10", "gradients" and "gradients-paper" need the images in DATA, {train,test}/<class>/*.jpg; CBSD68 is the folder
# of its 68 images, whose noise is taken away (without it: that of test images). "rin64" needs Tiny
# ImageNet in DATA, {train,val}/<wnid>/*.JPEG; OTHERS holds other classes so, for what is not of
# training. "imagenet-zoo" downloads two published networks (docs/published.md) and makes the first
# paper's figures of 20 or more photographs in PHOTOS, at any depth; STEPS is how many its searches
# take: the paper's 10,000, on a CPU 200; with ImageNet's val/<wnid>/ in DATA it also evaluates the
# ladder of configs/imagenet_zoo.py. On a GPU give EXTRAS=cuda,hub. "gradients" is Kim et
# al. (2019) on CIFAR-10, in the reduced protocol of configs/retraining.py:cifar10: seven networks, a
# VAE-GAN and three studies, for an accelerator. "gradients-paper" is all of that paper in its own
# protocol, with the ways out that it proposes: docs/papers.md; MNIST and FASHION_MNIST are
# folders of their four idx files, and without them section 2.1 is of CIFAR-10 alone. On a cluster
# train its 91 networks of CIFAR-10 with gradients.sbatch first. "paper" prepares ImageNet from the
# two tars in TARS into DATA, trains the six networks (days each on one GPU: start the trainings by
# themselves with gpu_node.sh, slurm.sbatch or tpu_pod.sh where there are more), then makes Tables 4
# and 5 and the figures. "decoders" is Rojas-Gomez et al. (2021) at 224 pixels, of the same data:
# two AlexNets, their decoders and their studies, and decoders of published ResNets and VGG16; CIFAR10 is
# a folder as that of "cifar10"; PETS, if given, one of Cats and Dogs, {train,test}/{cat,dog}/*.jpg;
# CONTENTS and STYLES, if given, folders of images whose style is transferred. "ladder" is for
# CIFAR-10's decoders beyond the eps of "cifar10": three seeds of six small networks.
# The commands and their order are the rules of launch/reproduce.mk: what is done is not done again, so
# it may be stopped and started at any time. What a command prints is in its workdir's logs/NAME.log;
# remove logs/NAME.done beside it, or a run folder, to do it again.
# "small" and "seeds" run a command a CPU core at once, some with fewer images, epochs or seeds than
# their configs have: so "small" takes 40 minutes of two slow cores.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
which=${1:?usage: launch/reproduce.sh small, seeds, cifar10, ladder, rin64, imagenet-zoo, gradients, gradients-paper, paper or decoders [FLAGS]}
shift

case $which in
  small) folder=runs/small ;;
  seeds) folder=runs/seeds ;;
  cifar10 | ladder) folder=runs/cifar10_studies ;;
  rin64) folder=runs/rin64_studies ;;
  imagenet-zoo) folder=runs/imagenet_zoo ;;
  gradients) folder=runs/gradients ;;
  gradients-paper) folder=runs/gradients_paper ;;
  paper) folder=runs/reproduce ;;
  decoders) folder=runs/decoders ;;
  *)
    echo "error: launch/reproduce.sh $which: choose small, seeds, cifar10, rin64, imagenet-zoo," \
      "gradients, gradients-paper, paper, decoders or ladder" >&2
    exit 2
    ;;
esac
case $which in
  small | seeds | cifar10 | ladder | rin64) EXTRAS=${EXTRAS-} ;;
  imagenet-zoo) EXTRAS=${EXTRAS-hub} ;;
  gradients | gradients-paper | paper) EXTRAS=${EXTRAS-cuda} ;;
  decoders) EXTRAS=${EXTRAS-cuda,hub,lpips} ;;
esac
source launch/setup.sh
if ! command -v make >/dev/null; then
  echo "error: launch/reproduce.sh needs GNU make: install it with the system's packages" >&2
  exit 2
fi

jobs=1
case $which in
  small | seeds) # small networks leave cores idle; an accelerator is one command's
    jobs=$(python -c 'import jax, os
print(len(os.sched_getaffinity(0)) if jax.default_backend() == "cpu" else 1)')
    if [ "$jobs" -gt 1 ]; then
      export XLA_FLAGS="${XLA_FLAGS-} --xla_cpu_multi_thread_eigen=false"
    fi
    ;;
  cifar10 | ladder | gradients | gradients-paper)
    : "${DATA:?the folder of CIFAR-10: train/ and test/, a folder a class in each}"
    ;;
  rin64)
    : "${DATA:?the folder of Tiny ImageNet: train/ and val/, a folder a class in each}"
    ;;
  imagenet-zoo)
    : "${PHOTOS:?a folder of 20 photographs or more}"
    # The paper's 10,000 steps would take a CPU ten days.
    STEPS=${STEPS:-$(python -c 'import jax
print(200 if jax.default_backend() == "cpu" else 10_000)')}
    ;;
  paper | decoders)
    : "${TARS:?the folder of ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar}"
    : "${DATA:?the folder to write the prepared data into}"
    if [ "$which" = decoders ]; then
      : "${CIFAR10:?the folder of CIFAR-10: train/ and test/, a folder a class in each}"
      : "${CBSD68:?the folder of the 68 images of CBSD68}"
    fi
    if [ ! -d "$DATA/imagenet2012" ]; then
      python -m rrjax.prepare --config=configs/prepare_imagenet.py --config.tars="$TARS" \
        --workdir="$DATA"
    fi
    ;;
esac

# The trainings depend on this file: with other flags they run again, and refuse the old folders.
SETTINGS=$folder/logs/settings
FLAGS=$([ $# = 0 ] || printf '%q ' "$@")
settings="DATA=${DATA-} OTHERS=${OTHERS-} CBSD68=${CBSD68-} $FLAGS"
if [ "$which" = imagenet-zoo ]; then
  settings="PHOTOS=$PHOTOS STEPS=$STEPS $settings"
elif [ "$which" = decoders ]; then
  settings="CIFAR10=$CIFAR10 PETS=${PETS-} CONTENTS=${CONTENTS-} STYLES=${STYLES-} $settings"
elif [ "$which" = gradients-paper ]; then
  settings="MNIST=${MNIST-} FASHION_MNIST=${FASHION_MNIST-} $settings"
fi
mkdir -p "$folder/logs"
if [ ! -e "$SETTINGS" ] || [ "$(cat "$SETTINGS")" != "$settings" ]; then
  echo "$settings" >"$SETTINGS"
fi
FLAGS=${FLAGS//\$/\$\$} # make's dollar
export SETTINGS FLAGS DATA OTHERS CBSD68 CIFAR10 PETS CONTENTS STYLES PHOTOS STEPS MNIST FASHION_MNIST
exec make --no-print-directory --file=launch/reproduce.mk --jobs="$jobs" "$which"
