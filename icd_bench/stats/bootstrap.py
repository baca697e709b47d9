"""Bootstrap intervals: for skewed scores, and for whatever has no formula."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from .grouping import Clusters, Grouped, group
from .intervals import MeanInterval, check_level

DRAWS_AT_ONCE = 2**22
"""Counts in memory at a time: 32 MiB."""


def bootstrap_interval(
    values: ArrayLike,
    level: float = 0.95,
    clusters: Clusters | None = None,
    resamples: int = 4000,
    seed: int = 0,
) -> MeanInterval:
    """Return the mean of the finite values with a bias-corrected accelerated bootstrap interval.

    Estimator: BCa (Efron 1987, JASA 82(397)) with the jackknife's acceleration, resampling whole
    clusters. The same values in any order give the same interval.

    Wrong when there are few values or clusters (below about 20): too narrow, and the t interval
    is better; when all values are equal: the width is 0. Its ends carry a resampling error of
    about 2 % of the width at 4000 resamples.

    Args:
        values: (N,) numbers; NaN and infinities are left out and counted.
        level: coverage, between 0 and 1.
        clusters: (N,) labels; values with the same label are not independent.
        resamples: number of bootstrap means.
        seed: of the resampling.

    Raises:
        ValueError: the lengths differ, or ``level`` is not between 0 and 1.
    """
    check_level(level)
    data = group(values, clusters)
    low, high = _bca(data, level, resamples, seed)
    return MeanInterval(data.mean, low, high, data.n, data.excluded, data.infinite)


def resampled_deviations(data: Grouped, resamples: int, seed: int) -> NDArray[np.float64]:
    """Return (resamples,) means over G clusters drawn with replacement, less the mean of all."""
    rng = np.random.default_rng(seed)
    clusters = len(data)
    even = np.full(clusters, 1 / clusters)
    deviations = np.empty(resamples)
    step = max(1, DRAWS_AT_ONCE // clusters)
    for start in range(0, resamples, step):
        part = deviations[start : start + step]
        drawn = rng.multinomial(clusters, even, size=len(part)).astype(np.float64)
        part[:] = drawn @ data.residuals / (drawn @ data.counts)
    return deviations


def _bca(data: Grouped, level: float, resamples: int, seed: int) -> tuple[float, float]:
    """Return the ends of the interval (Efron 1987, eqs. 2.3 and 6.6)."""
    if np.isinf(data.mean):
        return data.mean, data.mean
    if len(data) < 2:
        return np.nan, np.nan
    influence = data.residuals / (data.n - data.counts)
    influence -= influence.mean()
    largest = np.abs(influence).max()
    if largest == 0:
        return data.mean, data.mean
    influence /= largest
    acceleration = (influence**3).sum() / (6 * np.square(influence).sum() ** 1.5)

    deviations = resampled_deviations(data, resamples, seed)
    tie = np.abs(deviations) <= 1e-9 * np.abs(data.residuals).max()
    below = np.count_nonzero((deviations < 0) & ~tie) + np.count_nonzero(tie) / 2
    # Half a count keeps the correction finite where all means lie on one side.
    bias = ndtri((below + 0.5) / (resamples + 1))
    z = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(deviations, ndtr(bias + z / (1 - acceleration * z)))
    return data.mean + float(low), data.mean + float(high)
