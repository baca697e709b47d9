"""Do raters agree with each other, and with themselves?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from icd_bench.reports.study.intervals import Floats, one_way
from icd_bench.reports.study.votes import oriented

Metric = Literal["nominal", "interval"]


@dataclass(frozen=True)
class Agreement:
    """Agreement between raters, with intervals over samples (these raters given)."""

    alpha: float
    """Krippendorff's alpha: 1 is perfect, 0 is chance; NaN where all answers are the same."""
    alpha_low: float
    alpha_high: float
    raw: float
    """Share of pairs of raters, within units, who gave the same answer."""
    raw_low: float
    raw_high: float
    metric: Metric
    units: int
    """Units that at least two raters answered; only these count."""
    answers: int
    """Answers in these units."""
    raters: int
    alpha_without: tuple[tuple[str, float], ...]
    """Alpha with one rater left out, for each: shows a single one who spoils it."""


@dataclass(frozen=True)
class Consistency:
    """How often raters repeat themselves when asked twice; a skip on either side is no answer."""

    repeats: int
    same: int
    rate: float
    low: float
    high: float
    """Ends over raters (bootstrap); NaN without repeats."""
    skipped: int


def agreement(
    units: ArrayLike,
    raters: ArrayLike,
    answers: ArrayLike,
    samples: ArrayLike,
    *,
    metric: Metric = "nominal",
    strata: ArrayLike | None = None,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Agreement:
    """Krippendorff's alpha (2011) and raw agreement, with bootstrap intervals over samples.

    alpha = 1 - D_o / D_e from the coincidence matrix. With ``strata`` (pairs of methods), both
    disagreements are computed within each and summed before the ratio, so that which method is
    called the first of its pair does not matter. Units on one sample are resampled together.

    Wrong as a statement about other raters than these (the interval does not resample them: a
    rater drawn twice would agree with him- or herself), and alpha is low by construction where
    nearly all answers are the same, however well raters agree: read it with ``raw``.

    Args:
        units: (N,) what was answered on: pair and question.
        raters: (N,) who answered; one answer a unit each.
        answers: (N,) labels (nominal) or numbers (interval).
        samples: (N,) cluster of each unit.
        metric: disagreement of two answers: 1 if they differ, or their squared difference.
        strata: (N,) stratum of each unit, or None for one.
        draws: bootstrap draws.
        seed: of the bootstrap.
        level: nominal coverage.

    Raises:
        ValueError: a rater answered on one unit twice.
    """
    table = pd.DataFrame(
        {
            "unit": np.asarray(units),
            "rater": np.asarray(raters),
            "answer": np.asarray(answers),
            "sample": np.asarray(samples),
            "stratum": 0 if strata is None else np.asarray(strata),
        }
    )
    if table.duplicated(["unit", "rater"]).any():
        raise ValueError("a rater answered on one unit twice")
    parts = _coincidences(table, metric)

    def statistic(weights: Floats) -> Floats:
        return np.column_stack([_alpha(parts, weights), _raw(parts, weights)])

    whole = statistic(np.ones((1, len(parts.samples))))[0]
    if len(parts.samples):
        low, high = one_way(statistic, parts.samples, draws=draws, seed=seed, level=level)
    else:
        low = high = np.full(2, np.nan)
    names = sorted(set(table["rater"]))
    without = []
    for name in names:
        others = _coincidences(table[table["rater"] != name], metric)
        without.append((str(name), float(_alpha(others, np.ones((1, len(others.samples))))[0])))
    return Agreement(
        *(float(whole[0]), float(low[0]), float(high[0])),
        *(float(whole[1]), float(low[1]), float(high[1])),
        metric=metric,
        units=len(parts.samples),
        answers=int(sum(counts.sum() for counts in parts.counts)),
        raters=len(names),
        alpha_without=tuple(without),
    )


def vote_agreement(
    judged: pd.DataFrame,
    *,
    metric: Metric = "nominal",
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Agreement:
    """``agreement`` of judgements (``votes.judgements``) on which method of a pair is better.

    Units are pairs and questions, strata pairs of methods and questions.
    """
    strata = judged["question"] + "\x1f" + judged["method_a"] + "\x1f" + judged["method_b"]
    return agreement(
        (judged["question"] + "\x1f" + judged["pair_id"]).to_numpy(),
        judged["rater"].to_numpy(),
        judged["score"].to_numpy(),
        judged["sample"].to_numpy(),
        metric=metric,
        strata=strata.to_numpy(),
        draws=draws,
        seed=seed,
        level=level,
    )


def repeated_answers(votes: pd.DataFrame) -> pd.DataFrame:
    """Repeats beside what they repeat.

    Returns:
        A row for each repeat: rater, question, first and again (the score of the pair's first
        method by name, NaN for a skip), answered (neither was skipped), same.
    """
    scored = oriented(votes)
    again = scored[scored["check"] == "repeat"]
    first = scored.set_index("vote_id")["score"]
    pairs = pd.DataFrame(
        {
            "rater": again["rater"].to_numpy(),
            "question": again["question"].to_numpy(),
            "first": first.reindex(again["repeat_of"]).to_numpy(float),
            "again": again["score"].to_numpy(float),
        }
    )
    pairs["answered"] = pairs["first"].notna() & pairs["again"].notna()
    pairs["same"] = pairs["answered"] & (pairs["first"] == pairs["again"])
    return pairs


def self_consistency(
    votes: pd.DataFrame, *, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> Consistency:
    """Share of repeats with the same answer, whichever side the methods stood on.

    The interval resamples raters; wrong (too short) below about five of them.
    """
    repeats = repeated_answers(votes)
    asked = repeats[repeats["answered"]]
    skipped = len(repeats) - len(asked)
    if asked.empty:
        return Consistency(0, 0, np.nan, np.nan, np.nan, skipped)
    same = asked["same"].to_numpy(float)

    def rate(weights: Floats) -> Floats:
        return np.asarray((weights @ same[:, None]) / weights.sum(axis=1, keepdims=True))

    low, high = one_way(rate, asked["rater"].to_numpy(), draws=draws, seed=seed, level=level)
    return Consistency(
        len(same), int(same.sum()), float(same.mean()), float(low[0]), float(high[0]), skipped
    )


@dataclass(frozen=True)
class _Coincidences:
    samples: NDArray[np.str_]
    """(U,) sample of each unit with at least two answers, stratum after stratum."""
    counts: tuple[Floats, ...]
    """Per stratum (U_s, V_s): how many raters gave each of its answers."""
    distances: tuple[Floats, ...]
    """Per stratum (V_s, V_s)."""
    observed: Floats
    """(U,) disagreement within units, in the coincidence matrix's units."""
    agreeing: Floats
    """(U,) pairs of raters with the same answer."""
    rater_pairs: Floats
    """(U,)"""


def _coincidences(table: pd.DataFrame, metric: Metric) -> _Coincidences:
    samples, counts, distances, observed, agreeing, pairs = [], [], [], [], [], []
    for _, part in table.groupby("stratum", sort=True):
        values, value = np.unique(part["answer"].to_numpy(), return_inverse=True)
        _, first, unit = np.unique(part["unit"].to_numpy(), return_index=True, return_inverse=True)
        count = np.zeros((len(first), len(values)))
        np.add.at(count, (unit, value), 1)
        answers = count.sum(axis=1)
        kept = answers > 1
        count, answers = count[kept], answers[kept]
        if metric == "nominal":
            distance = 1 - np.eye(len(values))
        else:
            distance = (values[:, None] - values).astype(float) ** 2
        samples.append(part["sample"].to_numpy()[first][kept].astype(str))
        counts.append(count)
        distances.append(distance)
        observed.append(np.einsum("uv,vw,uw->u", count, distance, count) / (answers - 1))
        agreeing.append((count * (count - 1) / 2).sum(axis=1))
        pairs.append(answers * (answers - 1) / 2)
    if not samples:
        nothing = np.zeros(0)
        return _Coincidences(nothing.astype(str), (), (), nothing, nothing, nothing)
    return _Coincidences(
        np.concatenate(samples),
        tuple(counts),
        tuple(distances),
        np.concatenate(observed),
        np.concatenate(agreeing),
        np.concatenate(pairs),
    )


def _alpha(parts: _Coincidences, weights: Floats) -> Floats:
    expected = np.zeros(len(weights))
    start = 0
    for counts, distance in zip(parts.counts, parts.distances, strict=True):
        margins = weights[:, start : start + len(counts)] @ counts
        start += len(counts)
        apart = np.einsum("bv,vw,bw->b", margins, distance, margins)
        expected += apart / np.maximum(margins.sum(axis=1) - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = 1 - (weights @ parts.observed) / expected
    return np.where(expected > 0, alpha, np.nan)


def _raw(parts: _Coincidences, weights: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((weights @ parts.agreeing) / (weights @ parts.rater_pairs))
