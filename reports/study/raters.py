"""Each rater's record: how much, how fast, how attentively; and whom the plan excludes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from icd_bench.reports.study.agreement import repeated_answers
from icd_bench.reports.study.plan import Exclusions
from icd_bench.reports.study.votes import CORRUPTED, judgements


@dataclass(frozen=True)
class Kept:
    """Votes after the plan's exclusion rules."""

    votes: pd.DataFrame
    raters: pd.DataFrame
    """``describe_raters`` of all raters, with ``excluded``: the reasons, empty where kept."""
    fast_votes: int
    """Votes of kept raters that were removed for being faster than ``min_seconds``."""

    @property
    def excluded(self) -> tuple[str, ...]:
        """Raters whose votes were all removed."""
        return tuple(self.raters.loc[self.raters["excluded"] != "", "rater"])


def check_results(votes: pd.DataFrame) -> pd.DataFrame:
    """Answers to the attention checks whose right answer is known.

    Returns:
        A row for each ``corrupted`` or ``identical`` vote: rater, check, answered, passed. Right
        is the undamaged side, and a tie. A skip is not answered and does not pass.
    """
    asked = votes[votes["check"].isin(["corrupted", "identical"])]
    undamaged = np.where(asked["method_left"] == CORRUPTED, "right", "left")
    right = np.where(asked["check"] == "identical", "tie", undamaged)
    return pd.DataFrame(
        {
            "rater": asked["rater"].to_numpy(),
            "check": asked["check"].to_numpy(),
            "answered": (asked["outcome"] != "skip").to_numpy(),
            "passed": asked["outcome"].to_numpy() == right,
        }
    )


def describe_raters(votes: pd.DataFrame) -> pd.DataFrame:
    """A row for each rater, by name.

    Returns:
        rater; votes (ordinary judgements), skips (of ordinary pairs); checks, checks_passed,
        check_pass_rate; repeats, repeats_same, self_consistency; median_seconds (of judgements);
        left_share (of decided judgements). Rates are NaN where nothing was asked.
    """
    judged = judgements(votes)
    ordinary = votes[votes["check"] == ""]
    decided = judged[judged["outcome"] != "tie"]
    checks, repeats = check_results(votes), repeated_answers(votes)
    repeats = repeats[repeats["answered"]]
    table = pd.DataFrame({"rater": sorted(set(votes["rater"]))}).set_index("rater", drop=False)
    table["votes"] = judged.groupby("rater").size()
    table["skips"] = (ordinary["outcome"] == "skip").groupby(ordinary["rater"]).sum()
    table["checks"] = checks.groupby("rater").size()
    table["checks_passed"] = checks.groupby("rater")["passed"].sum()
    table["check_pass_rate"] = checks.groupby("rater")["passed"].mean()
    table["repeats"] = repeats.groupby("rater").size()
    table["repeats_same"] = repeats.groupby("rater")["same"].sum()
    table["self_consistency"] = repeats.groupby("rater")["same"].mean()
    table["median_seconds"] = judged.groupby("rater")["seconds"].median()
    table["left_share"] = (decided["outcome"] == "left").groupby(decided["rater"]).mean()
    counts = ["votes", "skips", "checks", "checks_passed", "repeats", "repeats_same"]
    table[counts] = table[counts].fillna(0).astype("int64")
    return table.reset_index(drop=True)


def apply_exclusions(votes: pd.DataFrame, rules: Exclusions) -> Kept:
    """Remove what ``rules`` exclude: first raters, on all their votes, then single fast votes.

    A rate that was never asked of a rater excludes nobody.
    """
    raters = describe_raters(votes)
    one_side = 0.5 + (raters["left_share"] - 0.5).abs()
    failed = {
        "check pass rate": _below(raters["check_pass_rate"], rules.min_check_pass_rate),
        "self-consistency": _below(raters["self_consistency"], rules.min_self_consistency),
        "few votes": _below(raters["votes"], rules.min_votes),
        "median time": _below(raters["median_seconds"], rules.min_median_seconds),
        "one side": _below(-one_side, _negative(rules.max_one_side_share)),
    }
    raters["excluded"] = [
        ", ".join(reason for reason, out in failed.items() if out[row]) for row in raters.index
    ]
    gone = set(raters.loc[raters["excluded"] != "", "rater"])
    kept = votes[~votes["rater"].isin(gone)]
    fast = _below(kept["seconds"], rules.min_seconds)
    return Kept(kept[~fast].reset_index(drop=True), raters, int(fast.sum()))


def _below(values: pd.Series, limit: float | None) -> pd.Series:
    return values < (-np.inf if limit is None else limit)


def _negative(limit: float | None) -> float | None:
    return None if limit is None else -limit
