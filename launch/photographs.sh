#!/usr/bin/env bash
# Every study of the first paper on photographs of 224 pixels: what it costs in time and memory.
#   DATA=/path/to/photographs bash launch/photographs.sh
# DATA holds 256 or more folders of photographs. The networks, a ResNet-50 and a VGG16, are not
# trained: a step costs the same, and the pictures mean nothing.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
EXTRAS=${EXTRAS-}
source launch/setup.sh

: "${DATA:?a folder of photographs, in 256 folders or more}"

measured() { # COMMAND: its seconds and its largest memory
  python - "$@" <<'END'
import resource, subprocess, sys, time
opened = time.monotonic()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
print(f"{time.monotonic() - opened:.0f} s, {memory:.1f} GiB", flush=True)
END
}

study() { # NAME FLAGS, with the network $name
  echo -n "$name, $1: "
  measured python -m rrjax.study --config="configs/$1.py" --workdir="$out" --config.standard= \
    --config.robust="$out/$name" --config.batch_size=2 "${@:2}"
}

out=runs/photographs
mkdir -p "$out/data"
for split in train test; do ln -sfn "$(realpath "$DATA")" "$out/data/$split"; done
# Eight classes: enough photographs of each for every study.
groups=$(python -c 'print(tuple(tuple(range(i, 256, 8)) for i in range(8)))')
names=$(python -c 'print(tuple(map(str, range(8))))')
for name in resnet50 vgg16; do
  if [ ! -e "$out/$name/config.json" ]; then
    python -m rrjax.convert --config=configs/untrained.py:standard_imagenet \
      --config.model.name="$name" --config.model.classes=8 --config.data.name=folder \
      --config.data.path="$out/data" --config.data.groups="$groups" \
      --config.data.group_names="$names" --workdir="$out/$name"
  fi
  # The difference of these two is 4 images x 10 steps.
  for steps in 2 12; do
    echo -n "$steps steps of 4 images: "
    study inversion --config.targets="('test images',)" --config.starts="('noise',)" \
      --config.n=4 --config.steps="$steps"
  done
  while read -r -a words; do
    study "${words[@]}"
  done <<'END'
proximity --config.n=2 --config.steps=2 --config.free_steps=2 --config.radii=(1.0,)
interpolation --config.n=2 --config.points=3 --config.steps=2 --config.gallery=8
visualization --config.units=2 --config.n=2 --config.steps=2
regularized --config.units=2 --config.steps=2 --config.regularized_steps=2
manipulation --config.units=2 --config.n=2 --config.steps=2
activations --config.units=2 --config.shown=2 --config.n=8 --config.steps=2
synthesis --config.n=2 --config.steps=2 --config.fill_steps=2 --config.coarse_steps=2 --config.paint_steps=2 --config.patch=60
transfer --config.train_n=8 --config.test_n=4 --config.neighbors=2 --config.shown=2
END
done
