"""From votes to a verdict: everything a study says, with and without the plan's exclusions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, Final

import pandas as pd

from icd_bench.errors import UsageError
from icd_bench.reports.study.agreement import self_consistency, vote_agreement
from icd_bench.reports.study.plan import StudyPlan
from icd_bench.reports.study.ranking import Ranking, rank_methods
from icd_bench.reports.study.raters import apply_exclusions, check_results
from icd_bench.reports.study.validate import ValidationResult, validate
from icd_bench.reports.study.votes import check_votes, judgements
from icd_bench.reports.study.win_rates import compare_pairs

APPLIED: Final = "applied"
NOT_APPLIED: Final = "none"
"""Values of the column ``exclusions``: after the plan's rules, and on all votes."""

Record = dict[str, Any]


@dataclass(frozen=True)
class StudyResult:
    """What a study says. Tables with a column ``exclusions`` hold both versions of each row."""

    plan: StudyPlan
    simulated: bool
    """The raters were simulated: this says nothing about the methods."""
    counts: pd.DataFrame
    """A row for each version: votes, judgements, ties, skips, checks, repeats, raters, pairs,
    samples, and what was excluded."""
    win_rates: pd.DataFrame
    """``win_rates.compare_pairs`` for each question; ``category`` is empty for all samples."""
    rankings: pd.DataFrame
    """A row for each question and method: Davidson strength, interval, range of ranks."""
    ranking_fits: pd.DataFrame
    """A row for each question: tie parameter, side bias, connected groups, separable, ridge."""
    agreement: pd.DataFrame
    """A row for each question: Krippendorff's alpha, raw agreement, self-consistency."""
    raters: pd.DataFrame
    """``raters.describe_raters`` with the reasons for exclusion."""
    checks: pd.DataFrame
    """A row for each kind of attention check: asked, answered, passed, pass_rate."""
    metrics: dict[str, ValidationResult]
    """Question to how automatic metrics agree with the kept votes; empty without scores."""


def analyse(
    votes: pd.DataFrame,
    plan: StudyPlan,
    scores: pd.DataFrame | None = None,
    lower_is_better: Collection[str] = (),
) -> StudyResult:
    """Analyse votes as ``plan`` fixed it.

    Args:
        votes: a vote table; held to the rules of ``votes.check_votes`` and to the plan.
        plan: questions, exclusion rules, interval, ridge, level, draws, seed.
        scores: automatic scores of the same edits (``ratings.read_scores``), or None.
        lower_is_better: scorers whose small values are good.

    Raises:
        BadVotes: the votes contradict themselves or the plan.
        UsageError: no judgement at all, or none is left after the exclusions.
    """
    votes = check_votes(votes, plan)
    kept = apply_exclusions(votes, plan.exclusions)
    for part, where in ((votes, "among the votes"), (kept.votes, "left by the exclusion rules")):
        if judgements(part).empty:
            raise UsageError(f"there is no judgement {where}")
    counts: list[Record] = []
    win_rates, agreements = [], []
    rankings: list[Record] = []
    fits: list[Record] = []
    for name, part in ((APPLIED, kept.votes), (NOT_APPLIED, votes)):
        version: Record = {"exclusions": name}
        counts.append(version | _counts(part))
        win_rates.append(_win_rates(part, plan).assign(**version))
        for question, asked in part.groupby("question", sort=True):
            key = version | {"question": question}
            agreements.append(key | _agreement(asked, plan))
            if (ranking := _ranking(asked, plan)) is not None:
                rankings += [key | row for row in _methods(ranking)]
                fits.append(key | _fit(ranking))
    counts[0] |= {"excluded_raters": len(kept.excluded), "fast_votes": kept.fast_votes}
    counts[1] |= {"excluded_raters": 0, "fast_votes": 0}
    return StudyResult(
        plan=plan,
        simulated=bool(votes["simulated"].any()),
        counts=pd.DataFrame(counts),
        win_rates=_leading(pd.concat(win_rates, ignore_index=True)),
        rankings=pd.DataFrame(rankings),
        ranking_fits=pd.DataFrame(fits),
        agreement=pd.DataFrame(agreements),
        raters=kept.raters,
        checks=_checks(votes),
        metrics={} if scores is None else _metrics(kept.votes, plan, scores, lower_is_better),
    )


def _counts(votes: pd.DataFrame) -> Record:
    ordinary = votes[votes["check"] == ""]
    return {
        "votes": len(votes),
        "judgements": len(judgements(votes)),
        "ties": int((ordinary["outcome"] == "tie").sum()),
        "skips": int((ordinary["outcome"] == "skip").sum()),
        "checks": int(votes["check"].isin(["corrupted", "identical"]).sum()),
        "repeats": int((votes["check"] == "repeat").sum()),
        "raters": votes["rater"].nunique(),
        "pairs": ordinary["pair_id"].nunique(),
        "samples": ordinary["sample"].nunique(),
    }


def _win_rates(votes: pd.DataFrame, plan: StudyPlan) -> pd.DataFrame:
    judged = judgements(votes)
    whole: pd.DataFrame = compare_pairs(judged, plan)
    whole["category"] = ""
    named = judged[judged["category"] != ""]
    if named["category"].nunique() < 2:
        return whole
    parts: pd.DataFrame = compare_pairs(named, plan, ("question", "category"))
    return pd.concat([whole, parts])


def _leading(table: pd.DataFrame) -> pd.DataFrame:
    first = ["exclusions", "question", "category"]
    return pd.DataFrame(table, columns=[*first, *(name for name in table if name not in first)])


def _ranking(votes: pd.DataFrame, plan: StudyPlan) -> Ranking | None:
    judged = judgements(votes)
    if judged.empty:
        return None
    columns = ("method_left", "method_right", "outcome", "sample", "rater")
    return rank_methods(
        *(judged[name].tolist() for name in columns),
        ridge=plan.ridge,
        draws=plan.draws,
        seed=plan.seed,
        level=plan.level,
    )


def _methods(ranking: Ranking) -> list[Record]:
    fields = ("strength", "low", "high", "se", "best_rank", "worst_rank")
    return [
        {"method": method} | {name: getattr(ranking, name)[index] for name in fields}
        for index, method in enumerate(ranking.methods)
    ]


def _fit(ranking: Ranking) -> Record:
    return {
        "tie": ranking.tie,
        "side": ranking.side,
        "side_low": ranking.side_low,
        "side_high": ranking.side_high,
        "connected": ranking.connected,
        "groups": [list(group) for group in ranking.components],
        "separable": ranking.separable,
        "ridge": ranking.ridge,
    }


def _agreement(votes: pd.DataFrame, plan: StudyPlan) -> Record:
    settings: Record = {"draws": plan.draws, "seed": plan.seed, "level": plan.level}
    between = asdict(vote_agreement(judgements(votes), **settings))
    between["alpha_without"] = [
        {"rater": rater, "alpha": alpha} for rater, alpha in between["alpha_without"]
    ]
    within = asdict(self_consistency(votes, **settings))
    return between | {f"repeat_{name}": value for name, value in within.items()}


def _checks(votes: pd.DataFrame) -> pd.DataFrame:
    results = check_results(votes)
    table: pd.DataFrame = results.groupby("check", as_index=False).agg(
        asked=("passed", "size"), answered=("answered", "sum"), passed=("passed", "sum")
    )
    table["pass_rate"] = table["passed"] / table["asked"]
    return table


def _metrics(
    votes: pd.DataFrame, plan: StudyPlan, scores: pd.DataFrame, lower_is_better: Collection[str]
) -> dict[str, ValidationResult]:
    return {
        question: validate(
            votes,
            scores,
            question=question,
            lower_is_better=lower_is_better,
            draws=plan.draws,
            seed=plan.seed,
            level=plan.level,
        )
        for question in sorted(set(judgements(votes)["question"]))
    }
