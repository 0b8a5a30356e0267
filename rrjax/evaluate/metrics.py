"""Scores of images against images, and how sure a mean or an area is."""

from collections.abc import Mapping
from typing import Any

import dm_pix
import jax
import numpy as np
import numpy.typing as npt
import scipy.stats

from rrjax import BadInput
from rrjax.core import direction
from rrjax.core.vmapped import in_local_parts

Array = np.ndarray | jax.Array
Summary = dict[str, float | int | str]  # "mean", "low", "high", "n", "interval"

LEAST_T, LEAST_BOOTSTRAP = 5, 30  # values, for an interval of that kind
BLOCK = 2**18  # values of a bootstrap that lie in memory at once: 2 MiB, and their indices


def image_similarity(
    images: Array, targets: Array, batch_size: int = 256
) -> dict[str, np.ndarray | jax.Array]:
    """Score images against targets, both (N, H, W, C), float in [0,1]; each score is (N,).

    correlation: Pearson's, over the pixels of one image; 0 of a constant one. ssim: structural
    similarity, Gaussian window of 11 pixels and sigma 1.5 (Wang et al. 2004). psnr: in dB, of a
    peak of 1. batch_size: how many are scored at once.

    Raises:
      BadInput: for images smaller than that window.
    """
    if min(images.shape[1:3]) < 11:
        raise BadInput(f"images of {images.shape[1:3]} pixels: SSIM needs at least 11 by 11")
    return in_local_parts(_image_similarity, batch_size, images, targets)


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


def summarize(values: npt.ArrayLike, seed: int = 0) -> Summary:
    """Return the mean of per-example values, which are independent, and its 95 % interval.

    values: (n,), numbers, or truth values of type bool. seed: of the 2,000 resamples. Under
    "interval" is what the interval is: "binomial", Wilson's, of truth values; "bootstrap",
    percentiles, of 30 values and more; "t", Student's, of 5 to 29; "range", the least and the
    greatest value, of fewer, which no interval covers as it says.

    Raises:
      BadInput: for fewer than two values.
    """
    values = np.asarray(values)
    if values.size < 2:
        raise BadInput(f"an interval needs at least 2 examples, not {values.size}")
    if values.dtype == bool:
        return _summary("binomial", values, *_wilson(values.mean(), values.size))
    values = values.astype(np.float64)
    if values.size < LEAST_T:
        return _summary("range", values, values.min(), values.max())
    if values.size < LEAST_BOOTSTRAP:
        variance = values.var(ddof=1) / values.size
        return _summary("t", values, *_student(values.mean(), variance, values.size - 1))
    interval = scipy.stats.bootstrap(
        (values,),
        np.mean,
        method="percentile",
        rng=np.random.default_rng(seed),
        n_resamples=2000,
        batch=max(1, BLOCK // values.size),  # else all resamples lie in memory at once
    ).confidence_interval
    return _summary("bootstrap", values, interval.low, interval.high)


def summarize_crossed(values: npt.ArrayLike) -> Summary:
    """Return the mean of values (R, C), and its 95 % interval over rows and columns both.

    Such as units by images: values of one row depend on each other, and so do those of a column,
    so that R * C values are not as many examples. Rows and columns are both samples (random effects
    of a two-way layout); "interval" is "two-way", Student's, or "range", from the least to the
    greatest mean of a row or column, where fewer than 5 are of either. n is R * C.

    Raises:
      BadInput: for fewer than two rows or columns.
    """
    values = np.asarray(values, np.float64)
    if min(values.shape) < 2:
        raise BadInput(f"an interval needs at least 2 of either kind, not {values.shape}")
    rows, columns = values.mean(1), values.mean(0)
    if min(values.shape) < LEAST_T:
        means = np.concatenate([rows, columns])
        return _summary("range", values, means.min(), means.max())
    parts = np.array([each.var(ddof=1) / each.size for each in (rows, columns)])
    freedom = np.array([rows.size - 1, columns.size - 1])
    rest = values - rows[:, None] - columns[None] + values.mean()
    # Both parts hold the rest, what neither a row nor a column explains; once is enough.
    twice = (rest**2).sum() / freedom.prod() / values.size
    variance = max(parts.sum() - twice, parts.max())
    with_parts = (parts**2 / freedom).sum()
    degrees = parts.sum() ** 2 / with_parts if with_parts else freedom.min()  # Satterthwaite's
    return _summary("two-way", values, *_student(values.mean(), variance, degrees))


def summarize_pairs(matrix: npt.ArrayLike, seed: int = 0) -> Summary:
    """Return the mean over pairs of n examples, and its 95 % interval over the examples.

    matrix: (n, n), symmetric, a value for each pair; its diagonal is not read. Each example is in
    n - 1 pairs, so the pairs are not independent: the interval is `summarize`'s of the jackknife's
    pseudo-values, one an example; of fewer than 5 examples the range of their own means.

    Raises:
      BadInput: for fewer than two examples.
    """
    matrix = np.asarray(matrix, np.float64)
    n = len(matrix)
    if n < 2:
        raise BadInput(f"pairs need at least 2 examples, not {n}")
    means = (matrix.sum(1) - np.diag(matrix)) / (n - 1)
    if n >= LEAST_T:
        means = means.mean() + 2 * (n - 1) / (n - 2) * (means - means.mean())
    return summarize(means, seed)


def difference(summary: Mapping[str, Any], other: Mapping[str, Any]) -> Summary:
    """Return how much more one mean is than another's, of two independent samples.

    Its 95 % interval is made of theirs, whatever kind they are (Zou and Donner 2008, MOVER). Of
    samples that are paired it is too wide where the pairs are alike. n is the smaller one; of a
    "range" it is one: the ends farthest apart.
    """
    mean = summary["mean"] - other["mean"]
    below = np.array([summary["mean"] - summary["low"], other["high"] - other["mean"]])
    above = np.array([summary["high"] - summary["mean"], other["mean"] - other["low"]])
    few = "range" in (summary["interval"], other["interval"])
    down, up = (ends.sum() if few else np.hypot(*ends) for ends in (below, above))
    return {
        "mean": float(mean),
        "low": float(mean - down),
        "high": float(mean + up),
        "n": min(summary["n"], other["n"]),
        "interval": "range" if few else "difference",
    }


def _summary(interval: str, values: np.ndarray, low: float, high: float) -> Summary:
    return {
        "mean": float(values.mean()),
        "low": float(low),
        "high": float(high),
        "n": values.size,
        "interval": interval,
    }


def _student(mean: float, variance: float, degrees: float) -> tuple[float, float]:
    reach = scipy.stats.t.ppf(0.975, degrees) * np.sqrt(variance)
    return mean - reach, mean + reach


def _wilson(share: float, n: int) -> tuple[float, float]:
    interval = scipy.stats.binomtest(round(share * n), n).proportion_ci(method="wilson")
    return interval.low, interval.high


def area_values(scores: npt.ArrayLike, anomalous: npt.ArrayLike) -> np.ndarray:
    """Return what each example says of the area under the ROC curve: (n,), whose mean it is.

    scores, anomalous: (n,). The area is the chance that an anomalous example scores higher than
    another, equal scores counting half.

    DeLong et al. (1988): the area moves by the mean of the anomalous examples' chances to score
    higher than a normal one, and by that of the normal ones' to score lower. Averages over
    detectors and differences of two, of the same examples, are those of these values.

    Raises:
      BadInput: for fewer than two of either.
    """
    scores, anomalous = np.asarray(scores, np.float64), np.asarray(anomalous, bool)
    kinds = (anomalous, ~anomalous)
    if min(kind.sum() for kind in kinds) < 2:
        raise BadInput(
            f"{anomalous.sum()} of {len(anomalous)} examples are anomalous: give at least 2 of "
            "either kind"
        )
    ranks, values = scipy.stats.rankdata(scores), np.empty(len(scores))
    for kind, above in zip(kinds, (True, False), strict=True):
        count = kind.sum()
        below = (ranks[kind] - scipy.stats.rankdata(scores[kind])) / (len(scores) - count)
        chance = below if above else 1 - below
        area = chance.mean()
        # So scaled, the variance of the mean of all is the sum of the two kinds' own.
        scale = len(scores) / np.sqrt(count * (count - 1))
        values[kind] = area + scale * (chance - area)
    return values


def summarize_area(values: np.ndarray, seed: int = 0) -> Summary:
    """Do as `summarize` for `area_values`, or averages of them, whose mean lies in [0,1]."""
    summary = summarize(values, seed)
    return summary | {"low": max(summary["low"], 0.0), "high": min(summary["high"], 1.0)}
