"""Does an automatic scorer deserve trust? Scores against what people said about the same edits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from icd_bench.errors import UsageError
from icd_bench.reports.study.correlation import (
    grouped_spearman,
    means_spearman,
    pair_accuracy,
    paired_t,
    weighted_spearman,
)
from icd_bench.reports.study.intervals import Floats, one_way, pigeonhole, two_way
from icd_bench.reports.study.people import (
    People,
    Sums,
    View,
    leave_out,
    mean_differences,
    read_people,
    sum_answers,
    view_of,
)
from icd_bench.reports.study.ratings import with_direction
from icd_bench.stats.multiple import holm

STATISTICS: Final = (
    "pooled_spearman",
    "per_method_spearman",
    "within_image_pair_accuracy",
    "method_rank_spearman",
)
"""What papers report when they say that a metric agrees with people; see ``validate``."""
CEILING: Final = "one rater"
"""Name of the row that puts one person in the place of the scorer."""


@dataclass(frozen=True)
class ValidationResult:
    """What people think of the scorers."""

    statistics: pd.DataFrame
    """A row for each scorer and statistic, the ceiling ``one rater`` last: estimate; low, high
    (over images and raters); image_low, image_high (over images, these raters given);
    against_others, the estimate against all raters but one, averaged: on the ceiling's footing;
    items and pairs that it stands on."""
    method_pairs: pd.DataFrame
    """A row for each scorer and pair of methods: mean differences, paired t over images, p,
    verdict (right, wrong, silent: no significant difference; undecided: people have none), and
    wrong_holm: whether wrong remains where both p-values are Holm-adjusted over the pairs."""
    coverage: pd.DataFrame
    """A row for each scorer: edits rated and scored, rated but not scored, scored but not rated."""
    question: str
    images: int
    methods: int
    raters: int
    level: float
    simulated: bool


def validate(
    answers: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    question: str = "overall",
    lower_is_better: Collection[str] = (),
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    critical: float = 1.96,
) -> ValidationResult:
    """Measure automatic scorers against people.

    An edit's human value is its mean rating, or the share of its comparisons that it won (ties
    one half). The statistics, with what makes each of them flatter or hurt:

    - ``pooled_spearman``: over all edits. Also rewards knowing which images are hard.
    - ``per_method_spearman``: within each method, averaged through arctanh (VIEScore). Blind to
      whether the scorer ranks the methods; low where one method rarely succeeds.
    - ``within_image_pair_accuracy``: over pairs of methods on one image on which people differ;
      ties of the scorer count one half, chance is 1/2. The task of an evaluation harness.
    - ``method_rank_spearman``: of the methods' means. A handful of methods; coarse and generous.

    Intervals are percentile bootstraps: over images and raters (``intervals.two_way``), and over
    images alone. With fewer than about five raters the former is a rough guess. The ceiling
    takes each rater as the scorer of the mean of the others, on the edits that a scorer scored,
    averaged over raters by how much they answered; compare it with ``against_others``. Raters
    on a coarse scale tie often, which costs them pair accuracy.

    A pair of methods is decided by people, or by a scorer, where its paired t over images
    exceeds ``critical``; raters are taken as given, and tests are not adjusted unless
    ``wrong_holm`` is asked.

    Args:
        answers: votes (``votes.read_votes``) or ratings (``ratings.read_ratings``).
        scores: columns sample, method, scorer, value.
        question: the question of ``answers`` to take.
        lower_is_better: scorers whose small values are good.
        draws: bootstrap draws.
        seed: of the bootstrap.
        level: nominal coverage.
        critical: absolute t from which a difference counts.

    Raises:
        UsageError: no answer to ``question``, a score twice, or a scorer without rated edits.
        UnknownName: a name in ``lower_is_better`` is no scorer.
    """
    people = read_people(answers, question)
    scores = with_direction(scores, lower_is_better)
    if scores.duplicated(["sample", "method", "scorer"]).any():
        raise UsageError("a scorer has two values for one edit; keep one")
    tables = {
        str(name): _score_table(group, people)
        for name, group in scores.groupby("scorer", sort=True)
    }
    rated = people.item_count.sum(axis=1) > 0
    for name, table in tables.items():
        if not (rated & np.isfinite(table)).any():
            raise UsageError(f"scorer {name!r} scores no edit that people answered on")

    image, rater = np.nonzero(people.item_count.sum(axis=2))
    labels = np.array(people.images)[image], np.array(people.raters)[rater]

    def statistic(weights: Floats) -> Floats:
        dense = np.zeros((len(weights), len(people.images), len(people.raters)))
        dense[:, image, rater] = weights
        return _all_statistics(people, dense, tables)

    crossed = two_way(statistic, *labels, draws=draws, seed=seed, level=level)
    product = pigeonhole(statistic, *labels, draws=draws, seed=seed)
    low, high = crossed.percentile(product)
    image_low, image_high = one_way(statistic, labels[0], draws=draws, seed=seed, level=level)
    against = _against_others(people, tables)
    names = [*tables, CEILING] if len(people.raters) > 1 else [*tables]
    rows = []
    for position, (name, stat) in enumerate((n, s) for n in names for s in STATISTICS):
        items, pairs = _sizes(people, tables.get(name), _scored(tables))
        bounds = (0.0, 1.0) if stat == "within_image_pair_accuracy" else (-1.0, 1.0)
        rows.append(
            {
                "scorer": name,
                "statistic": stat,
                "estimate": crossed.estimate[position],
                "low": np.clip(low[position], *bounds),
                "high": np.clip(high[position], *bounds),
                "image_low": image_low[position],
                "image_high": image_high[position],
                "against_others": against[position],
                "items": items,
                "pairs": pairs,
            }
        )
    return ValidationResult(
        statistics=pd.DataFrame(rows),
        method_pairs=_method_pairs(people, tables, critical, level),
        coverage=_coverage(scores, people, rated, tables),
        question=question,
        images=len(people.images),
        methods=len(people.methods),
        raters=len(people.raters),
        level=level,
        simulated=people.simulated,
    )


def _score_table(scores: pd.DataFrame, people: People) -> Floats:
    wide = scores.pivot(index="sample", columns="method", values="value")
    wide = wide.reindex(index=list(people.images), columns=list(people.methods))
    return wide.to_numpy(float)


def _all_statistics(people: People, weights: Floats, tables: dict[str, Floats]) -> Floats:
    """(B, S * 4) for S scorers, then the ceiling, under weights (B, I, R)."""
    sums = sum_answers(people, weights)
    whole = sum_answers(people, np.ones((1, *weights.shape[1:])))
    view = view_of(people, sums, whole)
    columns = [_four(people, view, table) for table in tables.values()]
    if len(people.raters) > 1:
        columns.append(_ceiling(people, weights, sums, whole, _scored(tables)))
    return np.concatenate(columns, axis=1)


def _against_others(people: People, tables: dict[str, Floats]) -> Floats:
    """(S * 4 + 4) estimates against all raters but one, averaged as the ceiling is."""
    count = len(people.raters)
    if count < 2:
        return np.full(4 * len(tables), np.nan)
    weights = np.ones((1, len(people.images), count))
    whole = sum_answers(people, weights)
    values: list[Floats] = []
    shares: list[Floats] = []
    for rater in range(count):
        others = leave_out(people, weights, whole, rater)
        view = view_of(people, others, others)
        values.append(np.stack([_four(people, view, table) for table in tables.values()], axis=1))
        shares.append(np.array([people.item_count[:, rater].sum()]))
    scorers = _mean_over_raters([value.reshape(1, -1) for value in values], shares)
    ceiling = _ceiling(people, weights, whole, whole, _scored(tables))
    return np.asarray(np.concatenate([scorers, ceiling], axis=1)[0])


def _ceiling(
    people: People, weights: Floats, sums: Sums, whole: Sums, scored: NDArray[np.bool_]
) -> Floats:
    """(B, 4): each rater as the scorer of the others' means, averaged over raters.

    On the edits (I, M) that are ``scored``, so that it compares with the scorers.
    """
    ones = np.ones((1, *weights.shape[1:]))
    values, shares = [], []
    for rater in range(len(people.raters)):
        own_weight = weights[:, :, rater, None]
        own_count = people.item_count[:, rater]
        own = np.where(own_count > 0, people.item_sum[:, rater] / np.maximum(own_count, 1), np.nan)
        own = np.where(scored, own, np.nan)
        own_pairs = None
        if people.pair_sum is not None and people.pair_count is not None:
            left, right = people.pairs.T
            asked = people.pair_count[:, rater] * scored[:, left] * scored[:, right]
            own_pairs = np.where(
                asked > 0, people.pair_sum[:, rater] / np.maximum(asked, 1), np.nan
            )
        others = leave_out(people, weights, sums, rater)
        others_whole = leave_out(people, ones, whole, rater)
        view = view_of(people, others, others_whole, own_weight)
        values.append(_four(people, view, own, own_pairs))
        shares.append((own_weight[:, :, 0] * own_count.sum(axis=1)).sum(axis=1))
    return _mean_over_raters(values, shares)


def _scored(tables: dict[str, Floats]) -> NDArray[np.bool_]:
    """(I, M) edits that some scorer has a value for."""
    return np.asarray(np.isfinite(np.stack([*tables.values()])).any(axis=0))


def _mean_over_raters(values: list[Floats], shares: list[Floats]) -> Floats:
    value = np.stack(values)
    share = np.stack(shares)[:, :, None] * np.isfinite(value)
    with np.errstate(invalid="ignore"):
        return np.asarray((np.nan_to_num(value) * share).sum(axis=0) / share.sum(axis=0))


def _four(people: People, view: View, table: Floats, pair_table: Floats | None = None) -> Floats:
    """The four ``STATISTICS`` (B, 4) of a scorer's values (I, M), NaN where it has none.

    ``pair_table`` (I, P) holds its differences where they are not those of its values.
    """
    left, right = people.pairs.T
    there = view.item_there & np.isfinite(table)
    items, weights, scored = view.items[:, there], view.item_weights[:, there], table[there]
    method = np.broadcast_to(np.arange(len(people.methods)), table.shape)[there]
    differences = table[:, left] - table[:, right] if pair_table is None else pair_table
    compared = view.pair_there & np.isfinite(differences)
    return np.column_stack(
        [
            weighted_spearman(items, scored, weights),
            grouped_spearman(items, scored, weights, method),
            pair_accuracy(
                view.pairs[:, compared], differences[compared], view.pair_weights[:, compared]
            ),
            means_spearman(items, scored, weights, method),
        ]
    )


def _sizes(people: People, table: Floats | None, scored: NDArray[np.bool_]) -> tuple[int, int]:
    """Edits and decided pairs that a scorer, or (None) two raters, have values for."""
    left, right = people.pairs.T
    if table is None:
        there = ((people.item_count > 0).sum(axis=1) > 1) & scored
    else:
        there = (people.item_count.sum(axis=1) > 0) & np.isfinite(table)
    decided = np.nan_to_num(mean_differences(people)) != 0
    return int(there.sum()), int((decided & there[:, left] & there[:, right]).sum())


def _method_pairs(
    people: People, tables: dict[str, Floats], critical: float, level: float
) -> pd.DataFrame:
    left, right = people.pairs.T
    wanted = mean_differences(people)
    parts = []
    for name, table in tables.items():
        scorer = table[:, left] - table[:, right]
        both = np.isfinite(wanted) & np.isfinite(scorer)
        kept = both.sum(axis=0) > 1
        differences = (
            np.where(both, wanted, np.nan)[:, kept],
            np.where(both, scorer, np.nan)[:, kept],
        )
        people_t, scorer_t = (paired_t(difference) for difference in differences)
        n = both.sum(axis=0)[kept]
        people_p, scorer_p = (2 * stats.t.sf(np.abs(t), n - 1) for t in (people_t, scorer_t))
        sure = (holm(people_p) < 1 - level) & (holm(scorer_p) < 1 - level)
        part = {
            "scorer": name,
            "method_a": np.array(people.methods)[left[kept]],
            "method_b": np.array(people.methods)[right[kept]],
            "images": n,
            "people_difference": np.nansum(differences[0], axis=0) / n,
            "people_t": people_t,
            "people_p": people_p,
            "scorer_difference": np.nansum(differences[1], axis=0) / n,
            "scorer_t": scorer_t,
            "scorer_p": scorer_p,
            "verdict": _verdicts(people_t, scorer_t, critical),
            "wrong_holm": sure & (np.sign(people_t) == -np.sign(scorer_t)),
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def _verdicts(people_t: Floats, scorer_t: Floats, critical: float) -> NDArray[np.str_]:
    agree = np.sign(people_t) == np.sign(scorer_t)
    return np.select(
        [~(np.abs(people_t) > critical), ~(np.abs(scorer_t) > critical), agree],
        ["undecided", "silent", "right"],
        "wrong",
    )


def _coverage(
    scores: pd.DataFrame, people: People, rated: NDArray[np.bool_], tables: dict[str, Floats]
) -> pd.DataFrame:
    sizes = scores.groupby("scorer").size()
    rows = []
    for name, table in tables.items():
        both = int((rated & np.isfinite(table)).sum())
        rows.append(
            {
                "scorer": name,
                "rated_and_scored": both,
                "rated_only": int(rated.sum()) - both,
                "scored_only": int(sizes[name]) - both,
            }
        )
    return pd.DataFrame(rows)
