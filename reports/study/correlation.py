"""How well one set of numbers orders another: weighted rank statistics over B draws at once.

Weights are multiplicities: an item of weight 2 counts as if it stood there twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from icd_bench.reports.study.intervals import Floats

NEARLY_ONE = 1 - 1e-9


def weighted_ranks(values: Floats, weights: Floats) -> Floats:
    """Mid-ranks (B, N) of weighted items, ties sharing theirs.

    Args:
        values: (N,) or (B, N), finite.
        weights: (B, N) of at least 0; an item of weight 0 moves no other item's rank.
    """
    if values.ndim == 1:
        order = np.broadcast_to(np.argsort(values, kind="stable"), weights.shape)
        values = np.broadcast_to(values, weights.shape)
    else:
        order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    weight = np.take_along_axis(weights, order, axis=1)
    upto = np.cumsum(weight, axis=1)
    new = np.ones(ordered.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    last = np.ones(ordered.shape, dtype=bool)
    last[:, :-1] = new[:, 1:]
    below = np.maximum.accumulate(np.where(new, upto - weight, -np.inf), axis=1)
    through = np.minimum.accumulate(np.where(last, upto, np.inf)[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(ordered.shape)
    np.put_along_axis(ranks, order, (below + through + 1) / 2, axis=1)
    return ranks


def weighted_pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Pearson's correlation (B,) of (B, N) under weights (B, N); NaN where one is constant."""
    total = np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    norm = np.sqrt((weights * x**2).sum(axis=1) * (weights * y**2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = (weights * x * y).sum(axis=1) / norm
    return np.where(norm > 1e-9, np.clip(rho, -1, 1), np.nan)


def weighted_spearman(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Spearman's rank correlation (B,) with mid-ranks for ties; NaN where one is constant.

    Wrong as a measure of agreement: it does not see a shift or a stretch of the scale.
    """
    return weighted_pearson(weighted_ranks(x, weights), weighted_ranks(y, weights), weights)


def grouped_spearman(x: Floats, y: Floats, weights: Floats, groups: NDArray[np.int64]) -> Floats:
    """Spearman's correlation within each group, averaged through arctanh (Fisher, 1921); (B,).

    Groups in which one side is constant have no correlation and stay out of the average, so
    with few such groups left the average speaks for those only.
    """
    within = np.stack(
        [
            weighted_spearman(
                x[..., groups == group], y[..., groups == group], weights[:, groups == group]
            )
            for group in np.unique(groups)
        ]
    )
    defined = np.isfinite(within)
    z = np.arctanh(np.clip(np.where(defined, within, 0.0), -NEARLY_ONE, NEARLY_ONE))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.tanh(z.sum(axis=0) / defined.sum(axis=0)))


def pair_accuracy(people: Floats, scorer: Floats, weights: Floats) -> Floats:
    """Share (B,) of decided pairs that a scorer orders as people do; its ties count one half.

    Args:
        people: (B, P) signed differences; pairs at 0 are undecided and stay out.
        scorer: (P,) or (B, P) signed differences.
        weights: (B, P).
    """
    decided = weights * (people != 0)
    credit = (1 + np.sign(people) * np.sign(scorer)) / 2
    with np.errstate(invalid="ignore"):
        return np.asarray((decided * credit).sum(axis=1) / decided.sum(axis=1))


def means_spearman(x: Floats, y: Floats, weights: Floats, groups: NDArray[np.int64]) -> Floats:
    """Spearman's correlation (B,) of the group means of x and y.

    Wrong as a promise about single items: few groups make it coarse and generous.
    """
    member = (groups[:, None] == np.unique(groups)).astype(np.float64)
    total = weights @ member
    with np.errstate(divide="ignore", invalid="ignore"):
        x_mean = np.round((weights * x) @ member / total, 12)
        y_mean = np.round((weights * y) @ member / total, 12)
    present = (total > 0).astype(np.float64)
    return weighted_spearman(np.nan_to_num(x_mean), np.nan_to_num(y_mean), present)


def paired_t(differences: Floats) -> Floats:
    """Paired t statistics (P,) over the rows of (I, P); NaN entries are absent.

    Infinite where all differences are the same and not 0, NaN with fewer than two.
    """
    there = np.isfinite(differences)
    count = there.sum(axis=0)
    filled = np.where(there, differences, 0.0)
    mean = filled.sum(axis=0) / np.maximum(count, 1)
    squares = np.where(there, (differences - mean) ** 2, 0.0).sum(axis=0)
    se = np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(mean == 0, 0.0, mean / se)
    return np.where(count >= 2, t, np.nan)
