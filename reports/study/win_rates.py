"""Win rates of pairs of methods, with intervals, and Holm's correction over the pairs."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from icd_bench.reports.study.intervals import Floats, Statistic, pigeonhole, quantiles, two_way
from icd_bench.reports.study.plan import IntervalName, StudyPlan
from icd_bench.stats.multiple import holm

ONE_SIGMA = 0.6827
"""Nominal coverage of plus and minus one standard deviation, as the iCD paper prints it."""


@dataclass(frozen=True)
class WinRate:
    """How often one method is preferred to another."""

    votes: int
    """Judgements; skips are not among them."""
    prompts: int
    raters: int
    wins: int
    ties: int
    losses: int
    win_rate: float
    """(wins + ties / 2) / votes."""
    low: float
    high: float
    level: float
    """Nominal coverage of [low, high]."""
    se: float
    p_value: float
    """Two-sided, of a win rate of 1/2; NaN where the interval makes no test."""
    interval: IntervalName


def win_rate(
    scores: ArrayLike,
    prompts: ArrayLike,
    raters: ArrayLike,
    *,
    interval: IntervalName = "two_way",
    subset: int | None = None,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> WinRate:
    """Win rate over judgements that score 1 (win), 1/2 (tie) or 0 (loss).

    Intervals by name:

    - ``two_way``: ``intervals.two_way`` over prompts and raters, a t interval on the logit
      scale. Where all votes agree, the variance is zero and says nothing: then Clopper and
      Pearson's interval with one vote a prompt. Wrong below about five raters (too short).
    - ``pigeonhole``: percentiles under product weights (Owen, 2007). Covers 98 to 100 % where
      95 % are nominal, because vote noise counts three times.
    - ``vote_subsets``: plus and minus the standard deviation of the win rate over bootstrap
      subsets of the votes, as the iCD paper reports. Wrong whenever votes on one prompt or of
      one rater go together, which they do: it covers too little of what it seems to.

    Args:
        scores: (N,) in {0, 1/2, 1}.
        prompts: (N,) the sample of each judgement.
        raters: (N,) the rater of each judgement.
        interval: see above.
        subset: votes per subset of ``vote_subsets``; None takes N.
        draws: bootstrap draws.
        seed: of the bootstrap.
        level: nominal coverage of ``two_way`` and ``pigeonhole``.

    Raises:
        ValueError: no judgement, or a score outside {0, 1/2, 1}.
    """
    score = np.asarray(scores, dtype=np.float64)
    if not len(score):
        raise ValueError("a win rate needs at least one judgement")
    if not np.isin(score, (0.0, 0.5, 1.0)).all():
        raise ValueError("scores are 0, 1/2 or 1")
    rate = float(score.mean())
    p_value = np.nan

    mean = _weighted_mean(score)

    if interval == "vote_subsets":
        se = vote_subset_deviation(score, subset or len(score), draws=draws, seed=seed)
        low, high, level = rate - se, rate + se, ONE_SIGMA
    elif interval == "pigeonhole":
        product = pigeonhole(mean, prompts, raters, draws=draws, seed=seed)
        low, high = quantiles(product, [(1 - level) / 2, (1 + level) / 2])[:, 0]
        se = float(np.nanstd(product))
    else:
        estimate = two_way(mean, prompts, raters, draws=draws, seed=seed, level=level)
        se = float(estimate.se[0])
        if rate in (0.0, 1.0):
            low, high = _unanimous(rate, estimate.clusters[0], level)
            p_value = 2 * 0.5 ** estimate.clusters[0]
        else:
            low, high = (float(end[0]) for end in estimate.studentised("logit"))
            p_value = float(estimate.p_values(0.5, "logit")[0])

    return WinRate(
        votes=len(score),
        prompts=len(np.unique(np.asarray(prompts))),
        raters=len(np.unique(np.asarray(raters))),
        wins=int((score == 1).sum()),
        ties=int((score == 0.5).sum()),
        losses=int((score == 0).sum()),
        win_rate=rate,
        low=float(low),
        high=float(high),
        level=level,
        se=se,
        p_value=min(p_value, 1.0),
        interval=interval,
    )


def vote_subset_deviation(
    scores: ArrayLike, subset: int, *, draws: int = 1000, seed: int = 0
) -> float:
    """Standard deviation of the win rate over bootstrap subsets of ``subset`` votes.

    The interval of the iCD paper (1,000 subsets, drawn with replacement). It treats votes as
    independent; see ``win_rate`` for what that costs.
    """
    score = np.asarray(scores, dtype=np.float64)
    chosen = np.random.default_rng([seed, 0]).integers(len(score), size=(draws, subset))
    return float(score[chosen].mean(axis=1).std())


def compare_pairs(
    judged: pd.DataFrame, plan: StudyPlan, by: tuple[str, ...] = ("question",)
) -> pd.DataFrame:
    """Win rate of every pair of methods, for each value of ``by``.

    Args:
        judged: ``votes.judgements``.
        plan: names the interval, level, draws and seed.
        by: columns that split the votes, the question first.

    Returns:
        A row for each (by, method_a, method_b): the fields of ``WinRate`` and ``p_holm``, over
        all rows of one question: the pairs, and where split further, the parts as well.
    """
    rows = []
    for key, votes in judged.groupby([*by, "method_a", "method_b"], sort=True):
        rate = win_rate(
            votes["score"].to_numpy(),
            votes["sample"].to_numpy(),
            votes["rater"].to_numpy(),
            interval=plan.interval,
            subset=plan.vote_subset,
            draws=plan.draws,
            seed=plan.seed,
            level=plan.level,
        )
        names = dict(zip([*by, "method_a", "method_b"], key, strict=True))
        rows.append(names | asdict(rate))
    columns = [*by, "method_a", "method_b", *WinRate.__dataclass_fields__]
    table = pd.DataFrame(rows, columns=columns)
    table["p_holm"] = np.nan
    for _, family in table.groupby("question"):
        table.loc[family.index, "p_holm"] = holm(family["p_value"].to_numpy())
    return table


def _weighted_mean(score: Floats) -> Statistic:
    def mean(weights: Floats) -> Floats:
        total = weights.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return np.asarray((weights @ score[:, None]) / total)

    return mean


def _unanimous(rate: float, prompts: int, level: float) -> tuple[float, float]:
    """Clopper and Pearson (1934) where all of ``prompts`` independent prompts agree."""
    short = float(stats.beta.ppf((1 - level) / 2, prompts, 1))
    return (short, 1.0) if rate == 1.0 else (0.0, 1 - short)
