#!/usr/bin/env bash
# How much memory studies take of few images, and of eight times as many: a row a study.
#   bash launch/memory.sh [FEW]
# The images are noise of 64 pixels, the networks small and hardly trained: what is asked is whether
# memory grows with the number of images, of which each is 48 KB as pixels. Every command is a process
# of its own.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
EXTRAS=${EXTRAS-}
source launch/setup.sh

few=${1:-250}
many=$((8 * few))
out=runs/memory
for n in 32 "$few" "$many"; do # {train,test}/{0,1}/
  python - "$out/$n" "$n" <<'END'
import sys
from pathlib import Path
import numpy as np
from PIL import Image
root, n = Path(sys.argv[1]), int(sys.argv[2])
for seed, split in enumerate(("train", "test")):
    rng = np.random.default_rng(seed)
    for i in range(n):
        folder = root / split / str(i % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / f"{i:06}.jpg")
END
done

peak() { # COMMAND: the MiB that its process took at most
  python - "$@" <<'END'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10:.0f}")
END
}

at=(--config.data.name=folder --config.data.image_size=64 --config.data.resize=64)
for name in standard robust; do
  if [ ! -e "$out/$name/config.json" ]; then
    python -m rrjax.convert --config=configs/untrained.py:robust_digits --workdir="$out/$name" \
      --config.model.name=tiny --config.model.width=64 --config.model.classes=2 "${at[@]}" \
      --config.data.path="$out/32" --config.model.mean="(0.5,0.5,0.5)" \
      --config.model.std="(0.25,0.25,0.25)"
  fi
done
for word in decoder denoiser one_class; do
  flags=()
  if [ "$word" = denoiser ]; then flags=(--config.noise=50); fi
  if [ "$word" = one_class ]; then
    flags=(--config.model.classes=1 --config.data.groups="(('0',),)" --config.data.group_names="('0',)")
  fi
  python -m rrjax.train --config=configs/autoencoder_digits.py --workdir="$out/${word}_0" \
    --config.model.encoder="$out/robust" --config.model.stage=block2 --config.epochs=1 \
    --config.batch_size=16 --config.model.classes=2 "${at[@]}" --config.data.path="$out/32" \
    --config.model.mean="(0.5,0.5,0.5)" "${flags[@]}"
done

both=(--config.standard="$out/standard" --config.robust="$out/robust")
decoders=(--config.standard="$out/decoder_0" --config.robust="$out/decoder_0")
study() { # N NAME FLAGS
  peak python -m rrjax.study --config="configs/$2.py" --workdir="$out/studies/$1_$2" \
    --config.data.path="$out/$1" "${@:3}"
}
measured() { # N NAME: with N images
  half=$(($1 / 2))
  case $2 in
    inversion)
      study "$1" "$2" "${both[@]}" --config.n="$half" --config.targets="('test images',)" \
        --config.steps=1
      ;;
    proximity)
      study "$1" "$2" "${both[@]}" --config.n="$((half / 4))" --config.radii="(1.0,)" \
        --config.steps=1 --config.free_steps=1
      ;;
    interpolation)
      study "$1" "$2" "${both[@]}" --config.n="$(((half - 16)))" --config.gallery=16 --config.steps=1
      ;;
    activations) study "$1" "$2" "${both[@]}" --config.n="$1" --config.steps=1 ;;
    transfer)
      study "$1" "$2" "${both[@]}" --config.train_n="$1" --config.test_n="$1" \
        --config.other.name=folder --config.other.path="$out/$1" --config.pixels=False
      ;;
    masking)
      study "$1" "$2" --config.networks="('$out/robust',)" --config.source="$out/standard" \
        --config.steps=1 --config.more_steps=1 --config.restarts=1 --config.curve="(1,)"
      ;;
    reconstruction)
      study "$1" "$2" "${decoders[@]}" --config.n=0 --config.photographs=0 --config.steps=1 \
        --config.searched="$half"
      ;;
    denoising) study "$1" "$2" --config.networks="('$out/denoiser_0',)" --config.n=0 ;;
    anomaly)
      study "$1" "$2" --config.root="$out" --config.networks="('one_class',)" \
        --config.classes="('0',)" --config.n=0 --config.steps=1
      ;;
    retraining)
      study "$1" "$2" --config.standard="$out/robust" --config.robust= --config.epochs=1 \
        --config.seeds="(0,)" --config.percents="(50,)" --config.controls=False \
        --config.attributions="('gradient',)" --config.scores="('ROAR',)"
      ;;
    evaluate)
      peak python -m rrjax.evaluate --config=configs/evaluate.py --workdir="$out/studies/$1_$2" \
        "${both[@]}" --config.data.path="$out/$1" --config.steps="(1,)" --config.eps="(0.0,1.0)"
      ;;
  esac
}

echo "study: MiB with $few images, with $many, KiB an image more"
for name in ${STUDIES-inversion proximity interpolation activations transfer masking reconstruction \
  denoising anomaly retraining evaluate}; do
  a=$(measured "$few" "$name")
  b=$(measured "$many" "$name")
  echo "$name: $a, $b, $(((b - a) * 1024 / (many - few)))"
done
