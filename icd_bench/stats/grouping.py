"""Scores as every estimator needs them: finite ones summed by cluster, the others counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Clusters = Sequence[Any] | NDArray[Any]
"""One label per value, such as the id of its source picture."""


@dataclass(frozen=True)
class Grouped:
    """N values in G clusters. Without clusters every value is a cluster of its own."""

    mean: float
    """Of the finite values. Infinite where every value that is not NaN is the same infinity,
    NaN where there is none."""
    residuals: NDArray[np.float64]
    """(G,) sum over each cluster's finite values of value - mean, ascending."""
    counts: NDArray[np.float64]
    """(G,) how many finite values each cluster has, at least one."""
    excluded: int
    """Values that are NaN or infinite."""
    infinite: int
    """How many of the excluded ones are infinite."""

    @property
    def n(self) -> int:
        """Number of finite values."""
        return int(self.counts.sum())

    def __len__(self) -> int:
        return len(self.counts)


def group(values: ArrayLike, clusters: Clusters | None = None) -> Grouped:
    """Sum finite values by cluster, and count the others.

    Args:
        values: (N,) numbers.
        clusters: (N,) labels; values with the same label are not independent.

    Raises:
        ValueError: ``values`` has more than one axis, or the lengths differ.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"values: expected one axis, got shape {array.shape}")
    finite, infinite = np.isfinite(array), np.isinf(array)
    kept = array[finite]
    mean = float(kept.mean()) if len(kept) else _limit(array[infinite])
    residuals: NDArray[np.float64] = kept - mean
    counts: NDArray[np.float64] = np.ones(len(kept))
    if clusters is not None:
        if len(clusters) != len(array):
            raise ValueError(f"clusters: {len(clusters)} labels for {len(array)} values")
        _, index = np.unique(np.asarray(clusters)[finite], return_inverse=True)
        residuals, counts = _sum_by(index, residuals), _sum_by(index, counts)

    # A fixed order, blind to rounding, makes resampling independent of the order of the scores.
    largest = np.abs(residuals).max(initial=0) or 1
    order = np.lexsort((counts, np.round(residuals / largest, 9)))
    return Grouped(
        mean=mean,
        residuals=residuals[order],
        counts=counts[order],
        excluded=int((~finite).sum()),
        infinite=int(infinite.sum()),
    )


def _sum_by(index: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount(index, values).astype(np.float64)


def _limit(infinities: NDArray[np.float64]) -> float:
    """Return the infinity that all values share, or NaN."""
    alike = len(infinities) > 0 and bool((infinities == infinities[0]).all())
    return float(infinities[0]) if alike else np.nan
