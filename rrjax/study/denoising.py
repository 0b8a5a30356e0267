"""Does a decoder of a robust network's features take noise away?

Rojas-Gomez et al. (2021), their denoising: a decoder trained to make the clean image of what a
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

from rrjax import BadInput, data, runs
from rrjax.core.vmapped import Rows, in_parts
from rrjax.data import folder, outside
from rrjax.data.augment import pixels
from rrjax.evaluate import lpips, metrics
from rrjax.runs import figures
from rrjax.study.comparison import section, summarized

SHOWN = 4  # images a grid shows; the numbers are over all of them
OBSERVED = "noisy image"
AT_ONCE = 2**17  # pixels that are decoded, or scored, together
AT_ONCE_READ = 64  # images that are in memory, with what every denoiser makes of them


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
    reasons = [lpips.why_not(config.lpips, *shape[:2]) for shape in _shapes(images, networks)]
    without_lpips = next(filter(None, reasons), "")
    denoisers = {OBSERVED: lambda image: image}
    denoisers |= {path: partial(denoise, network) for path, network in networks.items()}
    runs.make_folder(workdir)
    net = "" if without_lpips else config.lpips
    scores, grids = _denoised(denoisers, images, net, config)
    rows = [_row(key, scores, networks, config) for key in scores]
    pictures = [_picture(workdir, sigma, grid) for sigma, grid in grids.items()]
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


def _images(networks: dict[str, runs.Autoencoder], config) -> Rows:
    """Choose clean images (H, W, C), float in [0,1], or uint8 of whatever sizes."""
    first, *others = networks
    trained = networks[first].config
    channels = len(trained.model.mean)
    for path in others:
        if len(networks[path].config.model.mean) != channels:
            raise BadInput(f"{first} takes {channels} channels and {path} another number")
    if config.images == "test images":
        return data.open_images(trained, config.n, np.random.default_rng(config.seed))
    if config.images in outside.KINDS:
        make = outside.KINDS[config.images]
        return make(config.n, trained.data.image_size, channels, config.seed)
    return folder.open_pictures(config.images, config.n, channels, config.seed)


def _shapes(images: Rows, networks: dict[str, runs.Autoencoder]) -> list[tuple[int, ...]]:
    """Return the shapes that images have, which all networks take; all of a folder's are read."""
    seen = range(0, len(images), AT_ONCE_READ) if isinstance(images, folder.Pictures) else (0,)
    shapes = {image.shape for first in seen for image in images[first : first + AT_ONCE_READ]}
    for shape in shapes:
        for network in networks.values():
            network.check(_padded(network, np.zeros((1, *shape))).shape[1:])
    return sorted(shapes)


def _denoised(
    denoisers: dict[str, Callable], images: Rows, net: str, config
) -> tuple[dict[tuple, dict[str, np.ndarray]], dict[float, dict[str, list[np.ndarray]]]]:
    """Denoise images, a part at a time.

    Returns the scores, (n,) by name, of every (sigma, denoiser); and for each sigma, the first
    SHOWN clean images and what every denoiser makes of them.
    """
    parts: list[dict[tuple, dict[str, np.ndarray]]] = []
    grids: dict[float, dict[str, list[np.ndarray]]] = {}
    starts = range(0, len(images), AT_ONCE_READ)
    for first in tqdm(starts, disable=None, desc="denoising", unit="part"):
        read = images[first : first + AT_ONCE_READ]
        clean = [image if image.dtype == np.float32 else pixels(image) for image in read]
        outputs = _outputs(denoisers, clean, first, config)
        parts.append({key: _scores(each, clean, net) for key, each in outputs.items()})
        if not first:
            grids = {sigma: {"clean": clean[:SHOWN]} for sigma in config.sigmas}
            for (sigma, name), each in outputs.items():
                grids[sigma][name] = each[:SHOWN]
    scores = {
        key: {name: np.concatenate([part[key][name] for part in parts]) for name in each}
        for key, each in parts[0].items()
    }
    return scores, grids


def _outputs(
    denoisers: dict[str, Callable], images, first: int, config
) -> dict[tuple, list[np.ndarray]]:
    """Return what every denoiser makes of the noisy images: (sigma, denoiser) -> (H, W, C) each.

    first: the index of the first of them among all, which decides their noise.
    """
    keys = [(sigma, name) for sigma in config.sigmas for name in denoisers]
    outputs = {key: [np.empty(0)] * len(images) for key in keys}
    for sigma, name in keys:
        for rows in _by_shape(images):
            observed = np.stack([noisy(images[i], sigma, config.seed, first + i) for i in rows])
            for i, output in zip(rows, denoisers[name](observed), strict=True):
                outputs[sigma, name][i] = output
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


def _picture(workdir: str, sigma: float, grid: dict[str, list[np.ndarray]]) -> tuple[str, str]:
    # inches: no pixel is lost
    side = max(0.9, max(max(image.shape) for image in grid["clean"]) / 120)
    file = figures.save_grid(workdir, f"denoising_{sigma:g}", grid, side)
    return file, f"Noise of {sigma:g}/255"


def _text(config, n: int) -> list[str]:
    return [
        f"n = {n} images ({config.images}); Gaussian noise of sigma/255, clipped to [0,1]; mean "
        "and 95 % interval over images. Gain: PSNR (dB) less that of the noisy image. "
        f"LPIPS by {config.lpips}, the lower the better. Images are padded to a multiple of the "
        "decoder's stride, and cut back.",
    ]
