from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from study_votes import table, vote

from icd_bench.reports.study.plan import PlannedPair, StudyPlan
from icd_bench.reports.study.rows import SHOWN_PROBLEMS, BadVotes
from icd_bench.reports.study.votes import COLUMNS, check_votes, judgements, read_votes, write_votes


def write_csv(path: Path, *rows: dict[str, Any]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(COLUMNS))
        writer.writeheader()
        writer.writerows(rows)
    return path


def problems(path: Path, plan: StudyPlan | None = None) -> list[tuple[int, str]]:
    with pytest.raises(BadVotes) as caught:
        read_votes(path, plan)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"outcome": "Left"}, "outcome 'Left' is not one of"),
        ({"outcome": "a"}, "outcome 'a' is not one of"),
        ({"outcome": ""}, "outcome is empty"),
        ({"rater": " "}, "rater is empty"),
        ({"check": "trap"}, "check 'trap' is not one of"),
        ({"check": "corrupted"}, "one side is 'corrupted' if and only if"),
        ({"check": "identical"}, "same method stands on both sides"),
        ({"method_right": "icd"}, "same method stands on both sides"),
        ({"method_right": "corrupted"}, "one side is 'corrupted' if and only if"),
        ({"repeat_of": "v0"}, "repeat_of is given if and only if"),
        ({"check": "repeat"}, "repeat_of is given if and only if"),
        ({"check": "repeat", "repeat_of": "v9"}, "'v9' is no ordinary vote"),
        ({"seconds": "-1"}, "seconds '-1' is not a number"),
        ({"seconds": "nan"}, "seconds 'nan' is not a number"),
        ({"simulated": "yes"}, "simulated 'yes' is neither"),
    ],
)
def test_a_bad_vote_is_named_with_its_line(
    tmp_path: Path, change: dict[str, str], text: str
) -> None:
    path = write_csv(tmp_path / "votes.csv", vote(vote_id="v0", pair_id="p0"), vote(**change))
    found = problems(path)
    assert [line for line, _ in found] == [3] * len(found)
    assert any(text in problem for _, problem in found)


def test_every_problem_is_listed_in_the_order_of_lines(tmp_path: Path) -> None:
    rows = [vote(vote_id=f"v{n}", rater=f"r{n}", outcome="?") for n in range(30)]
    path = write_csv(tmp_path / "votes.csv", *rows)
    with pytest.raises(BadVotes) as caught:
        read_votes(path)
    assert [line for line, _ in caught.value.problems] == list(range(2, 32))
    message = str(caught.value)
    assert message.count("\n") == SHOWN_PROBLEMS
    assert "votes.csv:2: outcome '?'" in message
    assert "and 10 more problems" in message


def test_duplicates_are_errors(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "votes.csv", vote(), vote(rater="bob"), vote(vote_id="v3"))
    assert problems(path) == [
        (3, "vote_id 'v1' is that of line 2"),
        (4, "rater 'ann' answered this pair already in line 2"),
    ]


def test_the_same_pair_may_be_asked_two_questions() -> None:
    assert len(table(vote(), vote(vote_id="v2", question="follows"))) == 2


def test_contradictions_between_lines_are_errors(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "votes.csv",
        vote(),
        vote(vote_id="v2", rater="bob", sample="s2"),
        vote(vote_id="v3", rater="eve", method_left="npi", method_right="icd"),
        vote(vote_id="v4", rater="joe", category="colour"),
    )
    found = problems(path)
    assert [line for line, _ in found] == [3, 5]
    assert "another sample or methods in line 2" in found[0][1]
    assert "has category '' in line 2" in found[1][1]


def test_a_repeat_is_of_the_same_rater_pair_and_question(tmp_path: Path) -> None:
    again = vote(vote_id="v2", repeat_of="v1", check="repeat")
    assert len(table(vote(), again)) == 2
    path = write_csv(tmp_path / "votes.csv", vote(), again | {"rater": "bob"})
    assert problems(path) == [(3, "repeats 'v1' of another rater, question or pair")]


def test_votes_that_the_plan_does_not_have_are_errors(tmp_path: Path) -> None:
    plan = StudyPlan(
        questions=("overall",),
        pairs=(
            PlannedPair(pair_id="p1", sample="s1", methods=("icd", "npi")),
            PlannedPair(pair_id="p2", sample="s2", methods=("icd", "sdedit")),
        ),
    )
    path = write_csv(
        tmp_path / "votes.csv",
        vote(),
        vote(vote_id="v2", question="beauty"),
        vote(vote_id="v3", pair_id="p9"),
        vote(vote_id="v4", pair_id="p2", sample="s2"),
    )
    assert problems(path, plan) == [
        (3, "the plan has no question 'beauty'"),
        (4, "the plan has no pair 'p9'"),
        (5, "pair 'p2' is planned with other sample or methods"),
    ]


def test_real_and_simulated_votes_do_not_mix(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "votes.csv", vote(), vote(vote_id="v2", rater="b", simulated="true")
    )
    assert problems(path) == [
        (1, "real and simulated votes in one table; analyse them apart"),
    ]


def test_a_skip_is_no_tie_and_an_absent_time_no_zero() -> None:
    votes = table(
        vote(outcome="skip", seconds=""),
        vote(vote_id="v2", rater="bob", outcome="tie"),
        vote(vote_id="v3", rater="eve", method_left="npi", method_right="icd"),
    )
    assert votes["seconds"].isna().tolist() == [True, False, False]
    judged = judgements(votes)
    assert judged["rater"].tolist() == ["bob", "eve"]
    assert judged["method_a"].tolist() == ["icd", "icd"]
    assert judged["score"].tolist() == [0.5, 0.0]


def test_checks_and_repeats_are_not_judgements() -> None:
    votes = table(
        vote(),
        vote(vote_id="v2", check="repeat", repeat_of="v1"),
        vote(vote_id="v3", pair_id="p3", method_right="corrupted", check="corrupted"),
        vote(vote_id="v4", pair_id="p4", method_right="icd", check="identical", outcome="tie"),
    )
    assert judgements(votes)["vote_id"].tolist() == ["v1"]


def test_csv_and_json_and_frames_read_alike(tmp_path: Path) -> None:
    rows = [
        vote(rater='a "quoted",\nname', category="größe"),
        vote(vote_id="v2", rater="bob", seconds="", outcome="skip", category="größe"),
    ]
    from_csv = read_votes(write_csv(tmp_path / "votes.csv", *rows))
    listed = [row | {"seconds": 4.5 if row["seconds"] else None} for row in rows]
    path = tmp_path / "votes.json"
    path.write_text(json.dumps(listed, indent=1), encoding="utf-8")
    pd.testing.assert_frame_equal(from_csv, read_votes(path))
    pd.testing.assert_frame_equal(from_csv, check_votes(from_csv))
    write_votes(from_csv, tmp_path / "again.csv")
    pd.testing.assert_frame_equal(from_csv, read_votes(tmp_path / "again.csv"))


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "empty file"),
        ("vote_id,outcome\n", 1, "lacks method_left"),
        ("vote_id,vote_id\n", 1, "columns twice: vote_id"),
        ("vote_id,extra\na,b\n", 1, "lacks method_left"),
        ("vote_id,extra\na,b\n", 1, "unknown columns extra"),
        (",".join(COLUMNS) + "\n" + '"a\nb",c\n', 2, "2 values for 13 columns"),
        (",".join(COLUMNS) + "\n" + '"a"b' + "," * 12 + "\n", 2, "not CSV"),
    ],
)
def test_a_broken_csv_file_is_refused(tmp_path: Path, text: str, line: int, problem: str) -> None:
    path = tmp_path / "votes.csv"
    path.write_text(text, encoding="utf-8")
    assert any(found[0] == line and problem in found[1] for found in problems(path))


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("{}", 1, "not a JSON list"),
        ("", 1, "not a JSON list"),
        ("[\n{},\n", 3, "not JSON"),
        ("[\n{}\n{}]", 3, "broken off"),
        ("[\n{},\n]", 3, "broken off"),
        ('[\n{"a": }]', 2, "not JSON"),
        ('[\n\n{"a": "1", "a": "2"}]', 3, "a key twice"),
        ("[\n7\n]", 2, "not an object of texts"),
        ('[\n{"vote_id": ["x"]}]', 2, "not an object of texts"),
        ("[]\n\nmore", 3, "more text after the list"),
    ],
)
def test_a_broken_json_file_is_refused(tmp_path: Path, text: str, line: int, problem: str) -> None:
    path = tmp_path / "votes.json"
    path.write_text(text, encoding="utf-8")
    assert any(found[0] == line and problem in found[1] for found in problems(path))


def test_other_encodings_and_endings_are_refused(tmp_path: Path) -> None:
    latin = tmp_path / "votes.csv"
    latin.write_bytes("größe".encode("latin-1"))
    assert "cannot be read as UTF-8" in problems(latin)[0][1]
    assert "cannot be read" in problems(tmp_path / "absent.csv")[0][1]
    other = tmp_path / "votes.xlsx"
    other.write_text("x")
    assert "use .csv, .tsv or .json" in problems(other)[0][1]
