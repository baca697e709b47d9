"""Frechet distance between two sets of features, each taken for a normal distribution.

Dowson & Landau 1982, J. Multivariate Anal. 12(3); the statistic of FID (Heusel et al. 2017, arXiv
1706.08500), which is this distance on the features of one Inception network and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .joint import Estimate, Floats, estimate


@dataclass(frozen=True)
class Gaussian:
    """Mean (D,) and covariance (D, D) of features."""

    mean: Floats
    covariance: Floats

    @classmethod
    def of(cls, features: NDArray[np.floating], counts: Floats | None = None) -> Gaussian:
        """Fit features (N, D), each counted as often as ``counts`` (N,) says (default: once)."""
        rows = features.astype(np.float64)
        weights = np.ones(len(rows)) if counts is None else counts
        total = weights.sum()
        mean = weights @ rows / total
        centred = rows - mean
        return cls(mean, (centred * weights[:, None]).T @ centred / (total - 1))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Return |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), at least 0."""
    return _distance(a, b, _root(b.covariance))


def frechet_interval(
    features: NDArray[np.floating],
    reference: Gaussian,
    level: float = 0.95,
    resamples: int = 200,
    seed: int = 0,
) -> Estimate:
    """Return the distance of features (N, D) to a reference, with a bootstrap interval.

    The interval is for N samples as they are: like FID the distance is biased upwards, the more
    the fewer samples, and only distances of equal N compare.

    Args:
        features: one row a sample.
        reference: what they are compared with; taken as exact.
        level: coverage.
        resamples: bootstrap draws of samples.
        seed: of the draws; the same for all features of the same samples.
    """
    samples, size = features.shape
    root = _root(reference.covariance)
    few = _FewSamples.of(features, reference, root) if samples < size else None

    def distance(counts: Floats) -> float:
        if few is not None:
            return few.distance(counts)
        return _distance(Gaussian.of(features, counts), reference, root)

    rng = np.random.default_rng(seed)
    even = np.full(samples, 1 / samples)
    draws = np.array(
        [distance(rng.multinomial(samples, even).astype(np.float64)) for _ in range(resamples)]
    )
    return estimate(distance(np.ones(samples)), draws, samples, level)


@dataclass(frozen=True)
class _FewSamples:
    """Distances of resampled features (N, D) with N below D, from matrices (N, N) alone.

    With rows x_i of counts w_i and R = C_b^(1/2), R C_a R and the matrix of the inner products of
    sqrt(w_i / (n - 1)) R (x_i - mean) have the same eigenvalues above 0.
    """

    features: Floats
    products: Floats
    """(N, N): of the rows, less the reference's mean."""
    seen: Floats
    """(N, N): the same of R times the rows."""
    spread: float
    """tr C_b."""

    @classmethod
    def of(cls, features: NDArray[np.floating], reference: Gaussian, root: Floats) -> _FewSamples:
        rows = features.astype(np.float64) - reference.mean
        through = rows @ root
        spread = float(np.trace(reference.covariance))
        return cls(rows, rows @ rows.T, through @ through.T, spread)

    def distance(self, counts: Floats) -> float:
        """Return the distance where row i is there ``counts[i]`` times."""
        drawn = np.flatnonzero(counts)
        weights = counts[drawn]
        total = weights.sum()
        mean = weights @ self.features[drawn] / total
        apart = float(np.square(mean).sum())
        inner = self.products[drawn, drawn]
        trace = float(weights @ inner - total * apart) / (total - 1)
        scale = np.sqrt(weights / (total - 1))
        centred = _centred(self.seen[np.ix_(drawn, drawn)], weights / total)
        shared = np.linalg.eigvalsh(centred * np.outer(scale, scale)).clip(min=0)
        return max(0.0, float(apart + trace + self.spread - 2 * np.sqrt(shared).sum()))


def _centred(products: Floats, shares: Floats) -> Floats:
    """Return the inner products of rows less their mean, of which each has its share."""
    across = products @ shares
    centred: Floats = products - across[:, None] - across[None, :] + shares @ across
    return centred


def _distance(a: Gaussian, b: Gaussian, root_b: Floats) -> float:
    """Use tr (C_a C_b)^(1/2) = tr (R C_a R)^(1/2) with R = C_b^(1/2), which is symmetric."""
    shared = np.linalg.eigvalsh(root_b @ a.covariance @ root_b).clip(min=0)
    apart = np.square(a.mean - b.mean).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.sqrt(shared).sum()
    return max(0.0, float(apart + spread))


def _root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root
