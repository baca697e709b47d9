"""Small vote tables for the tests of human studies."""

from __future__ import annotations

from typing import Any

import pandas as pd

from icd_bench.reports.study.votes import check_votes

VOTE = {
    "vote_id": "v1",
    "pair_id": "p1",
    "rater": "ann",
    "question": "overall",
    "sample": "s1",
    "category": "",
    "method_left": "icd",
    "method_right": "npi",
    "outcome": "left",
    "repeat_of": "",
    "check": "",
    "seconds": "4.5",
    "simulated": "",
}


def vote(**changes: Any) -> dict[str, Any]:
    return VOTE | changes


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    votes: pd.DataFrame = check_votes(pd.DataFrame(rows))
    return votes
