"""Does a decoder of a robust network's features take noise away?

Rojas-Gomez et al. (2022), their denoising: a decoder trained to make the clean image of what a
frozen encoder sees of the noisy one. AlexNet with Haar pooling hands its decoder what the pooling
split off; a decoder of the same stage without that is the ablation. The paper's noise is of 50/255,
clipped to [0,1], its test set CBSD68 at its own sizes.

python -m rrjax.study --config=configs/denoising.py --workdir=runs/quickstart
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from rrjax import data, runs
from rrjax.core.vmapped import in_parts
from rrjax.data import folder, outside
from rrjax.data.augment import pixels
from rrjax.errors import BadInput
from rrjax.evaluate import lpips, metrics
from rrjax.runs import figures
from rrjax.study.comparison import section, summarized

SHOWN = 4  # images a grid shows; the numbers are over all of them
OBSERVED = "noisy image"
AT_ONCE = 2**17  # pixels that are decoded, or scored, together


COLUMNS = {
    "sigma": "sigma",
    "network": "network",
    "decoder": "decoder",
    "trained_sigma": "trained with",
    "psnr": "PSNR",
    "gain": "gain",
    "ssim": "SSIM",
    "lpips": "LPIPS",
}


def run(config: ConfigDict, workdir: str) -> None:
    """Denoise the same images at every level of noise with every autoencoder of config.networks.

    Raises:
      BadInput: for autoencoders or images that cannot be loaded or do not fit each other, without a
        level, and for fewer than two images.
    """
    _check(config)
    which = {"checkpoint": config.checkpoint, "data": config.data, "dtype": config.dtype}
    networks = {path: runs.load_autoencoder(path, **which) for path in config.networks}
    images = _images(networks, config)
    reasons = [lpips.why_not(config.lpips, *image.shape[:2]) for image in images]
    without_lpips = next(filter(None, reasons), "")
    denoisers = {OBSERVED: lambda image: image}
    denoisers |= {path: partial(denoise, network) for path, network in networks.items()}
    runs.make_folder(workdir)
    outputs = _outputs(denoisers, images, config)
    score = partial(_scores, images=images, net="" if without_lpips else config.lpips)
    scores = {key: score(each) for key, each in outputs.items()}
    rows = [_row(key, scores, networks, config) for key in scores]
    pictures = [_picture(workdir, sigma, images, outputs) for sigma in config.sigmas]
    text = _text(config, len(images))
    shown = [{"lpips": without_lpips} | row for row in rows]
    digits = {"lpips": 3}
    part = section(config, "Noise, taken away", text, shown, COLUMNS, pictures, digits)
    runs.publish(workdir, config, part, {"rows": rows})


def _check(config) -> None:
    if not config.networks or not config.sigmas or min(config.sigmas) <= 0:
        raise BadInput(
            f"networks={config.networks}, sigmas={config.sigmas}: give at least one network, and "
            "at least one level, all above 0"
        )
    if config.n < 0 or config.n == 1 or (config.n == 0 and config.images in outside.KINDS):
        raise BadInput(
            f"n={config.n}: give at least 2, or 0 for all test images or all images of a folder"
        )


def denoise(network: runs.Autoencoder, images: np.ndarray) -> np.ndarray:
    """Encode and decode images (N, H, W, C), float in [0,1], of any size.

    Their edges are repeated to a multiple of the network's stride, and cut off again.
    """
    _, height, width, _ = images.shape
    padded = _padded(network, images)
    network.check(padded.shape[1:])
    decode = partial(runs.reconstruct, network.encode, network.decode)
    return in_parts(decode, _at_once(images.shape), padded)[:, :height, :width]


def _padded(network: runs.Autoencoder, images):
    below, right = (-side % network.stride for side in images.shape[1:3])
    return np.pad(images, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")


def _at_once(shape) -> int:
    return max(1, AT_ONCE // (shape[1] * shape[2]))


def noisy(image: np.ndarray, sigma: float, seed: int, index: int) -> np.ndarray:
    """Add noise of a standard deviation of sigma / 255, and clip to [0,1] as the paper does.

    image: (H, W, C), float in [0,1]. Image `index` has the same noise at every sigma, but for its
    size.
    """
    noise = np.random.default_rng((seed, index)).standard_normal(image.shape)
    return np.clip(image + sigma / 255 * noise, 0, 1).astype(np.float32)


def _images(networks: dict[str, runs.Autoencoder], config) -> list[np.ndarray]:
    """Return clean images (H, W, C), float in [0,1], of whatever sizes, that all networks take."""
    first, *others = networks
    trained = networks[first].config
    channels = len(trained.model.mean)
    for path in others:
        if len(networks[path].config.model.mean) != channels:
            raise BadInput(f"{first} takes {channels} channels and {path} another number")
    if config.images == "test images":
        images = data.eval_images(trained, config.n, np.random.default_rng(config.seed))
    elif config.images in outside.KINDS:
        make = outside.KINDS[config.images]
        images = make(config.n, trained.data.image_size, channels, config.seed)
    else:
        images = map(pixels, folder.pictures(config.images, config.n, channels, config.seed))
    images = list(images)
    for shape in {image.shape for image in images}:
        for network in networks.values():
            network.check(_padded(network, np.zeros((1, *shape))).shape[1:])
    return images


def _outputs(denoisers: dict[str, Callable], images, config) -> dict[tuple, list[np.ndarray]]:
    """Return what every denoiser makes of the noisy images: (sigma, denoiser) -> (H, W, C) each."""
    keys = [(sigma, name) for sigma in config.sigmas for name in denoisers]
    outputs = {key: [np.empty(0)] * len(images) for key in keys}
    with tqdm(total=len(keys) * len(images), disable=None, desc="denoising", unit="image") as bar:
        for sigma, name in keys:
            for rows in _by_shape(images):
                observed = np.stack([noisy(images[i], sigma, config.seed, i) for i in rows])
                for i, output in zip(rows, denoisers[name](observed), strict=True):
                    outputs[sigma, name][i] = output
                bar.update(len(rows))
    return outputs


def _by_shape(images) -> list[list[int]]:
    """Return the indices of images, those of one shape together."""
    rows = {}
    for i, image in enumerate(images):
        rows.setdefault(image.shape, []).append(i)
    return list(rows.values())


def _scores(outputs, images, net: str) -> dict[str, np.ndarray]:
    """Score images against clean ones, (n,) each, those of one shape together; LPIPS if named."""
    scores = {}
    for rows in _by_shape(images):
        stacks = [np.stack([stack[i] for i in rows]) for stack in (outputs, images)]
        size = _at_once(stacks[0].shape)
        similarity = metrics.image_similarity(*stacks, batch_size=size)
        values = {name: similarity[name] for name in ("psnr", "ssim")}
        if net:
            values["lpips"] = in_parts(partial(lpips.distance, net=net), size, *stacks)
        for name, value in values.items():
            scores.setdefault(name, np.zeros(len(images)))[rows] = value
    return scores


def _row(key: tuple[float, str], scores: dict, networks: dict, config) -> dict:
    """Summarize over images; the gain is in pairs with the noisy image."""
    sigma, name = key
    gain = scores[key]["psnr"] - scores[sigma, OBSERVED]["psnr"]
    facts = {"sigma": sigma, "network": name}
    if name in networks:
        trained = networks[name].config
        facts |= {"decoder": trained.model.decoder, "trained_sigma": trained.noise}
    return facts | summarized(scores[key] | {"gain": gain}, config.seed)


def _picture(workdir: str, sigma: float, images, outputs: dict) -> tuple[str, str]:
    grid = {name: stack[:SHOWN] for (level, name), stack in outputs.items() if level == sigma}
    side = max(0.9, max(max(image.shape) for image in images) / 120)  # inches: no pixel is lost
    file = figures.save_grid(
        workdir, f"denoising_{sigma:g}", {"clean": images[:SHOWN]} | grid, side
    )
    return file, f"Noise of {sigma:g}/255"


def _text(config, n: int) -> list[str]:
    return [
        f"n = {n} images ({config.images}); Gaussian noise of sigma/255, clipped to [0,1]; mean "
        "and 95 % interval over images. Gain: PSNR (dB) less that of the noisy image. "
        f"LPIPS by {config.lpips}, the lower the better. Images are padded to a multiple of the "
        "decoder's stride, and cut back.",
    ]
