"""What people answered about edits, as arrays; read by any statistic under any weights.

Ratings and pairwise votes come to the same: a value for each edit, a difference for each pair of
methods on one image, and weights over (image, rater).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icd_bench.errors import UsageError
from icd_bench.reports.study.intervals import Floats
from icd_bench.reports.study.votes import judgements

DECIMALS: Final = 9
"""Means of ratings are rounded so that equal ones are equal in whatever order they are summed."""


@dataclass(frozen=True)
class People:
    """Sums and counts of answers: images I, methods M, pairs of methods P, raters R."""

    images: tuple[str, ...]
    methods: tuple[str, ...]
    raters: tuple[str, ...]
    pairs: NDArray[np.int64]
    """(P, 2)"""
    item_sum: Floats
    """(I, R, M)"""
    item_count: Floats
    pair_sum: Floats | None
    """(I, R, P) signed votes; None where differences are those of the items' means."""
    pair_count: Floats | None
    simulated: bool = False


@dataclass(frozen=True)
class Sums:
    """Sums and counts over raters: (B, I, M) of items and, for votes, (B, I, P) of pairs."""

    item_sum: Floats
    item_count: Floats
    pair_sum: Floats | None
    pair_count: Floats | None


@dataclass(frozen=True)
class View:
    """People's values in B draws, and how much each of them weighs there."""

    items: Floats
    """(B, I, M)"""
    item_weights: Floats
    item_there: NDArray[np.bool_]
    """(I, M): someone answered."""
    pairs: Floats
    """(B, I, P)"""
    pair_weights: Floats
    pair_there: NDArray[np.bool_]


def read_people(answers: pd.DataFrame, question: str) -> People:
    """The answers to one question: votes (``votes.read_votes``) or ratings, by their columns.

    An edit's value is its rating, or 1, 1/2 or 0 for each of its comparisons.

    Raises:
        UsageError: nobody answered ``question``, or a rater rated one edit twice.
    """
    asked = answers[answers["question"] == question]
    if asked.empty:
        known = ", ".join(sorted(set(answers["question"])))
        raise UsageError(f"no answers to question {question!r}; there are {known}")
    return _from_votes(asked) if "outcome" in answers else _from_ratings(asked)


def _from_ratings(ratings: pd.DataFrame) -> People:
    if ratings.duplicated(["sample", "method", "rater"]).any():
        raise UsageError("a rater has two ratings of one edit; keep one")
    images, image = np.unique(ratings["sample"].to_numpy(str), return_inverse=True)
    methods, method = np.unique(ratings["method"].to_numpy(str), return_inverse=True)
    raters, rater = np.unique(ratings["rater"].to_numpy(str), return_inverse=True)
    item_sum = np.zeros((len(images), len(raters), len(methods)))
    item_count = np.zeros_like(item_sum)
    item_sum[image, rater, method] = ratings["value"].to_numpy(float)
    item_count[image, rater, method] = 1
    pairs = np.array(list(combinations(range(len(methods)), 2)), dtype=np.int64).reshape(-1, 2)
    return People(
        tuple(images), tuple(methods), tuple(raters), pairs, item_sum, item_count, None, None
    )


def _from_votes(votes: pd.DataFrame) -> People:
    judged = judgements(votes)
    if judged.empty:
        raise UsageError("no judgements among the votes: all are checks, repeats or skips")
    images, image = np.unique(judged["sample"].to_numpy(str), return_inverse=True)
    raters, rater = np.unique(judged["rater"].to_numpy(str), return_inverse=True)
    first, second = judged["method_a"].to_numpy(str), judged["method_b"].to_numpy(str)
    methods = np.unique(np.concatenate([first, second]))
    sides = np.column_stack([np.searchsorted(methods, first), np.searchsorted(methods, second)])
    pairs, pair = np.unique(sides, axis=0, return_inverse=True)
    score = judged["score"].to_numpy(float)

    pair_sum = np.zeros((len(images), len(raters), len(pairs)))
    pair_count = np.zeros_like(pair_sum)
    np.add.at(pair_sum, (image, rater, pair.reshape(-1)), 2 * score - 1)
    np.add.at(pair_count, (image, rater, pair.reshape(-1)), 1)
    item_sum = np.zeros((len(images), len(raters), len(methods)))
    item_count = np.zeros_like(item_sum)
    for side, won in ((0, score), (1, 1 - score)):
        np.add.at(item_sum, (image, rater, sides[:, side]), won)
        np.add.at(item_count, (image, rater, sides[:, side]), 1)
    return People(
        *(tuple(images), tuple(methods), tuple(raters), pairs.astype(np.int64)),
        *(item_sum, item_count, pair_sum, pair_count),
        simulated=bool(votes["simulated"].any()),
    )


def view_of(people: People, sums: Sums, whole: Sums, own_weight: Floats | None = None) -> View:
    """What people say in B draws.

    Args:
        people: whose answers.
        sums: the answers in B draws.
        whole: the answers, each counted once; an edit weighs the share of them that was drawn.
        own_weight: (B, I, 1) weight of the one rater who is compared, in place of that share.
    """
    left, right = people.pairs.T
    items = _ratio(sums.item_sum, sums.item_count)
    item_weights = _shares(sums.item_count, whole.item_count, own_weight)
    item_there = whole.item_count[0] > 0
    if sums.pair_sum is None or sums.pair_count is None or whole.pair_count is None:
        seen = (sums.item_count[:, :, left] > 0) & (sums.item_count[:, :, right] > 0)
        return View(
            items,
            item_weights,
            item_there,
            pairs=np.round(items[:, :, left] - items[:, :, right], DECIMALS),
            pair_weights=seen * (item_weights[:, :, left] + item_weights[:, :, right]) / 2,
            pair_there=item_there[:, left] & item_there[:, right],
        )
    return View(
        items,
        item_weights,
        item_there,
        pairs=_ratio(sums.pair_sum, sums.pair_count),
        pair_weights=_shares(sums.pair_count, whole.pair_count, own_weight),
        pair_there=whole.pair_count[0] > 0,
    )


def sum_answers(people: People, weights: Floats) -> Sums:
    """Sum over raters under weights (B, I, R)."""
    return Sums(
        *(_weighted(weights, table) for table in (people.item_sum, people.item_count)),
        *(
            None if table is None else _weighted(weights, table)
            for table in (people.pair_sum, people.pair_count)
        ),
    )


def leave_out(people: People, weights: Floats, sums: Sums, rater: int) -> Sums:
    """``sums`` under ``weights`` without what one rater said."""
    own = weights[:, :, rater, None]

    def less(total: Floats | None, table: Floats | None) -> Floats | None:
        return None if total is None or table is None else total - own * table[:, rater]

    return Sums(
        sums.item_sum - own * people.item_sum[:, rater],
        sums.item_count - own * people.item_count[:, rater],
        less(sums.pair_sum, people.pair_sum),
        less(sums.pair_count, people.pair_count),
    )


def _weighted(weights: Floats, table: Floats) -> Floats:
    """Sums (B, I, K) over raters of a table (I, R, K) under weights (B, I, R)."""
    return np.asarray(np.matmul(weights.transpose(1, 0, 2), table).transpose(1, 0, 2))


def _ratio(over: Floats, under: Floats) -> Floats:
    return np.round(over / np.where(under > 0, under, 1.0), DECIMALS)


def _shares(drawn: Floats, whole: Floats, own_weight: Floats | None) -> Floats:
    if own_weight is not None:
        return own_weight * (drawn > 0)
    return drawn / np.where(whole > 0, whole, 1.0)


def mean_differences(people: People) -> Floats:
    """(I, P) mean differences between methods; NaN where one has no answer."""
    left, right = people.pairs.T
    if people.pair_sum is not None and people.pair_count is not None:
        total, count = people.pair_sum.sum(axis=1), people.pair_count.sum(axis=1)
        return np.where(count > 0, _ratio(total, count), np.nan)
    count = people.item_count.sum(axis=1)
    means = np.where(count > 0, _ratio(people.item_sum.sum(axis=1), count), np.nan)
    return np.round(means[:, left] - means[:, right], DECIMALS)
