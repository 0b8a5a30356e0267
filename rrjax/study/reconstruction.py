"""Does a decoder make a better image from a robust network's features than from a standard one's?

Rojas-Gomez et al. (2022), arXiv:2106.06927: decoders of a standard and a robust encoder, trained
alike, on test images; on images of sizes that they were never trained on; for encoders of rising
eps; and beside the inversion of the same features by gradient steps on the image.

python -m rrjax.study --config=configs/reconstruction.py --workdir=runs/quickstart
"""

from functools import partial

import jax
import numpy as np
from ml_collections import ConfigDict

from rrjax import data, runs
from rrjax.core import representation, vmapped
from rrjax.core.vmapped import in_parts, timed
from rrjax.data import outside
from rrjax.errors import BadInput
from rrjax.evaluate import lpips, metrics
from rrjax.runs import figures
from rrjax.study.comparison import require, section, summarized

SHOWN = 10  # images a grid shows; the numbers are over all of them
SCORES = ("psnr", "ssim", "lpips")
NET = "alexnet"  # of LPIPS


COLUMNS = {
    "images": "images",
    "network": "network",
    "eps": "eps",
    "method": "made by",
    "psnr": "psnr",
    "ssim": "ssim",
    "lpips": "lpips",
    "pair": "pair",
    "psnr_more": "psnr more",
    "ssim_more": "ssim more",
    "seconds": "seconds an image",
}
DIGITS = dict.fromkeys(COLUMNS, 3) | {"psnr": 2, "psnr_more": 2}


def run(config: ConfigDict, workdir: str) -> None:
    """Decode with every autoencoder of the config.

    Raises:
      BadInput: for autoencoders that cannot be loaded or that take no images of these sizes, and
        for counts that are too small.
    """
    _check(config)
    autoencoders = runs.load_autoencoders(config)
    stacks = _images(next(iter(autoencoders.values())), config)
    for autoencoder in autoencoders.values():
        for images in stacks.values():
            autoencoder.check(images.shape[1:])
    runs.make_folder(workdir)
    rows, pictures = [], []
    for kind, images in stacks.items():
        arms = {(name, "decoder"): _decoded(a, images, config) for name, a in autoencoders.items()}
        rows += _rows(kind, images, arms, config)
        pictures.append(_picture(workdir, kind, images, arms))
    if config.searched:
        kind, images = "test images, searched", stacks["test images"][: config.searched]
        arms = {}
        for name, autoencoder in autoencoders.items():
            arms[name, "decoder"] = _decoded(autoencoder, images, config)
            arms[name, "search"] = _searched(autoencoder, images, config)
        rows += _rows(kind, images, arms, config)
        pictures.append(_picture(workdir, kind, images, arms))
    for row in rows:
        row["eps"] = autoencoders[row["network"]].encoder.config.attack.eps
    if len(autoencoders) > 2:
        pictures.insert(0, _curve(workdir, rows))
    shown = [_shown(row) for row in rows]
    title = "Images from features"
    part = section(config, title, _text(config), shown, COLUMNS, pictures, DIGITS)
    runs.publish(workdir, config, part, {"rows": rows})


def _check(config) -> None:
    require(config, n=2, photographs=0, searched=0, steps=1, batch_size=1)
    if config.photographs == 1 or not config.times:
        raise BadInput(
            f"photographs={config.photographs}, times={config.times}: give no photographs, or at "
            "least 2, and a size"
        )
    if config.searched == 1 or config.searched > config.n:
        raise BadInput(f"searched={config.searched}: give 0 for none, or 2 to n={config.n}")
    if not config.step_size > 0:
        raise BadInput(f"step_size={config.step_size}: it must be positive")


def _images(first: runs.Autoencoder, config) -> dict[str, np.ndarray]:
    """Choose test images, and photographs of several sizes, by name."""
    trained = first.config
    rng = np.random.default_rng(config.seed)
    stacks = {"test images": data.examples(trained, "test", config.n, rng)[0]}
    channels = len(trained.model.mean)
    for times in config.times if config.photographs else ():
        size = round(times * trained.data.image_size)
        stack = outside.photographs(config.photographs, size, channels, config.seed)
        stacks[f"photographs, {size} pixels"] = stack
    return stacks


def _decoded(autoencoder: runs.Autoencoder, images, config):
    """Return what becomes of images, and the seconds an image that decoding alone took."""
    features = in_parts(partial(_encode, autoencoder.encode), config.batch_size, images)
    leaves, structure = jax.tree.flatten(features)

    def decode(*leaves):
        return _decode(autoencoder.decode, jax.tree.unflatten(structure, leaves))

    in_parts(decode, config.batch_size, *leaves)  # compiles
    decoded, seconds = timed(in_parts, decode, config.batch_size, *leaves)
    return decoded, seconds / len(images)


@jax.jit
def _encode(encode, images):
    return jax.vmap(encode)(images)


@jax.jit
def _decode(decode, features):
    return jax.vmap(decode)(features)


def _searched(autoencoder: runs.Autoencoder, images, config):
    """Search from noise for images of the same features; return the seconds an image too."""
    apply = representation.of_features(autoencoder.encode)
    starts = representation.noise(images.shape, np.random.default_rng(config.seed))
    search = partial(vmapped.invert_images, apply, apply, step_size=config.step_size)
    first = (stack[: config.batch_size] for stack in (starts, images))
    in_parts(partial(search, steps=1), config.batch_size, *first)  # compiles
    search = partial(search, steps=config.steps)
    inverted, seconds = timed(in_parts, search, config.batch_size, starts, images)
    return inverted.x, seconds / len(images)


def _rows(kind: str, images, arms: dict, config) -> list[dict]:
    """Score every arm on one kind of images, alone and in pairs.

    A decoder's pair is the first one, a search's the decoder of the same features.
    """
    rows, scored = [], {}
    for (name, method), (outputs, seconds) in arms.items():
        scores = scored[name, method] = _scores(outputs, images)
        pair = (name, "decoder") if method == "search" else next(iter(scored))
        more = {f"{s}_more": values - scored[pair][s] for s, values in scores.items()}
        row = {"images": kind, "network": name, "method": method, "side": images.shape[1]}
        row |= {"seconds": seconds, "pair": ", ".join(pair)}
        rows.append(row | summarized(scores | more, config.seed))
    return rows


def _scores(decoded, images) -> dict[str, np.ndarray]:
    """Score each image; without LPIPS where it cannot be had."""
    scores = metrics.image_similarity(decoded, images)
    if not lpips.why_not(NET, *images.shape[1:3]):
        scores["lpips"] = in_parts(partial(lpips.distance, net=NET), 32, decoded, images)
    return {score: np.asarray(scores[score]) for score in SCORES if score in scores}


def _picture(workdir: str, kind: str, images, arms: dict) -> tuple[str, str]:
    grid = {"image": images}
    grid |= {f"{name}, {method}": outputs for (name, method), (outputs, _) in arms.items()}
    file = "reconstruction_" + kind.replace(",", "").replace(" ", "_")
    grid = {label: stack[:SHOWN] for label, stack in grid.items()}
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
        xlabel="eps of the encoder's training",
        ylabel="PSNR, dB",
        ylim=None,
    )
    return file, "Test images, by the eps that the encoder was trained with"


def _shown(row: dict) -> dict:
    """Return what the table shows of a row: why there is no LPIPS, where there is none."""
    why = lpips.why_not(NET, row["side"], row["side"])
    return {"lpips": why} | row | {"seconds": f"{row['seconds']:.2g}"}


def _text(config) -> list[str]:
    return [
        "Each decoder was trained to invert one frozen encoder. The same test images, and "
        "photographs of sizes it was not trained on, through each; PSNR in dB, SSIM, LPIPS (less "
        "is better); and how much more than the pair's, image by image.",
        f"n = {config.n} test images, {config.photographs} photographs of a size, "
        f"{config.searched} searched: {config.steps} l2 steps of {config.step_size:g} on the image "
        "from noise, until its features are the target's, beside what the decoder makes of the "
        f"same features. {config.batch_size} images at a time; mean and 95 % interval "
        "over images.",
    ]
