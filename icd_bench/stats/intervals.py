"""Means and paired differences with t intervals, for independent or clustered values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from .grouping import Clusters, Grouped, group


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its confidence interval."""

    mean: float
    """Of the n finite values. Infinite where every value that is not missing is the same
    infinity (then low and high are too); NaN where there is none."""
    low: float
    """NaN where there are fewer than two independent values or clusters."""
    high: float
    n: int
    """Finite values."""
    excluded: int
    """Values left out: missing (NaN) or infinite."""
    infinite: int = 0
    """How many of the excluded ones are infinite."""


@dataclass(frozen=True)
class PairedDifference:
    """The mean of a - b over pairs, with its confidence interval and a test of "no difference"."""

    mean: float
    """Of the n finite differences; infinite or NaN as in :class:`MeanInterval`."""
    low: float
    """NaN where there are fewer than two independent pairs or clusters."""
    high: float
    p: float
    """Two-sided; below 1 - level where the interval excludes 0. NaN where there is no interval."""
    n: int
    """Pairs with a finite difference."""
    excluded: int
    """Pairs left out: a side is missing or infinite."""
    infinite: int = 0
    """How many of the excluded ones have an infinite difference: only one side is infinite. Where
    both are (both pictures perfect) the difference is undefined and counts as missing."""


def mean_interval(
    values: ArrayLike, level: float = 0.95, clusters: Clusters | None = None
) -> MeanInterval:
    """Return the mean of the finite values with a t interval.

    Estimator: mean +- t(G - 1) s with s^2 = G / (G - 1) sum_g r_g^2 / n^2, where r_g is the sum of
    the residuals of cluster g out of G (Liang & Zeger 1986, Biometrika 73(1)). Without clusters
    every value is its own, which makes it Student's interval.

    Wrong when

    - dependent values (several edits of one picture) come without clusters: too narrow;
    - clusters are few (below about 20) and of very different size: too narrow;
    - values are strongly skewed and few: one-sided errors
      (prefer :func:`icd_bench.stats.bootstrap.bootstrap_interval`);
    - all values are equal, as a share of 1.0 over a few samples: the width is 0.

    Args:
        values: (N,) numbers; NaN and infinities are left out and counted.
        level: coverage, between 0 and 1.
        clusters: (N,) labels; values with the same label are not independent.

    Raises:
        ValueError: the lengths differ, or ``level`` is not between 0 and 1.
    """
    check_level(level)
    data = group(values, clusters)
    margin = _margin(data, level)
    return MeanInterval(
        mean=data.mean,
        low=data.mean - margin,
        high=data.mean + margin,
        n=data.n,
        excluded=data.excluded,
        infinite=data.infinite,
    )


def paired_difference(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, clusters: Clusters | None = None
) -> PairedDifference:
    """Return the mean of a - b with a t interval and the p value of the paired t test.

    Estimator and limits as in :func:`mean_interval`, applied to the differences. What two methods
    have in common on a sample (an easy picture) cancels; the order of the pairs does not matter,
    but a[i] and b[i] must belong to the same sample.

    Args:
        a: (N,) scores of one method.
        b: (N,) scores of the other on the same samples.
        level: coverage, between 0 and 1.
        clusters: (N,) labels; pairs with the same label are not independent.

    Raises:
        ValueError: the lengths differ, or ``level`` is not between 0 and 1.
    """
    check_level(level)
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"a and b are pairs: got shapes {first.shape} and {second.shape}")
    with np.errstate(invalid="ignore"):
        data = group(first - second, clusters)
    margin = _margin(data, level)
    return PairedDifference(
        mean=data.mean,
        low=data.mean - margin,
        high=data.mean + margin,
        p=_p_value(data),
        n=data.n,
        excluded=data.excluded,
        infinite=data.infinite,
    )


def check_level(level: float) -> None:
    """Raise ValueError unless ``level`` is between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level: {level} is not between 0 and 1")


def standard_error(data: Grouped) -> float:
    """Return the cluster-robust standard error of the mean of at least two clusters."""
    clusters = len(data)
    return float(np.sqrt(clusters / (clusters - 1) * np.square(data.residuals).sum()) / data.n)


def _margin(data: Grouped, level: float) -> float:
    """Return half the width of the interval; 0 around an infinite mean."""
    if np.isinf(data.mean):
        return 0.0
    if len(data) < 2:
        return np.nan
    return float(stdtrit(len(data) - 1, (1 + level) / 2)) * standard_error(data)


def _p_value(data: Grouped) -> float:
    """Return the two-sided p value of "the mean is 0"."""
    if len(data) < 2:
        return np.nan
    error = standard_error(data)
    if error == 0:
        return 1.0 if data.mean == 0 else 0.0
    return 2 * float(stdtr(len(data) - 1, -abs(data.mean) / error))
