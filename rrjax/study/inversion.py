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

from rrjax import BadInput, data, runs
from rrjax.core import representation, vmapped
from rrjax.core.pgd import SearchResult
from rrjax.core.vmapped import Rows, in_parts
from rrjax.data import outside
from rrjax.evaluate import metrics
from rrjax.runs import figures, report
from rrjax.study.comparison import (
    Row,
    in_pairs,
    in_saved_parts,
    part_cache,
    publish,
    require,
)

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
    require(config, n=max(2, len(config.first_images)), steps=0, record=0, batch_size=1)
    networks = runs.load_networks(config)
    networks = {name: network.at_stage(config.stage) for name, network in networks.items()}
    targets, starts = _images(next(iter(networks.values())).config, config)
    runs.make_folder(workdir)
    caches = {name: part_cache(workdir, config, name, each) for name, each in networks.items()}
    rows, pictures = [], []
    for target, goals in targets.items():
        inversions = {
            name: in_saved_parts(
                caches[name],
                f"inversion of {target}, {name}",
                partial(_invert, network, config),
                config.batch_size,
                *(np.arange(config.n), goals, *starts.values()),
            )
            for name, network in networks.items()
        }
        rows += _rows(target, inversions, config)
        pictures += _pictures(workdir, target, goals[:SHOWN], starts, inversions)
        if config.record:
            pictures += _ways(workdir, target, goals[:SHOWN], starts, inversions, config)
    columns = {key: heading for key, heading in COLUMNS.items() if key in rows[0]}
    publish(workdir, config, "Representation inversion", _text(config), rows, columns, pictures)


def _images(trained: ConfigDict, config) -> tuple[dict[str, Rows], dict[str, Rows]]:
    """Choose targets and starts, by name, n rows each, float in [0,1]; the seed decides."""
    rng = np.random.default_rng(config.seed)
    chosen = data.open_images(trained, 2 * config.n, rng, config.first_images)
    size, channels, n = trained.data.image_size, len(trained.model.mean), config.n
    noise = representation.noise_rows(n, (size, size, channels), rng)
    targets = {
        "test images": lambda: chosen.part(slice(n)),
        "photographs": lambda: outside.photographs(n, size, channels, config.seed),
        "patterns": lambda: outside.patterns(n, size, channels, config.seed),
        "unseen classes": lambda: data.open_unseen(trained, config.unseen, n, rng),
    }
    starts = {"noise": noise, "other test images": chosen.part(slice(n, None))}
    unknown = (set(config.targets) - set(targets)) | (set(config.starts) - set(starts))
    if unknown:
        raise BadInput(
            f"inversion has no {sorted(unknown)}: targets are {sorted(targets)}, "
            f"starts are {sorted(starts)}"
        )
    return {k: targets[k]() for k in config.targets}, {k: starts[k] for k in config.starts}


def _invert(network: runs.Frozen, config, index, goals, *starts) -> dict[str, metrics.Array]:
    """Invert a part, (k, H, W, C), from every start.

    Returns scores (k,), named "START, SCORE", and of the first SHOWN of all images the inversions,
    "START, image", and the snapshots of the way to them, "START, way".
    """
    invert = partial(
        vmapped.invert_images,
        network.apply,
        network.differentiable_apply(config.straight_through),
        eps=config.eps,
        step_size=config.step_size,
        steps=config.steps,
        return_iterate=config.return_iterate,
        record=config.record,
    )
    inverted = {
        start: in_parts(invert, config.batch_size, images, goals)
        for start, images in zip(config.starts, starts, strict=True)
    }
    outputs = _scores(inverted, goals)
    shown = index < SHOWN
    for start, result in inverted.items():
        outputs[f"{start}, image"] = result.x[shown]
        if config.record:
            outputs[f"{start}, way"] = result.snapshots[shown]
    return outputs


def _scores(inverted: Mapping[str, SearchResult], goals) -> dict[str, metrics.Array]:
    """Score inversions, by their starts, against their targets and those from other starts."""
    scores: dict[str, metrics.Array] = {}
    for start, result in inverted.items():
        scores[f"{start}, distance"] = result.value
        for name, values in metrics.image_similarity(result.x, goals).items():
            scores[f"{start}, {name}"] = values
        others = [other.x for each, other in inverted.items() if each != start]
        if others:
            scores[f"{start}, agreement_of_starts"] = _agreement(result.x, others)
    return scores


def _rows(target: str, inversions: Mapping[str, Mapping[str, np.ndarray]], config) -> list[Row]:
    """Make the rows of one kind of target, from what `_invert` returns of every network.

    The other networks' scores are compared with the first one's from the same start.
    """
    rows = []
    for start in config.starts:
        first: dict[str, np.ndarray] = {}
        for name, outputs in inversions.items():
            scores = {
                score: outputs[f"{start}, {score}"]
                for score in COLUMNS
                if f"{start}, {score}" in outputs
            }
            first = first or scores
            names = {"network": name, "target": target, "start": start}
            rows.append(names | in_pairs(scores, first, config.seed))
    return rows


def _agreement(images: metrics.Array, others: Sequence[metrics.Array]) -> np.ndarray:
    """Average each image's correlations with its counterparts in other stacks (n, H, W, C)."""
    similarities = [metrics.image_similarity(images, other) for other in others]
    return np.mean([similarity["correlation"] for similarity in similarities], axis=0)


def _pictures(workdir, target: str, goals, starts: Mapping, inversions: Mapping) -> list[tuple]:
    """Draw a grid of inversions from each start."""
    pictures = []
    for start, rows in starts.items():
        images = {name: outputs[f"{start}, image"] for name, outputs in inversions.items()}
        grid = {"target": goals, "start": rows[:SHOWN]} | images
        file = figures.save_grid(workdir, _name(target, start), grid)
        pictures.append((file, f"{target}, started from {start}"))
    return pictures


def _name(target: str, start: str) -> str:
    return f"inversion_{target}_from_{start}".replace(" ", "_")


def _ways(workdir, target: str, goals, starts: Mapping, inversions: Mapping, config) -> list:
    """Draw strips of the recorded ways from each start, and a slider over their steps."""
    pictures = []
    for start, rows in starts.items():
        strips = {}
        for number, (network, outputs) in enumerate(inversions.items()):
            ways = zip(rows[:SHOWN], outputs[f"{start}, way"], goals, strict=True)
            grid = {f"{i}": [begun, *way, goal] for i, (begun, way, goal) in enumerate(ways, 1)}
            file = figures.save_grid(workdir, f"{_name(target, start)}_way_{number}", grid)
            strips[network] = (file, f"{network}, {target}: from {start} to the target, last")
        files = {f"{network}; below, the targets": file for network, (file, _) in strips.items()}
        slider = report.steps_slider(f"{target} from {start}", files, config.steps, config.record)
        pictures += [slider, *strips.values()]
    return pictures


def _text(config) -> list[str]:
    return [
        "Each column: an image is moved from its start, by normalized gradient steps alone, until "
        "its representation is the target's. Where the representation holds what people see, the "
        "target comes back; where it does not, something else has the same representation.",
        f"n = {config.n} images; {config.steps} l2 steps of {config.step_size:g}; mean and 95 % "
        f"interval over images. R(x) is the network's {config.stage}, distance is "
        "|R(x) - R(target)| / |R(target)|; correlation, SSIM and PSNR (dB) compare pixels with the "
        "target's; agreement is the correlation of two inversions of one target from different "
        "starts. Photographs are crops of two: their intervals are over crops. Unseen classes: "
        "those of the named set that the first network was not trained on.",
    ]
