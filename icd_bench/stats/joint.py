"""One bootstrap for many statistics at once: every draw takes the same samples for all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

from .intervals import check_level

Floats = NDArray[np.float64]

MOSTLY = 0.5
"""Share of the draws in which a band must be defined."""


@dataclass(frozen=True)
class Estimate:
    """A statistic of all samples, with its interval and a test of "it is 0"."""

    value: float
    low: float
    """NaN where there is no interval."""
    high: float
    p: float
    """Two-sided; below 1 - level just where the interval excludes 0. NaN without an interval."""
    defined: float
    """Share of the draws in which the statistic has a value."""


def joint_means(values: Floats, resamples: int = 2000, seed: int = 0) -> Floats:
    """Return means (resamples, ...) of samples drawn with replacement from values (N, ...).

    All columns share each draw, so that what they have in common on a sample stays together.
    """
    samples = len(values)
    even = np.full(samples, 1 / samples)
    drawn = np.random.default_rng(seed).multinomial(samples, even, size=resamples)
    means = drawn.astype(np.float64) @ values.reshape(samples, -1) / samples
    return means.reshape(resamples, *values.shape[1:])


def estimate(
    value: float, draws: Floats, samples: int, level: float = 0.95, enough: float = 0.95
) -> Estimate:
    """Return ``value`` with a t interval whose standard error is that of its bootstrap draws.

    Estimator: value +- t(N - 1) s, where s is the standard deviation of the draws times
    sqrt(N / (N - 1)). For a mean this is Student's interval, up to resampling error; for a smooth
    function of means it is the delta method's without its derivatives (Efron & Tibshirani 1993,
    section 12.2).

    Wrong when there are few samples (below about 20) and the statistic is far from linear, and
    near a kink, such as the hypervolume where two settings change places on the front: there the
    interval is about right in width but off centre.

    Args:
        value: the statistic of all samples.
        draws: (B,) the statistic of each bootstrap draw; NaN where it is undefined.
        samples: number of independent samples N.
        level: coverage, between 0 and 1.
        enough: share of the draws that must be defined for an interval to be given.

    Raises:
        ValueError: ``level`` is not between 0 and 1.
    """
    check_level(level)
    kept = draws[np.isfinite(draws)]
    defined = len(kept) / len(draws)
    if samples < 2 or not np.isfinite(value) or defined < enough:
        return Estimate(value, np.nan, np.nan, np.nan, defined)
    error = float(kept.std()) * np.sqrt(samples / (samples - 1))
    margin = float(stdtrit(samples - 1, (1 + level) / 2)) * error
    if error <= 1e-12 * max(abs(value), float(np.abs(kept).max())):
        p = 0.0 if value else 1.0
    else:
        p = 2 * float(stdtr(samples - 1, -abs(value) / error))
    return Estimate(value, value - margin, value + margin, p, defined)


def simultaneous_band(
    values: Floats, draws: Floats, samples: int, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return low and high ends (M,) of a band that holds a whole curve with probability ``level``.

    Estimator: values +- c s_m, where s_m is the standard deviation of the draws at place m and c
    the quantile of the largest studentised deviation over all places (Montiel Olea &
    Plagborg-Moller 2019, J. Appl. Econometrics 34(1), sup-t), widened for few samples as t is
    against the normal.

    Args:
        values: (M,) the curve of all samples.
        draws: (B, M) the curve of each draw; NaN where it is undefined. Places that less than half
            of the draws reach have no band.
        samples: number of independent samples N.
        level: coverage of all places together, between 0 and 1.

    Raises:
        ValueError: ``level`` is not between 0 and 1.
    """
    check_level(level)
    low, high = np.full_like(values, np.nan), np.full_like(values, np.nan)
    reached = np.isfinite(draws)
    count = reached.sum(axis=0)
    there = np.isfinite(values) & (count > MOSTLY * len(draws))
    if samples < 2 or not there.any():
        return low, high
    deviations = np.where(reached, draws - values, 0.0)[:, there]
    spread = np.sqrt((deviations**2).sum(axis=0) / count[there])
    tiny = spread <= 1e-12 * np.abs(values[there]).max(initial=0.0)
    largest = np.abs(deviations / np.where(tiny, np.inf, spread)).max(axis=1)
    few = float(stdtrit(samples - 1, (1 + level) / 2) / ndtri((1 + level) / 2))
    margin = float(np.quantile(largest, level)) * few * spread * np.sqrt(samples / (samples - 1))
    low[there], high[there] = values[there] - margin, values[there] + margin
    return low, high
