"""How much memory studies take of few images, and of eight times as many: a row a study.

python -m tests.peaks --few=500 --workdir=runs/peaks

The images are noise of 64 pixels, the networks small and hardly trained: what is asked is whether
memory grows with the number of images, of which each is 48 KiB as pixels. Every study is a process
of its own, which has imported what it needs before it begins; the number is its largest resident
memory. Compiling takes more than that: so each study runs once before, which fills the cache of
programs, and BATCH divides its numbers of images, so that many take the programs of few.
"""

import argparse
import importlib
import os
import sys
import traceback
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from commands import works

SIDE, SMALL = 64, 32
BATCH = 25  # images at a time
AT = ["--config.data.name=folder", "--config.data.image_size=64", "--config.data.resize=64"]
COLORS = ["--config.model.mean=(0.5,0.5,0.5)"]
ONE_CLASS = ["--config.data.groups=(('0',),)", "--config.data.group_names=('0',)"]
ONE_CLASS += ["--config.model.classes=1"]
DECODERS = {"decoder_0": [], "denoiser_0": ["--config.noise=50"], "class_0": ONE_CLASS}


def images(root: Path, n: int) -> Path:
    """Write n images a split, of two classes: root/n/{train,test}/{0,1}/."""
    for seed, split in enumerate(("train", "test")):
        rng = np.random.default_rng(seed)
        for i in range(n):
            folder = root / str(n) / split / str(i % 2)
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:06}.jpg")
    return root / str(n)


def peak(command: str, *flags: str) -> float:
    """Run a command in a process of its own; return the MiB that it takes at most."""
    pid = os.fork()
    if not pid:
        try:
            works(command, *flags)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{command} {' '.join(flags)} has failed")
    return usage.ru_maxrss / 2**10


def make_networks(root: Path) -> None:
    """Make two classifiers as they are drawn, and three decoders of a step or two."""
    few = [*AT, f"--config.data.path={images(root, SMALL)}", *COLORS]
    for name in ("standard", "robust"):
        tiny = ["--config.model.name=tiny", "--config.model.width=64", "--config.model.classes=2"]
        tiny += ["--config.model.std=(0.25,0.25,0.25)", f"--workdir={root / name}"]
        peak("convert", "--config=untrained:robust_digits", *few, *tiny)
    for name, own in DECODERS.items():
        flags = [f"--config.model.encoder={root / 'robust'}", "--config.model.stage=block2"]
        flags += ["--config.epochs=1", "--config.batch_size=16", "--config.model.classes=2"]
        flags += [f"--workdir={root / name}"]
        peak("train", "--config=autoencoder_digits", *few, *flags, *own)


def flags_of(name: str, n: int, root: Path) -> list[str]:
    """Return the flags by which a study looks at n images, in as few steps as there can be."""
    robust = ["--config.standard=", f"--config.robust={root / 'robust'}"]
    decoders = [f"--config.{each}={root / 'decoder_0'}" for each in ("standard", "robust")]
    half, step = f"n={n // 2}", "steps=1"
    fields = {
        "evaluate": ["steps=(1,)", "eps=(1.0,)"],
        "inversion": [half, step, "targets=('test images',)"],
        "interpolation": [f"n={n // 4}", "gallery=25", step],
        "proximity": [f"n={n // 4}", "radii=(1.0,)", step, "free_steps=1"],
        "activations": [f"n={n}", step],
        "reconstruction": ["n=0", "photographs=0", step, f"searched={n // 2}"],
        "denoising": [f"networks=('{root / 'denoiser_0'}',)", "n=0"],
        "anomaly": [f"root={root}", "networks=('class',)", "classes=('0',)", "n=0", step],
        "masking": [
            *(f"networks=('{root / 'robust'}',)", f"source={root / 'standard'}"),
            *("restarts=1", "curve=(1,)", step, "more_steps=1"),
        ],
        "transfer": [
            *(f"train_n={n}", f"test_n={n}", "pixels=False"),
            *("other.name=folder", f"other.path={root / str(n)}"),
        ],
        "retraining": [
            *("epochs=1", "seeds=(0,)", "percents=(50,)", "controls=False", "scores=('ROAR',)"),
            "attributions=('gradient',)",
        ],
    }
    batch = [] if name in ("retraining", "denoising") else [f"batch_size={BATCH}"]
    own = [f"--config.{field}" for field in fields[name] + batch]
    if name in ("denoising", "anomaly", "masking"):
        return own
    return own + (decoders if name == "reconstruction" else robust)


STUDIES = ("evaluate", "inversion", "interpolation", "proximity", "reconstruction", "denoising")
STUDIES += ("anomaly", "activations", "masking", "transfer", "retraining")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=500)
    parser.add_argument("--studies", nargs="*", default=STUDIES)
    parser.add_argument("--workdir", required=True)
    options = parser.parse_args()
    root, counts = Path(options.workdir).resolve(), (options.few, 8 * options.few)
    for name in ("train", "convert", "evaluate", "study"):
        importlib.import_module(f"rrjax.{name}.__main__")
    for name in STUDIES[1:]:
        importlib.import_module(f"rrjax.study.{name}")
    if not (root / "class_0/config.json").exists():
        make_networks(root)
    print(f"| study | {counts[0]} images, MiB | {counts[1]} | KiB an image more |")
    print("| --- | --- | --- | --- |")
    for name in options.studies:
        command = "evaluate" if name == "evaluate" else "study"
        _, few, many = (
            peak(
                command,
                f"--config={name}",
                f"--workdir={root / 'out' / name / str(i)}",
                f"--config.data.path={images(root, n)}",
                *flags_of(name, n, root),
            )
            for i, n in enumerate((counts[0], *counts))
        )
        more = (many - few) * 2**10 / (counts[1] - counts[0])
        print(f"| {name} | {few:.0f} | {many:.0f} | {more:.0f} |", flush=True)


if __name__ == "__main__":
    main()
