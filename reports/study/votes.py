"""The vote table: one row is one answer of one rater to one question about one pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from icd_bench.reports.study.plan import StudyPlan
from icd_bench.reports.study.rows import BadVotes, Problem, Row, read_rows

OUTCOMES: Final = ("left", "right", "tie", "skip")
"""A skip is no judgement: it is counted, and never taken for a tie."""
CHECKS: Final = ("corrupted", "identical", "repeat")
"""Kinds of attention checks; an ordinary vote has the empty text."""
CORRUPTED: Final = "corrupted"
"""Method label of the grossly damaged picture of a ``corrupted`` check."""

REQUIRED: Final = (
    "vote_id",
    "pair_id",
    "rater",
    "question",
    "sample",
    "method_left",
    "method_right",
    "outcome",
)
OPTIONAL: Final = ("category", "repeat_of", "check", "seconds", "simulated")
COLUMNS: Final = (
    *("vote_id", "pair_id", "rater", "question", "sample", "category"),
    *("method_left", "method_right", "outcome", "repeat_of", "check", "seconds", "simulated"),
)


def read_votes(path: Path, plan: StudyPlan | None = None) -> pd.DataFrame:
    """Read a vote table from CSV or JSON.

    Args:
        path: a ``.csv`` file with a header or a ``.json`` list of objects, columns ``COLUMNS``.
        plan: where given, votes on questions or pairs that it does not have are errors.

    Returns:
        One row a vote with the columns ``COLUMNS``: texts, ``seconds`` a float (NaN where not
        measured), ``simulated`` a bool.

    Raises:
        BadVotes: unknown labels, duplicates, contradictions, votes on pairs that do not exist.
            All problems are listed with their lines; nothing is dropped or repaired.
    """
    return _checked(read_rows(path, REQUIRED, OPTIONAL), path.name, plan)


def check_votes(
    frame: pd.DataFrame, plan: StudyPlan | None = None, source: str = "votes"
) -> pd.DataFrame:
    """Hold a data frame to the rules of ``read_votes``; problems name rows counted from 1."""
    if missing := [name for name in REQUIRED if name not in frame]:
        raise BadVotes(source, [(1, f"lacks {', '.join(missing)}")])
    if unknown := [str(name) for name in frame if name not in COLUMNS]:
        raise BadVotes(source, [(1, f"unknown columns {', '.join(unknown)}")])
    texts = {
        name: [_cell_text(value) for value in frame[name]] if name in frame else [""] * len(frame)
        for name in COLUMNS
    }
    rows = [
        Row(line, dict(zip(COLUMNS, cells, strict=True)))
        for line, cells in enumerate(zip(*texts.values(), strict=True), start=1)
    ]
    return _checked(rows, source, plan)


def write_votes(votes: pd.DataFrame, path: Path) -> None:
    """Write votes as CSV that ``read_votes`` reads back without loss."""
    frame = votes.loc[:, list(COLUMNS)].copy()
    frame["simulated"] = np.where(frame["simulated"], "true", "false")
    frame.to_csv(path, index=False)


def judgements(votes: pd.DataFrame) -> pd.DataFrame:
    """Ordinary votes that decide something: no checks, no repeats, no skips.

    Returns:
        The votes with ``method_a < method_b`` (by name, whichever stood left) and ``score``,
        1 where the rater prefers ``method_a``, 1/2 for a tie, 0 where ``method_b``.
    """
    ordinary = votes[(votes["check"] == "") & (votes["outcome"] != "skip")]
    return oriented(ordinary)


def oriented(votes: pd.DataFrame) -> pd.DataFrame:
    """Add ``method_a``, ``method_b`` and ``score`` (see ``judgements``); skips score NaN."""
    swapped = (votes["method_left"] > votes["method_right"]).to_numpy()
    left_score = votes["outcome"].map({"left": 1.0, "tie": 0.5, "right": 0.0}).to_numpy(float)
    return votes.assign(
        method_a=np.where(swapped, votes["method_right"], votes["method_left"]),
        method_b=np.where(swapped, votes["method_left"], votes["method_right"]),
        score=np.where(swapped, 1 - left_score, left_score),
    )


def _cell_text(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return str(value)


def _checked(rows: Sequence[Row], source: str, plan: StudyPlan | None) -> pd.DataFrame:
    problems: list[Problem] = []
    for row in rows:
        problems += [(row.line, text) for text in _problems_of(row.values)]
    problems += _duplicates(rows)
    problems += _contradictions(rows)
    problems += _broken_repeats(rows)
    if plan is not None:
        problems += _unplanned(rows, plan)
    if problems:
        raise BadVotes(source, sorted(problems))
    if len({row.values["simulated"] == "true" for row in rows}) > 1:
        raise BadVotes(source, [(1, "real and simulated votes in one table; analyse them apart")])
    frame = pd.DataFrame([row.values for row in rows], columns=list(COLUMNS), dtype=object)
    frame = frame.astype(dict.fromkeys(set(COLUMNS) - {"seconds", "simulated"}, "str"))
    frame["seconds"] = [float(row.values["seconds"] or "nan") for row in rows]
    frame["simulated"] = [row.values["simulated"] == "true" for row in rows]
    return frame.astype({"seconds": "float64", "simulated": "bool"})


def _problems_of(vote: dict[str, str]) -> list[str]:
    problems = [f"{name} is empty" for name in REQUIRED if not vote[name].strip()]
    if vote["outcome"] and vote["outcome"] not in OUTCOMES:
        problems.append(f"outcome {vote['outcome']!r} is not one of {', '.join(OUTCOMES)}")
    check = vote["check"]
    if check and check not in CHECKS:
        problems.append(f"check {check!r} is not one of {', '.join(CHECKS)}")
    if (vote["method_left"] == vote["method_right"]) != (check == "identical"):
        problems.append("the same method stands on both sides if and only if check is identical")
    sides = (vote["method_left"], vote["method_right"])
    if (sides.count(CORRUPTED) == 1) != (check == "corrupted"):
        problems.append(f"one side is {CORRUPTED!r} if and only if check is corrupted")
    if bool(vote["repeat_of"]) != (check == "repeat"):
        problems.append("repeat_of is given if and only if check is repeat")
    if vote["seconds"] and not _is_duration(vote["seconds"]):
        problems.append(f"seconds {vote['seconds']!r} is not a number of at least 0")
    if vote["simulated"] not in ("", "true", "false"):
        problems.append(f"simulated {vote['simulated']!r} is neither true nor false")
    return problems


def _is_duration(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and value >= 0


def _duplicates(rows: Sequence[Row]) -> list[Problem]:
    problems: list[Problem] = []
    ids: dict[str, int] = {}
    answers: dict[tuple[str, str, str], int] = {}
    for row in rows:
        vote = row.values
        if (first := ids.setdefault(vote["vote_id"], row.line)) != row.line:
            problems.append((row.line, f"vote_id {vote['vote_id']!r} is that of line {first}"))
        if vote["repeat_of"]:
            continue
        answer = (vote["pair_id"], vote["rater"], vote["question"])
        if (first := answers.setdefault(answer, row.line)) != row.line:
            problems.append(
                (row.line, f"rater {vote['rater']!r} answered this pair already in line {first}")
            )
    return problems


def _contradictions(rows: Sequence[Row]) -> list[Problem]:
    problems: list[Problem] = []
    pairs: dict[str, tuple[int, tuple[str, list[str]]]] = {}
    categories: dict[str, tuple[int, str]] = {}
    for row in rows:
        vote = row.values
        shown = (vote["sample"], sorted((vote["method_left"], vote["method_right"])))
        line, before = pairs.setdefault(vote["pair_id"], (row.line, shown))
        if before != shown:
            problems.append(
                (row.line, f"pair {vote['pair_id']!r} has another sample or methods in line {line}")
            )
        line, category = categories.setdefault(vote["sample"], (row.line, vote["category"]))
        if category != vote["category"]:
            problems.append(
                (row.line, f"sample {vote['sample']!r} has category {category!r} in line {line}")
            )
    return problems


def _broken_repeats(rows: Sequence[Row]) -> list[Problem]:
    problems: list[Problem] = []
    ordinary = {row.values["vote_id"]: row.values for row in rows if not row.values["check"]}
    for row in rows:
        vote = row.values
        if not vote["repeat_of"]:
            continue
        first = ordinary.get(vote["repeat_of"])
        if first is None:
            problems.append((row.line, f"repeat_of {vote['repeat_of']!r} is no ordinary vote"))
        elif any(first[name] != vote[name] for name in ("rater", "question", "pair_id")):
            problems.append(
                (row.line, f"repeats {vote['repeat_of']!r} of another rater, question or pair")
            )
    return problems


def _unplanned(rows: Sequence[Row], plan: StudyPlan) -> list[Problem]:
    problems: list[Problem] = []
    pairs = {
        pair.pair_id: (pair.sample, pair.category, sorted(pair.methods)) for pair in plan.pairs
    }
    for row in rows:
        vote = row.values
        if plan.questions and vote["question"] not in plan.questions:
            problems.append((row.line, f"the plan has no question {vote['question']!r}"))
        if not plan.pairs:
            continue
        shown = (
            vote["sample"],
            vote["category"],
            sorted((vote["method_left"], vote["method_right"])),
        )
        if vote["pair_id"] not in pairs:
            problems.append((row.line, f"the plan has no pair {vote['pair_id']!r}"))
        elif pairs[vote["pair_id"]] != shown:
            problems.append(
                (row.line, f"pair {vote['pair_id']!r} is planned with other sample or methods")
            )
    return problems
