"""Does an image's representation determine the image? Standard and robust side by side.

Engstrom et al. (2019), section 3.1, Figures 3, 6 and 13-15: starting from noise or from another
image, move an image until its representation is the target's, for test images and for images from
elsewhere. A robust network gives the target back; a standard one gives something else.

python -m rrjax.study --config=configs/inversion.py --workdir=runs/quickstart
"""

from functools import partial

import numpy as np
from tqdm import tqdm

from rrjax import data, runs
from rrjax.core import representation, vmapped
from rrjax.core.vmapped import in_parts
from rrjax.data import outside
from rrjax.errors import BadInput
from rrjax.evaluate import metrics
from rrjax.runs import figures, report

SHOWN = 10  # images a grid shows; the numbers are over all of them
SCORES = ("distance", "correlation", "ssim", "psnr")
AGREEMENT = "agreement of starts"


def run(config, workdir: str) -> None:
    """Invert with every network of the config."""
    if config.n < 2 or config.steps < 0 or min(config.chunk, config.batch_size) < 1:
        raise BadInput(
            f"n={config.n}, steps={config.steps}, chunk={config.chunk}, "
            f"batch_size={config.batch_size}: give n of at least 2, steps of 0 or more, chunk and "
            "batch_size of at least 1"
        )
    networks = runs.load_networks(config)
    targets, starts = _images(next(iter(networks.values())).config, config)
    runs.make_folder(workdir)
    batches = len(networks) * len(targets) * len(starts) * -(-config.n // config.batch_size)
    rows, shown = [], []
    with tqdm(total=batches * config.steps, disable=None, desc="inversion", unit="step") as bar:
        for target, goals in targets.items():
            found = {
                (start, name): _invert(network, starts[start], goals, config, bar)
                for start in starts
                for name, network in networks.items()
            }
            rows += _rows(target, goals, found, config)
            shown += _pictures(workdir, target, goals, starts, found)
    runs.publish(workdir, config, _section(config, rows, shown), {"rows": rows})


def _invert(network: runs.Frozen, starts, targets, config, bar: tqdm):
    def counted(chunks):
        for done in chunks:
            yield done
            bar.update(min(config.chunk, config.steps - done))

    invert = partial(
        vmapped.invert_in_chunks,
        network.apply,
        network.differentiable_apply(config.straight_through),
        eps=config.eps,
        step_size=config.step_size,
        steps=config.steps,
        chunk=config.chunk,
        each=counted,
        return_iterate=config.return_iterate,
    )
    return in_parts(invert, config.batch_size, starts, targets)


def _rows(target: str, goals, found: dict, config) -> list[dict]:
    """Score every inversion of one kind of target: against it, and against the other starts'."""
    rows = []
    for (start, name), inverted in found.items():
        others = [f.x for (other, n), f in found.items() if n == name and other != start]
        alike = [metrics.image_similarity(inverted.x, other)["correlation"] for other in others]
        scores = {"distance": inverted.value, **metrics.image_similarity(inverted.x, goals)}
        summary = {k: metrics.summarize(scores[k], config.seed) for k in SCORES}
        if others:
            summary[AGREEMENT] = metrics.summarize(np.mean(alike, axis=0), config.seed)
        rows.append({"network": name, "target": target, "start": start, **summary})
    return rows


def _pictures(workdir: str, target: str, goals, starts: dict, found: dict) -> list[tuple]:
    pictures = []
    for start, begun in starts.items():
        inverted = {name: f.x for (each, name), f in found.items() if each == start}
        grid = {"target": goals, "start": begun, **inverted}
        grid = {label: images[:SHOWN] for label, images in grid.items()}
        file = f"inversion_{target}_from_{start}".replace(" ", "_")
        file = figures.save_grid(workdir, file, grid)
        pictures.append((file, f"{target}, started from {start}"))
    return pictures


def _images(trained, config) -> tuple[dict, dict]:
    """Choose targets and starts, by name, each (n, H, W, C), float in [0,1]; the seed decides."""
    rng = np.random.default_rng(config.seed)
    chosen = data.eval_images(trained, 2 * config.n, rng)
    size, channels, n = chosen.shape[1], chosen.shape[-1], config.n
    noise = representation.noise(chosen[:n].shape, rng)
    targets = {
        "test images": lambda: chosen[:n],
        "photographs": lambda: outside.photographs(n, size, channels, config.seed),
        "patterns": lambda: outside.patterns(n, size, channels, config.seed),
        "unseen classes": lambda: data.other_examples(trained, config.unseen, "test", n, rng)[0],
    }
    starts = {"noise": noise, "other test images": chosen[n:]}
    unknown = (set(config.targets) - set(targets)) | (set(config.starts) - set(starts))
    if unknown:
        raise BadInput(
            f"inversion has no {sorted(unknown)}: targets are {sorted(targets)}, "
            f"starts are {sorted(starts)}"
        )
    return {k: targets[k]() for k in config.targets}, {k: starts[k] for k in config.starts}


def _section(config, rows: list[dict], shown: list[tuple[str, str]]) -> report.Section:
    scores = [score for score in (*SCORES, AGREEMENT) if score in rows[0]]
    return report.Section(
        name="inversion",
        title="Representation inversion",
        text=[
            "Each column: an image is moved from its start, by normalized gradient steps alone, "
            "until its representation is the target's. Where the representation holds what people "
            "see, the target comes back; where it does not, something else has the same "
            "representation.",
            f"n = {config.n} images; {config.steps} l2 steps of {config.step_size:g}; mean and "
            "95 % bootstrap interval over images. Distance is |R(x) - R(target)| / |R(target)|; "
            "correlation, SSIM and PSNR (dB) compare pixels with the target's; agreement is the "
            "correlation of two inversions of one target from different starts.",
        ],
        header=["target", "start", "network", *scores],
        rows=[
            [row["target"], row["start"], row["network"]]
            + [report.with_interval(row[score]) for score in scores]
            for row in rows
        ],
        figures=shown,
    )
