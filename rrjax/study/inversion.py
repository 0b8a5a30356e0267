"""Does an image's representation determine the image? Standard and robust side by side.

Engstrom et al. (2019), section 4.1, Figures 3, 6 and 13-15: starting from noise or from another
image, move an image until its representation is the target's, for test images and for images from
elsewhere. A robust network gives the target back; a standard one gives something else.

python -m rrjax.study --config=configs/inversion.py --workdir=runs/quickstart
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from rrjax import data, runs
from rrjax.core import representation, vmapped
from rrjax.core.pgd import SearchResult
from rrjax.core.vmapped import in_parts
from rrjax.data import outside
from rrjax.errors import BadInput
from rrjax.evaluate import metrics
from rrjax.runs import figures
from rrjax.study.comparison import Row, in_pairs, publish, require

SHOWN = 10  # images a grid shows; the numbers are over all of them

COLUMNS = {
    "target": "target",
    "start": "start",
    "network": "network",
    "distance": "distance",
    "correlation": "correlation",
    "ssim": "ssim",
    "psnr": "psnr",
    "agreement_of_starts": "agreement of starts",
}


def run(config: ConfigDict, workdir: str) -> None:
    """Invert the representations of config.n images of each kind with every network."""
    require(config, n=2, steps=0, chunk=1, batch_size=1)
    networks = runs.load_networks(config)
    targets, starts = _images(next(iter(networks.values())).config, config)
    runs.make_folder(workdir)
    batches = len(networks) * len(targets) * len(starts) * -(-config.n // config.batch_size)
    rows, pictures = [], []
    with tqdm(total=batches * config.steps, disable=None, desc="inversion", unit="step") as bar:
        for target, goals in targets.items():
            inversions = {
                (start, name): _invert(network, starts[start], goals, config, bar)
                for start in starts
                for name, network in networks.items()
            }
            rows += _rows(target, goals, inversions, config)
            pictures += _pictures(workdir, target, goals, starts, inversions)
    columns = {key: heading for key, heading in COLUMNS.items() if key in rows[0]}
    publish(workdir, config, "Representation inversion", _text(config), rows, columns, pictures)


def _images(trained: ConfigDict, config: ConfigDict) -> tuple[dict, dict]:
    """Choose targets and starts, by name, each (n, H, W, C), float in [0,1]; the seed decides."""
    rng = np.random.default_rng(config.seed)
    chosen = data.eval_images(trained, 2 * config.n, rng)
    size, channels, n = chosen.shape[1], chosen.shape[-1], config.n
    noise = representation.noise(chosen[:n].shape, rng)
    targets = {
        "test images": lambda: chosen[:n],
        "photographs": lambda: outside.photographs(n, size, channels, config.seed),
        "patterns": lambda: outside.patterns(n, size, channels, config.seed),
        "unseen classes": lambda: data.unseen_examples(trained, config.unseen, n, rng)[0],
    }
    starts = {"noise": noise, "other test images": chosen[n:]}
    unknown = (set(config.targets) - set(targets)) | (set(config.starts) - set(starts))
    if unknown:
        raise BadInput(
            f"inversion has no {sorted(unknown)}: targets are {sorted(targets)}, "
            f"starts are {sorted(starts)}"
        )
    return {k: targets[k]() for k in config.targets}, {k: starts[k] for k in config.starts}


def _invert(network: runs.Frozen, starts, targets, config, bar: tqdm) -> SearchResult:
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


def _rows(target: str, goals, inversions: Mapping, config) -> list[Row]:
    """Score every inversion of one kind of target: against it, and against the other starts'.

    The other networks' scores are compared with the first one's from the same start.
    """
    rows, firsts = [], {}
    for (start, name), inverted in inversions.items():
        others = [
            other.x
            for (other_start, other_name), other in inversions.items()
            if other_name == name and other_start != start
        ]
        scores = {"distance": inverted.value, **metrics.image_similarity(inverted.x, goals)}
        if others:
            scores["agreement_of_starts"] = _agreement(inverted.x, others)
        names = {"network": name, "target": target, "start": start}
        first = firsts.setdefault(start, scores)
        rows.append(names | in_pairs(scores, first, config.seed))
    return rows


def _agreement(images: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """Average each image's correlations with its counterparts in other stacks (n, H, W, C)."""
    similarities = [metrics.image_similarity(images, other) for other in others]
    return np.mean([similarity["correlation"] for similarity in similarities], axis=0)


def _pictures(workdir, target: str, goals, starts: Mapping, inversions: Mapping) -> list[tuple]:
    pictures = []
    for start, begun in starts.items():
        inverted = {name: result.x for (each, name), result in inversions.items() if each == start}
        grid = {"target": goals, "start": begun, **inverted}
        grid = {label: images[:SHOWN] for label, images in grid.items()}
        file = f"inversion_{target}_from_{start}".replace(" ", "_")
        file = figures.save_grid(workdir, file, grid)
        pictures.append((file, f"{target}, started from {start}"))
    return pictures


def _text(config) -> list[str]:
    return [
        "Each column: an image is moved from its start, by normalized gradient steps alone, until "
        "its representation is the target's. Where the representation holds what people see, the "
        "target comes back; where it does not, something else has the same representation.",
        f"n = {config.n} images; {config.steps} l2 steps of {config.step_size:g}; mean and 95 % "
        "interval over images. Distance is |R(x) - R(target)| / |R(target)|; "
        "correlation, SSIM and PSNR (dB) compare pixels with the target's; agreement is the "
        "correlation of two inversions of one target from different starts. Photographs are crops "
        "of two: their intervals are over crops. Unseen classes: those of the named set that the "
        "first network was not trained on.",
    ]
