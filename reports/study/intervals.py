"""Variance and intervals of statistics whose data are crossed: prompts times raters.

A vote is one cell of a table of prompts by raters. Votes on one prompt go together, and so do
votes of one rater; resampling single votes ignores both and covers far less than it promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import expit

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Weights (B, N) of N observations to B draws of K statistics (B, K); NaN where undefined."""
Scale = Literal["identity", "logit"]

CHUNK = 200
"""Draws that are evaluated together; bounds memory, not results."""


@dataclass(frozen=True)
class TwoWayEstimate:
    """K statistics with their variance over prompts and raters; arrays are (K,) where not said."""

    estimate: Floats
    variance: Floats
    df: Floats
    """Degrees of freedom of ``variance``; few raters make few."""
    level: float
    clusters: tuple[int, int]
    """Prompts and raters."""

    @property
    def se(self) -> Floats:
        """Standard errors (K,)."""
        return np.sqrt(self.variance)

    def studentised(self, scale: Scale = "identity") -> tuple[Floats, Floats]:
        """Low and high ends of t intervals, symmetric on ``scale``."""
        half = stats.t.ppf(0.5 + self.level / 2, self.df) * self._se_on(scale)
        middle = _onto(self.estimate, scale)
        return _back(middle - half, scale), _back(middle + half, scale)

    def p_values(self, null: float, scale: Scale = "identity") -> Floats:
        """Two-sided p-values (K,) of ``null``; below 1 - level just where the interval omits it."""
        away = np.abs(_onto(self.estimate, scale) - _onto(np.array([null]), scale))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(2 * stats.t.sf(away / self._se_on(scale), self.df))

    def percentile(self, draws: Floats) -> tuple[Floats, Floats]:
        """Ends of intervals with the shape of ``pigeonhole`` draws and the width of ``variance``.

        For skewed statistics, such as correlations; where they are bounded, clip the ends.
        """
        tail = (1 - self.level) / 2
        mean, spread_squared = _moments(draws)
        spread = np.sqrt(spread_squared)
        stretch = stats.t.ppf(1 - tail, self.df) / stats.norm.ppf(1 - tail)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(spread > 0, self.se / spread * stretch, 1.0)
        around = quantiles(draws - mean, [tail, 1 - tail])
        ends = self.estimate + factor * around
        return ends[0], ends[1]

    def _se_on(self, scale: Scale) -> Floats:
        if scale == "identity":
            return self.se
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.se / (self.estimate * (1 - self.estimate))


def two_way(
    statistic: Statistic,
    prompts: ArrayLike,
    raters: ArrayLike,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> TwoWayEstimate:
    """Bootstrap ``statistic`` over prompts and raters.

    The variance is V = V_prompts + V_raters - V_cells, each from one-way cluster bootstraps
    (Cameron, Gelbach and Miller, 2011, eq. 2.11; G / (G - 1) for each), where a cell holds what
    one rater said about one prompt, and never less than any of the three. The plain
    pigeonhole bootstrap (Owen, 2007), which multiplies both weights, counts the noise of single
    votes three times.
    Degrees of freedom are Satterthwaite's over the terms that count: that of the cells, and those
    of prompts and raters where they exceed it. Simulated coverage: ``coverage``.

    Wrong when there are fewer than about five raters or prompts (intervals too short; with one
    of them its variance is taken as zero, that is, the result holds for this rater or prompt
    only), and when prompts were chosen because of how the methods did on them.

    Args:
        statistic: from weights (B, N) to (B, K).
        prompts: (N,) label of the prompt of each observation.
        raters: (N,) label of the rater of each observation.
        draws: bootstrap draws B of each of the three bootstraps.
        seed: the same seed, the same numbers, whatever the order of the labels.
        level: nominal coverage.
    """
    prompt, n_prompts = _codes(prompts)
    rater, n_raters = _codes(raters)
    cell, n_cells = _codes(prompt * n_raters + rater)

    over_prompts = _variance(statistic, prompt, n_prompts, draws, [seed, 0])
    over_raters = _variance(statistic, rater, n_raters, draws, [seed, 1])
    over_cells = _variance(statistic, cell, n_cells, draws, [seed, 2])
    parts = np.stack([over_prompts, over_raters, over_cells])
    freedom = np.array([[n_prompts - 1], [n_raters - 1], [n_cells - 1]], dtype=float)
    if min(n_prompts, n_raters) == 1:
        # The cells are then the clusters of the other kind: one term, not three.
        parts, freedom = parts[2:], freedom[2:]
        variance = parts[0]
        counted = np.ones(parts.shape, dtype=bool)
    else:
        together = over_prompts + over_raters - over_cells
        variance = np.maximum(together, parts.max(axis=0))
        counted = (parts > over_cells) | (np.arange(3) == 2)[:, None]

    with np.errstate(divide="ignore", invalid="ignore"):
        noise = np.where(counted & (parts > 0), parts**2 / freedom, 0.0).sum(axis=0)
        df = np.where(noise > 0, variance**2 / noise, np.inf)

    whole = statistic(np.ones((1, len(prompt))))[0]
    return TwoWayEstimate(whole, variance, df, level, (n_prompts, n_raters))


def pigeonhole(
    statistic: Statistic, prompts: ArrayLike, raters: ArrayLike, *, draws: int = 2000, seed: int = 0
) -> Floats:
    """Draws (B, K) under product weights: prompts and raters both resampled (Owen, 2007).

    Their percentiles are safe and too wide; see ``two_way``.
    """
    prompt, n_prompts = _codes(prompts)
    rater, n_raters = _codes(raters)
    chunks = zip(
        _multiplicities(n_prompts, draws, [seed, 3]),
        _multiplicities(n_raters, draws, [seed, 4]),
        strict=True,
    )
    return np.concatenate(
        [statistic(weights[:, prompt] * others[:, rater]) for weights, others in chunks]
    )


def one_way(
    statistic: Statistic,
    clusters: ArrayLike,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[Floats, Floats]:
    """Percentile ends (K,) of a bootstrap over one kind of cluster, all else taken as given.

    Wrong (too short) where the result is meant to hold for other raters than these.
    """
    code, count = _codes(clusters)
    values = np.concatenate(
        [statistic(weights[:, code]) for weights in _multiplicities(count, draws, [seed, 0])]
    )
    tail = (1 - level) / 2
    ends = quantiles(values, [tail, 1 - tail])
    return ends[0], ends[1]


def quantiles(values: Floats, at: list[float]) -> Floats:
    """Quantiles (len(at), K) of draws (B, K); NaN where most draws are undefined."""
    defined = np.isfinite(values).mean(axis=0) > 0.5
    ends = np.full((len(at), values.shape[1]), np.nan)
    if defined.any():
        ends[:, defined] = np.nanquantile(values[:, defined], at, axis=0)
    return ends


def _codes(labels: ArrayLike) -> tuple[NDArray[np.int64], int]:
    names, codes = np.unique(np.asarray(labels), return_inverse=True)
    return codes.reshape(-1).astype(np.int64), len(names)


def _multiplicities(clusters: int, draws: int, seed: list[int]) -> Iterator[Floats]:
    """How often each cluster is drawn: chunks (b, clusters) of B resamples with replacement."""
    generator = np.random.default_rng(seed)
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start)
        drawn = generator.integers(clusters, size=(size, clusters))
        drawn += np.arange(size)[:, None] * clusters
        counts = np.bincount(drawn.reshape(-1), minlength=size * clusters)
        yield counts.reshape(size, clusters).astype(np.float64)


def _variance(
    statistic: Statistic,
    code: NDArray[np.int64],
    clusters: int,
    draws: int,
    seed: list[int],
) -> Floats:
    values = np.concatenate(
        [statistic(weights[:, code]) for weights in _multiplicities(clusters, draws, seed)]
    )
    return _moments(values)[1] * clusters / max(clusters - 1, 1)


def _moments(values: Floats) -> tuple[Floats, Floats]:
    """Mean and variance (K,) of draws (B, K); NaN where most draws are undefined."""
    defined = np.isfinite(values)
    count = defined.sum(axis=0)
    enough = count > len(values) / 2
    filled = np.where(defined, values, 0.0)
    mean = np.where(enough, filled.sum(axis=0) / np.maximum(count, 1), np.nan)
    away = np.where(defined, values - mean, 0.0)
    return mean, np.where(enough, (away**2).sum(axis=0) / np.maximum(count, 1), np.nan)


def _onto(value: Floats, scale: Scale) -> Floats:
    if scale == "identity":
        return np.asarray(value)
    with np.errstate(divide="ignore"):
        return np.log(value) - np.log1p(-value)


def _back(value: Floats, scale: Scale) -> Floats:
    return value if scale == "identity" else np.asarray(expit(value))
