#!/usr/bin/env bash
# The papers' networks, tables and figures:
#   bash launch/reproduce.sh small                       on digits: two trainings, every study
#   bash launch/reproduce.sh seeds                       the first paper's with three seeds of them
#   DATA=... CBSD68=... bash launch/reproduce.sh cifar10 with the networks that come with rrjax
#   DATA=... bash launch/reproduce.sh gradients [FLAGS of every classifier's training]
#   TARS=... DATA=... bash launch/reproduce.sh paper [FLAGS of every training]
# "cifar10" and "gradients" need the images in DATA, {train,test}/<class>/*.jpg; CBSD68 is the folder of
# its 68 images, whose noise is taken away (without it: that of test images). "gradients" is Kim et
# al. (2019) on CIFAR-10, in the reduced protocol of configs/retraining.py:cifar10: seven networks, a
# VAE-GAN and three studies, for an accelerator. "paper" prepares ImageNet from the
# two tars in TARS into DATA, trains the six networks (days each on one GPU: start the trainings by
# themselves with gpu_node.sh, slurm.sbatch or tpu_pod.sh where there are more), then makes Tables 4
# and 5 and the figures. What is trained already is not trained again: it may be stopped and started
# at any time.
# "small" and "seeds" run a command a CPU core at once, some with fewer images, epochs or seeds than
# their configs have: so "small" takes 40 minutes of two slow cores.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
which=${1:?usage: launch/reproduce.sh small, seeds, cifar10, gradients or paper [FLAGS]}
shift

study() { # NAME[:SETTINGS] FLAGS: a study of $networks, into $out
  config=configs/${1%%:*}.py${1#"${1%%:*}"}
  shift
  python -m rrjax.study --config="$config" --workdir="$out" "${networks[@]}" "$@"
}

start() { # NAME COMMAND: beside others, $jobs at once; what it prints goes to $out/logs/NAME.log
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
  mkdir -p "$out/logs"
  log=$out/logs/$1.log
  (
    SECONDS=0
    if "${@:2}" >"$log" 2>&1; then
      echo "$out/$1: $SECONDS s"
    else
      echo "error: $out/$1: $(tail -n 1 "$log") (all of it: $log)" >&2
      exit 1
    fi
  ) &
  started[$out/$1]=$!
}

await() { # $out/NAME ... of what was started; the first that failed ends the script
  for name; do
    wait "${started[$name]}"
    unset "started[$name]"
  done
}

side_by_side() { # small networks leave cores idle; an accelerator is one command's
  jobs=$(python -c 'import jax, os
print(len(os.sched_getaffinity(0)) if jax.default_backend() == "cpu" else 1)')
  if [ "$jobs" -gt 1 ]; then
    export XLA_FLAGS="${XLA_FLAGS-} --xla_cpu_multi_thread_eigen=false"
  fi
  declare -gA started
  set -m # a process group each, ended with this script
  trap 'kill -- $(jobs -rp | sed s/^/-/) 2>/dev/null || true' EXIT
}

digits() { # the trainings of the first paper's studies, into $out
  for name in robust standard; do
    start "$name" python -m rrjax.train --config="configs/${name}_digits.py" \
      --workdir="$out/$name" "$@"
  done
}

representations() { # the first paper's studies of them
  networks=(--config.standard="$out/standard" --config.robust="$out/robust")
  start accuracy python -m rrjax.evaluate --config=configs/evaluate.py --workdir="$out" \
    --config.n=128 "${networks[@]}"
  for name in inversion proximity interpolation visualization regularized manipulation \
    activations synthesis transfer; do
    start "$name" study "$name"
  done
}

one_class() { # NAME ENCODER CLASS CONFIG FLAGS: train a decoder of one class
  folder=$out/one_class/$1_$3
  flags=(--config.model.encoder="$2" --config.model.classes=1
    --config.data.groups="(('$3',),)" --config.data.group_names="('$3',)")
  config=configs/$4.py
  shift 4
  python -m rrjax.train --config="$config" --workdir="$folder" "${flags[@]}" "$@"
}

seeds() {
  side_by_side
  for seed in 0 1 2; do
    out=runs/seeds/$seed
    digits --config.seed="$seed" "$@"
  done
  await "${!started[@]}"
  for seed in 0 1 2; do
    out=runs/seeds/$seed
    representations
  done
  await "${!started[@]}"
  python -m rrjax.study --config=configs/claims.py --workdir=runs/seeds \
    --config.folders="('runs/seeds/0','runs/seeds/1','runs/seeds/2')"
  echo "Look at runs/seeds/report.html"
}

small() {
  side_by_side
  out=runs/small
  digits "$@"
  start vaegan python -m rrjax.train --config=configs/vaegan_digits.py --config.epochs=30 \
    --workdir="$out/vaegan"
  start boundary python -m rrjax.study --config=configs/boundary.py --workdir="$out"
  await "$out"/{standard,robust}
  representations
  start masking python -m rrjax.study --config=configs/masking.py --workdir="$out" \
    --config.networks="('$out/standard','$out/robust')" --config.source="$out/standard"
  start retraining study retraining --config.seeds="(0,)"
  for name in standard robust; do
    decoder=(python -m rrjax.train --config=configs/autoencoder_digits.py
      --config.model.encoder="$out/$name")
    start "${name}_decoder" "${decoder[@]}" --workdir="$out/${name}_decoder"
    start "${name}_denoiser" "${decoder[@]}" --config.noise=50 --workdir="$out/${name}_denoiser"
    for class in 0 1 2; do
      start "${name}_$class" one_class "$name" "$out/$name" "$class" autoencoder_digits \
        --config.epochs=40
    done
  done
  await "$out/vaegan"
  start manifold study manifold --config.manifold="$out/vaegan"
  await "$out"/{standard,robust}_{decoder,denoiser,0,1,2}
  start anomaly python -m rrjax.study --config=configs/anomaly.py --workdir="$out" \
    --config.root="$out/one_class"
  networks=(--config.standard="$out/standard_decoder" --config.robust="$out/robust_decoder")
  start reconstruction study reconstruction
  start generation study generation
  start denoising python -m rrjax.study --config=configs/denoising.py --workdir="$out" \
    --config.networks="('$out/standard_denoiser','$out/robust_denoiser')"
  await "${!started[@]}"
  python -m rrjax.study --config=configs/claims.py --workdir="$out"
  echo "Look at $out/report.html"
}

classes=(airplane automobile bird cat deer dog frog horse ship truck)

decoder() { # ENCODER FOLDER FLAGS: train a decoder of it for 390 steps
  python -m rrjax.train --config=configs/autoencoder_cifar10.py "${data[@]}" --config.epochs=1 \
    --config.model.encoder="$1" --workdir="$2" "${@:3}"
}

decoders() { # all that the third paper's studies of CIFAR-10 ask for, into $made
  for seed in 0 1 2; do
    for name in standard robust_l2_eps025; do
      decoder "cifar10_$name" "$made/${name}_layer4_$seed" --config.seed="$seed"
    done
  done
  for name in robust_l2_eps05 robust_l2_eps1; do
    decoder "cifar10_$name" "$made/${name}_layer4_0"
  done
  for name in standard robust_l2_eps025; do
    decoder "cifar10_$name" "$made/${name}_denoiser" --config.model.stage=layer2 --config.noise=50
    for stage in layer2 layer1; do
      decoder "cifar10_$name" "$made/${name}_$stage" --config.model.stage="$stage"
    done
    for class in "${classes[@]}"; do
      one_class "$name" "cifar10_$name" "$class" autoencoder_cifar10 "${data[@]}" \
        --config.epochs=1 --config.batch_size=64
    done
  done
}

ladder() { # smaller networks of rising eps and three seeds, trained alike from scratch, and decoders
  for seed in 0 1 2; do
    made=$out/ladder/$seed
    while read -r eps step_size; do
      python -m rrjax.train --config=configs/small_cifar10.py "${data[@]}" --config.seed="$seed" \
        --config.model.width=8 --config.epochs=1 --config.attack.eps="$eps" \
        --config.attack.step_size="$step_size" --workdir="$made/eps_$eps"
      decoder "$made/eps_$eps" "$made/decoder_$eps" --config.seed="$seed"
    done <<'END'
0.0 0.625
0.25 0.3125
0.5 0.625
1.0 1.25
END
    python -m rrjax.study --config=configs/reconstruction.py --workdir="$made" \
      --config.standard="$made/decoder_0.0" --config.robust="$made/decoder_0.25" "${data[@]}" \
      --config.more="('$made/decoder_0.5','$made/decoder_1.0')" --config.n=1000 \
      --config.photographs=0 --config.searched=0
  done
}

cifar10() {
  : "${DATA:?the folder of CIFAR-10: train/ and test/, a folder a class in each}"
  out=runs/cifar10_studies
  data=(--config.data.path="$DATA")
  networks=(--config.standard=cifar10_standard --config.robust=cifar10_robust_l2_eps05
    "${data[@]}")
  python -m rrjax.evaluate --config=configs/evaluate.py --workdir="$out" "${networks[@]}" \
    --config.eps="(0.0,0.25,0.5,1.0)" --config.n=1000
  for name in inversion proximity; do
    study "$name" --config.n=64
  done
  study interpolation --config.n=64 --config.points=5
  study visualization --config.units=16
  for name in regularized manipulation activations transfer; do
    study "$name"
  done
  study synthesis --config.patch=10
  python -m rrjax.study --config=configs/claims.py --workdir="$out" --config.eps=0.5
  ladder
  made=$out/decoders
  decoders
  for seed in 1 2; do
    python -m rrjax.study --config=configs/reconstruction.py --workdir="$out/seed_$seed" \
      --config.standard="$made/standard_layer4_$seed" "${data[@]}" --config.n=1000 \
      --config.robust="$made/robust_l2_eps025_layer4_$seed" --config.photographs=0 \
      --config.searched=0
  done
  networks=(--config.standard="$made/standard_layer4_0"
    --config.robust="$made/robust_l2_eps025_layer4_0" "${data[@]}")
  study reconstruction --config.n=1000 \
    --config.more="('$made/robust_l2_eps05_layer4_0','$made/robust_l2_eps1_layer4_0')"
  study generation
  seen=("${data[@]}")
  if [ -n "${CBSD68-}" ]; then seen=(--config.images="$CBSD68" --config.n=0); fi
  python -m rrjax.study --config=configs/denoising.py --workdir="$out" --config.lpips=alexnet \
    --config.networks="('$made/standard_denoiser','$made/robust_l2_eps025_denoiser')" "${seen[@]}"
  levels() { echo "('$made/$1_layer4_0','$made/$1_layer2','$made/$1_layer1')"; }
  python -m rrjax.study --config=configs/style.py --workdir="$out" \
    --config.standard="$(levels standard)" --config.robust="$(levels robust_l2_eps025)"
  python -m rrjax.study --config=configs/anomaly.py --workdir="$out" --config.n=0 \
    --config.root="$out/one_class" --config.networks="('standard','robust_l2_eps025')" \
    --config.classes="($(printf "'%s'," "${classes[@]}"))" --config.steps=0
  echo "Look at $out/report.html"
}

gradients() {
  : "${DATA:?the folder of CIFAR-10: train/ and test/, a folder a class in each}"
  out=runs/gradients # as configs/retraining.py:cifar10 has it
  data=(--config.data.name=folder --config.data.path="$DATA")
  for strength in l2,{0,0.4,0.8,1.6} linf,{0.01,0.02,0.04}; do
    python -m rrjax.train --config="configs/kim_cifar10.py:$strength" "${data[@]}" \
      --workdir="$out/${strength/,/_}" "$@"
  done
  # The paper's settings, but a quarter of its width, 20 epochs of its 150, and one step of the
  # discriminator where it takes 5.
  python -m rrjax.train --config=configs/vaegan_digits.py "${data[@]}" --workdir="$out/vaegan" \
    --config.data.image_size=32 --config.data.resize=32 --config.model.mean="(0.5,0.5,0.5)" \
    --config.model.std="(0.5,0.5,0.5)" --config.model.latent=128 --config.batch_size=100 \
    --config.loss.reconstruction=0.01 --config.optimizer.learning_rate=2e-4 \
    --config.optimizer.b1=0 --config.epochs=20
  for norm in l2,{0.4,0.8,1.6} linf,{0.01,0.02,0.04}; do
    networks+=("'$out/${norm/,/_}',")
  done
  python -m rrjax.study --config=configs/manifold.py --workdir="$out" \
    --config.manifold="$out/vaegan" --config.standard="$out/l2_0" --config.robust= \
    --config.more="(${networks[*]})" --config.n=1000 --config.batch_size=100 \
    --config.eps=6 --config.step_size=1
  python -m rrjax.study --config=configs/retraining.py:cifar10 --workdir="$out"
  python -m rrjax.study --config=configs/tradeoff.py --workdir="$out"
  echo "Look at $out/report.html"
}

paper() {
  : "${TARS:?the folder of ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar}"
  : "${DATA:?the folder to write the prepared data into}"
  if [ ! -d "$DATA/imagenet2012" ]; then
    python -m rrjax.prepare --config=configs/prepare_imagenet.py --config.tars="$TARS" \
      --workdir="$DATA"
  fi
  for name in {standard,robust,vgg16}_{rin,imagenet}; do
    python -m rrjax.train --config="configs/$name.py" --config.data.path="$DATA" \
      --workdir="runs/reproduce/$name" "$@"
  done
  for set in rin imagenet; do
    out=runs/reproduce/$set
    networks=(--config.standard="runs/reproduce/standard_$set"
      --config.robust="runs/reproduce/robust_$set" --config.more="('runs/reproduce/vgg16_$set',)")
    python -m rrjax.evaluate --config=configs/evaluate.py --workdir="$out" "${networks[@]}" \
      --config.eps="(0.0,0.5,1.0,2.0,3.0)"
    # Radii and steps of the paper, or its code; the others are the configs'.
    study inversion:paper
    study proximity --config.radii="(0.5,1.0,2.0,4.0,8.0,16.0,32.0)" \
      --config.free_step_size=1.0 --config.free_steps=10000 --config.straight_through=True
    study interpolation --config.step_size=1.0 --config.steps=10000 --config.straight_through=True
    study visualization --config.step_size=1.0
    study regularized --config.step_size=1.0
    study manipulation
    study activations
  done
}

case $which in
  small | seeds | cifar10) EXTRAS=${EXTRAS-} ;;
  gradients | paper) EXTRAS=${EXTRAS-cuda} ;;
  *)
    echo "error: launch/reproduce.sh $which: choose small, seeds, cifar10, gradients or paper" >&2
    exit 2
    ;;
esac
source launch/setup.sh
"$which" "$@"
