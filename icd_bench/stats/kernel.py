"""Kernel distance between two sets of features: the statistic of KID.

Binkowski et al. 2018, arXiv:1801.01401: the unbiased squared maximum mean discrepancy with the
kernel (x.y/D + 1)^3.
"""

from __future__ import annotations

import numpy as np

from .joint import Estimate, Floats, estimate


def kernel_distance(a: Floats, b: Floats) -> float:
    """Return the distance of N samples (N, D) to M samples (M, D), N and M at least 2."""
    return (
        _mean_of_pairs(_kernel(a, a))
        + _mean_of_pairs(_kernel(b, b))
        - 2 * float(_kernel(a, b).mean())
    )


def kernel_interval(
    a: Floats, b: Floats, level: float = 0.95, resamples: int = 200, seed: int = 0
) -> Estimate:
    """Return the distance with a bootstrap interval over the samples of ``a``; b is exact.

    A sample that is drawn several times makes no pair with itself, so that draws stay unbiased.

    Args:
        a: (N, D).
        b: (M, D).
        level: coverage.
        resamples: bootstrap draws of samples.
        seed: of the draws; the same for all features of the same samples.
    """
    within, across = _kernel(a, a), _kernel(a, b).mean(axis=1)
    np.fill_diagonal(within, 0.0)
    rest = _mean_of_pairs(_kernel(b, b))

    def distance(counts: Floats) -> float:
        total = counts.sum()
        pairs = total**2 - np.square(counts).sum()
        return float(counts @ within @ counts / pairs + rest - 2 * counts @ across / total)

    samples = len(a)
    rng = np.random.default_rng(seed)
    even = np.full(samples, 1 / samples)
    draws = np.array(
        [distance(rng.multinomial(samples, even).astype(np.float64)) for _ in range(resamples)]
    )
    return estimate(distance(np.ones(samples)), draws, samples, level)


def _kernel(x: Floats, y: Floats) -> Floats:
    values: Floats = (x @ y.T / x.shape[1] + 1) ** 3
    return values


def _mean_of_pairs(kernel: Floats) -> float:
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))
