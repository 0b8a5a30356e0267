"""Run every study and an evaluation, shrunk, on the devices and processes of the command line.

python tests/everywhere.py NETWORKS OUT: on one device of this process, into OUT/1, and some on two
and on four, into OUT/2 and OUT/4. python tests/everywhere.py NETWORKS OUT HOST:PORT PROCESS: one
of two processes, into OUT/pair. NETWORKS holds "standard" and "robust", "decoders" and "vaegan".
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import jax

from commands import works
from rrjax.core import devices
from rrjax.runs import figures


def commands(root: Path) -> dict[str, list[str]]:
    """Return the flags of every study that looks at networks, and of an evaluation."""
    of_networks, of_decoders = (
        ["--config.standard=", f"--config.robust={folder / 'robust'}"]
        for folder in (root, root / "decoders")
    )
    steps, n = ["--config.steps=2"], ["--config.n=3"]  # 3: it divides by neither 2 nor 4
    names = f"('{root / 'decoders/robust'}',)"
    return {
        "evaluate": [*of_networks, *n, "--config.steps=(2,)", "--config.random_start=uniform"],
        "activations": [*of_networks, *n, *steps, "--config.units=2", "--config.shown=1"],
        "inversion": [*of_networks, *n, *steps],
        "interpolation": [*of_networks, *n, *steps, "--config.points=3", "--config.gallery=5"],
        "manipulation": [*of_networks, *n, *steps, "--config.units=3"],
        "proximity": [*of_networks, *n, *steps, "--config.free_steps=2", "--config.radii=(0.5,)"],
        "regularized": [*of_networks, *steps, "--config.units=2", "--config.regularized_steps=2"],
        "visualization": [*of_networks, *n, *steps, "--config.units=2"],
        "transfer": [*of_networks, "--config.train_n=61", "--config.test_n=21"],
        "synthesis": [*of_networks, *n],
        "masking": [
            f"--config.networks=('{root / 'robust'}',)",
            f"--config.source={root / 'standard'}",
            *("--config.more_steps=3", "--config.restarts=2", "--config.curve=(1,)"),
            *("--config.n=5", *steps),
        ],
        "manifold": [
            *of_networks,
            "--config.n=5",
            *steps,
            f"--config.manifold={root / 'vaegan/run'}",
        ],
        "retraining": [
            *of_networks,
            *("--config.seeds=(0,)", "--config.epochs=1", "--config.percents=(20,80)"),
            *("--config.train_n=101", "--config.test_n=51", "--config.scores=('ROAR',)"),
        ],
        "reconstruction": [
            *of_decoders,
            *(*n, *steps, "--config.searched=2", "--config.photographs=3", "--config.times=(1.0,)"),
        ],
        "generation": [
            *of_decoders,
            *(*n, *steps, "--config.points=3", "--config.gallery=5", "--config.samples=3"),
        ],
        "denoising": [f"--config.networks={names}", "--config.sigmas=(50.0,)", "--config.n=3"],
        "style": [f"--config.standard={names}", "--config.robust=()", "--config.n=3"],
    }


def run_all(root: Path, out: Path, names: Iterable[str]) -> None:
    """Run those of some names into one folder, without pictures."""
    figures._save = lambda _figure, _workdir, name, _formats: name
    for name in names:
        command = "evaluate" if name == "evaluate" else "study"
        works(command, f"--config={name}", f"--workdir={out}", *commands(root)[name])


def main() -> None:
    """Run them as the command line says."""
    root, out, *pair = sys.argv[1:]
    root, out = Path(root), Path(out)
    every = list(commands(root))
    if pair:
        address, process = pair
        jax.distributed.initialize(address, 2, int(process))
        run_all(root, out / "pair", every)
        return
    some = ["evaluate", "inversion", "manifold", "retraining", "style"]
    for count, names in ((1, every), (2, some), (4, some)):
        with devices.first(count):
            run_all(root, out / str(count), names)


if __name__ == "__main__":
    main()
