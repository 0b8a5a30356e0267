"""Does a decoder make a better image from a robust network's features than from a standard one's?

Rojas-Gomez et al. (2021), arXiv:2106.06927: decoders of a standard and a robust encoder, trained
alike, on test images; on images of sizes that they were never trained on; for encoders of rising
eps; and beside the inversion of the same features by gradient steps on the image.

python -m rrjax.study --config=configs/reconstruction.py --workdir=runs/quickstart
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from rrjax import BadInput, data, runs
from rrjax.core import representation, vmapped
from rrjax.core.vmapped import Rows, in_parts, timed
from rrjax.data import outside
from rrjax.evaluate import lpips, metrics
from rrjax.runs import figures
from rrjax.runs.frozen import takes
from rrjax.study.comparison import in_saved_parts, part_cache, require, section, summarized

SHOWN = 10  # images a grid shows; the numbers are over all of them
SCORES = ("psnr", "ssim", "lpips", "perceptual")
NET = "alexnet"  # of LPIPS
SEARCHED = "test images, searched"

COLUMNS = {
    "images": "images",
    "network": "network",
    "eps": "eps",
    "method": "made by",
    "psnr": "psnr",
    "ssim": "ssim",
    "lpips": "lpips",
    "perceptual": "distance, as config.perceptual sees it",
    "pair": "pair",
    "psnr_more": "psnr more",
    "ssim_more": "ssim more",
    "seconds": "seconds an image",
}
DIGITS = dict.fromkeys(COLUMNS, 3) | {"psnr": 2, "psnr_more": 2}


class Stack(NamedTuple):
    """Images of one kind and one size, which are read when they are asked for.

    side: pixels a side. rows: (n, side, side, C), float in [0,1].
    """

    side: int
    rows: Rows


def run(config: ConfigDict, workdir: str) -> None:
    """Decode with every autoencoder of the config.

    Raises:
      BadInput: for autoencoders that cannot be loaded or that take no images of these sizes, and
        for counts that are too small.
    """
    _check(config)
    autoencoders = runs.load_autoencoders(config)
    stacks = _stacks(next(iter(autoencoders.values())), config)
    for autoencoder in autoencoders.values():
        for stack in stacks.values():
            autoencoder.check((stack.side, stack.side, len(autoencoder.config.model.mean)))
    observer = _observer(stacks, config)
    runs.make_folder(workdir)
    decisive = observer and observer.variables
    caches = {n: part_cache(workdir, config, n, a, decisive) for n, a in autoencoders.items()}
    rows, pictures = [], []
    for kind, stack in stacks.items():
        methods = ("decoder", "search") if kind == SEARCHED else ("decoder",)
        arms = {
            (name, method): _outputs(
                caches[name],
                f"{kind}, {name}, {method}",
                autoencoder,
                method,
                stack,
                partial(_scores, observer=observer),
                config,
            )
            for name, autoencoder in autoencoders.items()
            for method in methods
        }
        rows += _rows(kind, stack.side, arms, config)
        pictures.append(_picture(workdir, kind, stack.rows[:SHOWN], arms))
    for row in rows:
        row["eps"] = autoencoders[row["network"]].encoder.config.attack.eps
    if len(autoencoders) > 2:
        pictures.insert(0, _curve(workdir, rows))
    shown = [_shown(row) for row in rows]
    title, text = "Images from features", _text(config, len(stacks["test images"].rows))
    columns = {k: heading for k, heading in COLUMNS.items() if observer or k != "perceptual"}
    part = section(config, title, text, shown, columns, pictures, DIGITS)
    runs.publish(workdir, config, part, {"rows": rows})


def _check(config) -> None:
    require(config, n=0, photographs=0, searched=0, steps=1, batch_size=1)  # n of 0: all
    if config.n == 1 or config.photographs == 1 or not config.times:
        raise BadInput(
            f"n={config.n}, photographs={config.photographs}, times={config.times}: give no "
            "photographs, or at least 2 images of a kind, and a size"
        )
    if config.searched == 1 or 0 < config.n < config.searched:
        raise BadInput(f"searched={config.searched}: give 0 for none, or 2 to n={config.n}")
    if not config.step_size > 0:
        raise BadInput(f"step_size={config.step_size}: it must be positive")


def _stacks(first: runs.Autoencoder, config) -> dict[str, Stack]:
    """Choose test images, photographs of several sizes, and what is searched, by name."""
    trained = first.config
    rng = np.random.default_rng(config.seed)
    images = data.open_split(trained, "test", config.n, rng)
    side, channels = trained.data.image_size, len(trained.model.mean)
    stacks = {"test images": Stack(side, images)}
    for times in config.times if config.photographs else ():
        size = round(times * side)
        stack = outside.photographs(config.photographs, size, channels, config.seed)
        stacks[f"photographs, {size} pixels"] = Stack(size, stack)
    if config.searched:
        stacks[SEARCHED] = Stack(side, images.part(slice(config.searched)))
    return stacks


def _observer(stacks: dict[str, Stack], config) -> runs.Frozen | None:
    """Load the network of config.perceptual, which has to take all images; of an empty one none."""
    if not config.perceptual:
        return None
    observer = runs.load(config.perceptual, config.checkpoint, dtype=config.dtype)
    for kind, stack in stacks.items():
        shape = stack.rows[:1].shape[1:]
        if shape[2] != len(observer.config.model.mean) or not takes(observer.apply, shape):
            raise BadInput(f"perceptual={config.perceptual}: takes no {kind} of shape {shape}")
    return observer


def _outputs(
    cached: Callable,
    label: str,
    autoencoder: runs.Autoencoder,
    method: str,
    stack: Stack,
    score: Callable,
    config: ConfigDict,
) -> dict[str, np.ndarray]:
    """Make and score images by one method, a part at a time.

    score: images and originals, (k, H, W, C) each -> scores (k,) by name.

    Returns scores (n,) by name; "image", of the first SHOWN; and "seconds" an image (1,), those of
    the first part.
    """
    n, channels = len(stack.rows), len(autoencoder.config.model.mean)
    stacks = [np.arange(n), stack.rows]
    if method == "search":
        shape, rng = (stack.side, stack.side, channels), np.random.default_rng(config.seed)
        stacks.append(representation.noise_rows(n, shape, rng))
    make = {"decoder": _decoded, "search": _searched}[method]

    def part(index: np.ndarray, images: np.ndarray, *starts: np.ndarray) -> dict[str, np.ndarray]:
        first = index == 0
        made, seconds = make(autoencoder, config, first.any(), images, *starts)
        seconds = np.full(first.sum(), seconds / len(images))
        return score(made, images) | {"image": made[index < SHOWN], "seconds": seconds}

    return in_saved_parts(cached, label, part, config.batch_size, *stacks)


def _decoded(autoencoder: runs.Autoencoder, config, measured: bool, images):
    """Return what becomes of images, and the seconds that decoding alone took.

    measured: whether they are asked for, without those of compiling, for which it is done twice.
    """
    features = in_parts(partial(_encode, autoencoder.encode), config.batch_size, images)
    leaves, structure = jax.tree.flatten(features)

    def decode(*leaves):
        return _decode(autoencoder.decode, jax.tree.unflatten(structure, leaves))

    if measured:
        in_parts(decode, config.batch_size, *leaves)  # compiles
    return timed(in_parts, decode, config.batch_size, *leaves)


@jax.jit
def _encode(encode, images):
    return jax.vmap(encode)(images)


@jax.jit
def _decode(decode, features):
    return jax.vmap(decode)(features)


def _searched(autoencoder: runs.Autoencoder, config, measured: bool, images, starts):
    """Search from noise for images of the same features; else as `_decoded`."""
    apply = representation.of_features(autoencoder.encode)
    search = partial(vmapped.invert_images, apply, apply, step_size=config.step_size)
    if measured:
        in_parts(partial(search, steps=1), config.batch_size, starts, images)  # compiles
    search = partial(search, steps=config.steps)
    inverted, seconds = timed(in_parts, search, config.batch_size, starts, images)
    return inverted.x, seconds


def _rows(kind: str, side: int, arms: dict, config) -> list[dict]:
    """Summarize the scores of every arm on one kind of images, alone and in pairs.

    A decoder's pair is the first one, a search's the decoder of the same features.
    """
    rows = []
    for (name, method), outputs in arms.items():
        scores = {score: outputs[score] for score in SCORES if score in outputs}
        pair = (name, "decoder") if method == "search" else next(iter(arms))
        more = {f"{s}_more": values - arms[pair][s] for s, values in scores.items()}
        row = {"images": kind, "network": name, "method": method, "side": side}
        row |= {"seconds": float(outputs["seconds"][0]), "pair": ", ".join(pair)}
        rows.append(row | summarized(scores | more, config.seed))
    return rows


@jax.jit
def _distances(apply, images, others):
    return jax.vmap(partial(representation.distance, apply))(images, others)


def _scores(decoded, images, observer: runs.Frozen | None = None) -> dict[str, np.ndarray]:
    """Score each image; without LPIPS where it cannot be had."""
    scores = metrics.image_similarity(decoded, images)
    if not lpips.why_not(NET, *images.shape[1:3]):
        scores["lpips"] = in_parts(partial(lpips.distance, net=NET), 32, decoded, images)
    if observer:
        distances = partial(_distances, observer.apply)
        scores["perceptual"] = in_parts(distances, 32, decoded, images)
    return {score: np.asarray(scores[score]) for score in SCORES if score in scores}


def _picture(workdir: str, kind: str, images, arms: dict) -> tuple[str, str]:
    grid = {"image": images}
    grid |= {f"{name}, {method}": outputs["image"] for (name, method), outputs in arms.items()}
    file = "reconstruction_" + kind.replace(",", "").replace(" ", "_")
    return figures.save_grid(workdir, file, grid), f"{kind}: and what is made of their features"


def _curve(workdir: str, rows: list[dict]) -> tuple[str, str]:
    """Draw the PSNR of test images against the eps that the encoder was trained with."""
    ladder = [row for row in rows if row["images"] == "test images"]
    ladder.sort(key=lambda row: row["eps"])
    curve = {"decoder": ([row["eps"] for row in ladder], [row["psnr"] for row in ladder])}
    file = figures.save_curves(
        workdir,
        "reconstruction_ladder",
        curve,
        xlabel="eps of the encoder's training, pixels in [0,1]",
        ylabel="PSNR, dB",
        ylim=None,
    )
    return file, "Test images, by the eps that the encoder was trained with"


def _shown(row: dict) -> dict:
    """Return what the table shows of a row: why there is no LPIPS, where there is none."""
    why = lpips.why_not(NET, row["side"], row["side"])
    return {"lpips": why} | row | {"seconds": f"{row['seconds']:.2g}"}


def _text(config, n: int) -> list[str]:
    return [
        "Each decoder was trained to invert one frozen encoder. The same test images, and "
        "photographs of sizes it was not trained on, through each; PSNR in dB, SSIM, LPIPS (less "
        "is better); and how much more than the pair's, image by image.",
        f"n = {n} test images, {config.photographs} photographs of a size, "
        f"{config.searched} searched: {config.steps} l2 steps of {config.step_size:g} on the image "
        "from noise, until its features are the target's, beside what the decoder makes of the "
        f"same features. {config.batch_size} images at a time, the first of which say the seconds; "
        "mean and 95 % interval over images.",
    ]
