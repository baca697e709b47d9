"""From blind answers to votes: joined by the study's key, with nothing dropped or guessed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from icd_bench.reports.study.design import Study
from icd_bench.reports.study.key import Showing
from icd_bench.reports.study.plan import PlannedPair
from icd_bench.reports.study.rows import BadVotes, Problem
from icd_bench.reports.study.votes import COLUMNS, CORRUPTED, OUTCOMES, check_votes


@dataclass(frozen=True)
class Answer:
    """One answer as it came back; texts may still be wrong."""

    source: str
    """The file."""
    line: int
    """Where it is there, from 1."""
    task: str
    question: str
    rater: str
    outcome: str
    seconds: float | None = None
    study: str = ""
    """Name of the study, where the answer says so."""


def join_answers(answers: Sequence[Answer], study: Study) -> pd.DataFrame:
    """Return the votes (``votes.COLUMNS``) that ``answers`` are.

    The second of two showings of a pair to one rater is a repeat; a rater who saw only the second
    gave an ordinary vote.

    Raises:
        BadVotes: unknown tasks, questions or outcomes, answers of another study, and two answers
            of a rater to one question about one task; with the lines of the file.
    """
    showings = {showing.task: showing for showing in study.key.showings}
    pairs = {pair.pair_id: pair for pair in study.plan.pairs}
    problems: dict[str, list[Problem]] = defaultdict(list)
    seen: dict[tuple[str, str, str], Answer] = {}
    for answer in answers:
        texts = _problems_of(answer, study, showings)
        before = seen.setdefault((answer.rater, answer.task, answer.question), answer)
        if before is not answer:
            where = f"{before.source} " if before.source != answer.source else ""
            texts.append(f"{answer.rater!r} answered this already in {where}line {before.line}")
        problems[answer.source] += [(answer.line, text) for text in texts]
    for source, found in problems.items():
        if found:
            raise BadVotes(source, sorted(found))

    ordered = sorted(answers, key=lambda answer: showings[answer.task].repeat)
    first: dict[tuple[str, str, str], str] = {}
    votes = []
    for answer in ordered:
        showing = showings[answer.task]
        vote = _vote(answer, showing, pairs[showing.pair_id])
        asked = (answer.rater, showing.pair_id, answer.question)
        if asked in first:
            vote |= {"check": "repeat", "repeat_of": first[asked]}
        else:
            first[asked] = str(vote["vote_id"])
        votes.append(vote)
    frame = pd.DataFrame(votes, columns=list(COLUMNS))
    checked: pd.DataFrame = check_votes(frame, study.plan, "joined answers")
    return checked


def _problems_of(answer: Answer, study: Study, showings: dict[str, Showing]) -> list[str]:
    problems = []
    if answer.study and answer.study != study.key.study:
        problems.append(f"belongs to study {answer.study!r}, this is {study.key.study!r}")
    elif answer.task not in showings:
        problems.append(f"there is no pair {answer.task!r} in this study")
    if answer.question not in study.plan.questions:
        problems.append(f"there is no question {answer.question!r} in this study")
    if not answer.rater.strip():
        problems.append("nobody is named as the rater")
    if answer.outcome not in OUTCOMES:
        problems.append(f"outcome {answer.outcome!r} is not one of {', '.join(OUTCOMES)}")
    return problems


def _vote(answer: Answer, showing: Showing, pair: PlannedPair) -> dict[str, object]:
    left, right = reversed(pair.methods) if showing.flipped else pair.methods
    check = ""
    if CORRUPTED in pair.methods:
        check = CORRUPTED
    elif left == right:
        check = "identical"
    return {
        "vote_id": f"{answer.rater}/{answer.task}/{answer.question}",
        "pair_id": pair.pair_id,
        "rater": answer.rater,
        "question": answer.question,
        "sample": pair.sample,
        "category": pair.category,
        "method_left": left,
        "method_right": right,
        "outcome": answer.outcome,
        "repeat_of": "",
        "check": check,
        "seconds": answer.seconds,
        "simulated": False,
    }
