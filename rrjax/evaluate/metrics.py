"""Scores of images against images, and how sure a mean or an area is."""

import dm_pix
import jax
import numpy as np
import numpy.typing as npt
import scipy.stats

from rrjax.core import direction
from rrjax.errors import BadInput

Array = np.ndarray | jax.Array


def image_similarity(images: Array, targets: Array) -> dict[str, jax.Array]:
    """Score images against targets, both (N, H, W, C), float in [0,1]; each score is (N,).

    correlation: Pearson's, over the pixels of one image; 0 of a constant one. ssim: structural
    similarity, Gaussian window of 11 pixels and sigma 1.5 (Wang et al. 2004). psnr: in dB, of a
    peak of 1.

    Raises:
      BadInput: for images smaller than that window.
    """
    if min(images.shape[1:3]) < 11:
        raise BadInput(f"images of {images.shape[1:3]} pixels: SSIM needs at least 11 by 11")
    return _image_similarity(images, targets)


@jax.jit
def _image_similarity(images, targets):
    return {
        "correlation": jax.vmap(direction.correlation)(images, targets),
        "ssim": dm_pix.ssim(images, targets),
        "psnr": dm_pix.psnr(images, targets),
    }


def correlations(rows: np.ndarray) -> np.ndarray:
    """Return Pearson's correlations (n, n) of the rows of (n, D).

    Of a constant row, such as what an image that did not move has gained, all are 0.
    """
    rows = np.asarray(rows, np.float64)
    centered = rows - rows.mean(1, keepdims=True)
    lengths = np.where(np.ptp(rows, axis=1) > 0, np.linalg.norm(centered, axis=1), np.inf)
    directions = centered / lengths[:, None]
    return directions @ directions.T


def l2_distance(images: Array, starts: Array) -> np.ndarray:
    """Return the l2 distances (N,) between images and starts, both (N, H, W, C), in their units."""
    return np.linalg.norm((images - starts).reshape(len(images), -1), axis=1)


def summarize(values: npt.ArrayLike, seed: int = 0) -> dict[str, float]:
    """Return the mean of per-example values, its 95 % bootstrap interval (percentile) and n.

    values: (n,), numbers or truth values. seed: of the 2,000 resamples. Under "mean", "low", "high"
    and "n".

    Raises:
      BadInput: for fewer than two values.
    """
    values = np.asarray(values, np.float64)
    if values.size < 2:
        raise BadInput(f"an interval needs at least 2 examples, not {values.size}")
    interval = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", rng=np.random.default_rng(seed), n_resamples=2000
    ).confidence_interval
    return {
        "mean": float(values.mean()),
        "low": float(interval.low),
        "high": float(interval.high),
        "n": int(values.size),
    }


def auroc(scores: npt.ArrayLike, anomalous: npt.ArrayLike, seed: int = 0) -> dict[str, float]:
    """Return the area under the ROC curve, its 95 % bootstrap interval (percentile) and n.

    scores, anomalous: (n,); keys as `summarize`'s, the area under "mean". It is the chance that an
    anomalous example scores higher than another, equal scores counting half; both kinds are drawn
    again, each by itself.

    Raises:
      BadInput: for fewer than two of either.
    """
    scores, anomalous = np.asarray(scores, np.float64), np.asarray(anomalous, bool)
    kinds = (scores[anomalous], scores[~anomalous])
    if min(map(len, kinds)) < 2:
        raise BadInput(
            f"{anomalous.sum()} of {len(anomalous)} examples are anomalous: give at least 2 of "
            "either kind"
        )
    rng = np.random.default_rng(seed)
    interval = scipy.stats.bootstrap(
        kinds, _area, method="percentile", rng=rng, n_resamples=2000, batch=100
    ).confidence_interval
    return {
        "mean": float(_area(*kinds, axis=-1)),
        "low": float(interval.low),
        "high": float(interval.high),
        "n": len(scores),
    }


def _area(anomalous: np.ndarray, normal: np.ndarray, axis: int) -> np.ndarray:
    """Divide Mann and Whitney's U by its largest value, along the last axis.

    Not `scipy.stats.mannwhitneyu`: the p-value that comes with its U takes three times as long for
    the few examples of a small study.
    """
    m, n = anomalous.shape[axis], normal.shape[axis]
    ranks = scipy.stats.rankdata(np.concatenate([anomalous, normal], axis=axis), axis=axis)
    return (ranks[..., :m].sum(axis) - m * (m + 1) / 2) / (m * n)
