from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from PIL import Image
from study_runs import answer, make_study, write_lines

from icd_bench.errors import UsageError
from icd_bench.reports.study.commands import export_study, import_answers
from icd_bench.reports.study.design import Study
from icd_bench.reports.study.rows import BadVotes

OUTCOMES = ("left", "right", "tie", "skip")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("formats"), questions=("overall", "follows"))


def outcome_of(task: str, question: str, rater: str) -> str:
    return OUTCOMES[sum(map(ord, task + question + rater)) % 4]


def check_round_trip(study: Study, votes: pd.DataFrame, tasks: dict[str, list[str]]) -> None:
    """All answers arrive, each with its own outcome, its own sides and its own kind."""
    wanted = {
        f"{rater}/{task}/{question}": outcome_of(task, question, rater)
        for rater, own in tasks.items()
        for task in own
        for question in study.plan.questions
    }
    assert dict(zip(votes["vote_id"], votes["outcome"], strict=True)) == wanted
    showings = {showing.task: showing for showing in study.key.showings}
    for vote in votes.to_dict("records"):
        showing = showings[vote["vote_id"].split("/")[1]]
        assert vote["pair_id"] == showing.pair_id
        assert (vote["check"] == "repeat") == showing.repeat
        if not vote["pair_id"].startswith("check/"):
            flipped = vote["method_left"] > vote["method_right"]
            assert flipped == showing.flipped
    kinds = {showing.pair_id.startswith("check/") for showing in showings.values()}
    assert kinds == {True, False}


def crowd(study: Study) -> dict[str, list[str]]:
    return {worker: list(study.bundle.crowd) for worker in ("W1", "W2")}


def test_sheet_round_trip(study: Study, tmp_path: Path) -> None:
    files = []
    for rater, tasks in study.bundle.lists.items():
        rows = [
            answer(rater, t, study.key.study, question=q, outcome=outcome_of(t, q, rater))
            for t in tasks
            for q in study.plan.questions
        ]
        files.append(write_lines(tmp_path / f"{rater}.json", rows))
    _, votes = import_answers(study.folder, files, "sheet", tmp_path / "votes.csv")
    check_round_trip(study, votes, {r: list(t) for r, t in study.bundle.lists.items()})
    assert (votes["seconds"] == 2.5).all()


def test_label_studio_round_trip(study: Study, tmp_path: Path) -> None:
    export_study(study.folder, "label_studio", tmp_path / "out", "https://x.example/")
    interface = ElementTree.parse(tmp_path / "out/interface.xml")
    names = {choices.get("name") for choices in interface.iter("Choices")}
    assert names == {"overall", "follows"}
    labels = {choice.get("alias") for choice in interface.iter("Choice")}
    tasks = json.loads((tmp_path / "out/tasks.json").read_text())
    assert tasks[0]["data"]["left"].startswith("https://x.example/images/")
    for number, task in enumerate(tasks):
        task["annotations"] = []
        for worker, by in (("W1", {"email": "W1"}), ("W2", "W2")):
            results = []
            for question in study.plan.questions:
                choice = outcome_of(task["data"]["task"], question, worker)
                assert choice in labels
                value = {"choices": [choice]}
                results.append({"from_name": question, "type": "choices", "value": value})
            task["annotations"].append(
                {"completed_by": by, "lead_time": 9.0, "was_cancelled": False, "result": results}
            )
        task["id"] = number
    path = tmp_path / "back.json"
    path.write_text(json.dumps(tasks, indent=1))
    _, votes = import_answers(study.folder, [path], "label_studio", tmp_path / "votes.csv")
    check_round_trip(study, votes, crowd(study))
    assert (votes["seconds"] == 4.5).all()

    tasks[0]["annotations"][0] |= {"was_cancelled": True, "result": []}
    path.write_text(json.dumps(tasks))
    _, votes = import_answers(study.folder, [path], "label_studio", tmp_path / "skips.csv")
    mine = votes["vote_id"].str.startswith(f"W1/{tasks[0]['data']['task']}")
    assert set(votes.loc[mine, "outcome"]) == {"skip"}

    tasks[1]["annotations"][0]["result"].pop()
    path.write_text("[" + ",\n".join(map(json.dumps, tasks)) + "]")
    with pytest.raises(BadVotes, match=r"back.json:2: .*without an answer to follows"):
        import_answers(study.folder, [path], "label_studio", tmp_path / "bad.csv")


def filled(rows: list[dict[str, str]], study: Study, names: Callable[[str], str]) -> str:
    """Return what a crowd platform gives back for exported rows."""
    back = []
    for worker in ("W1", "W2"):
        for row in rows:
            task = row[names("task")]
            extra = {names(q): outcome_of(task, q, worker) for q in study.plan.questions}
            back.append(row | extra | {names("worker"): worker})
    buffer = io.StringIO()
    delimiter = "\t" if names("task").startswith("INPUT:") else ","
    writer = csv.DictWriter(buffer, list(back[0]), delimiter=delimiter)
    writer.writeheader()
    for number, line in enumerate(back):
        if delimiter == "\t" and number % 5 == 0:
            buffer.write("\r\n")
        writer.writerow(line)
    return buffer.getvalue()


def test_toloka_round_trip(study: Study, tmp_path: Path) -> None:
    export_study(study.folder, "toloka", tmp_path / "out")
    with (tmp_path / "out/tasks.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert {row["GOLDEN:overall"] for row in rows} == {""}
    names = {"task": "INPUT:task", "worker": "ASSIGNMENT:worker_id"}
    text = filled(rows, study, lambda name: names.get(name, f"OUTPUT:{name}"))
    path = tmp_path / "assignments.tsv"
    path.write_text(text, newline="")
    _, votes = import_answers(study.folder, [path], "toloka", tmp_path / "votes.csv")
    check_round_trip(study, votes, crowd(study))


def test_mturk_round_trip(study: Study, tmp_path: Path) -> None:
    export_study(study.folder, "mturk", tmp_path / "out")
    layout = (tmp_path / "out/layout.html").read_text()
    with (tmp_path / "out/hits.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(re.findall(r"\$\{(\w+)\}", layout)) <= set(rows[0])
    assert "&lt;b&gt;" in rows[0]["source_prompt"]
    inputs = [{f"Input.{name}": text for name, text in row.items()} for row in rows]
    names = {"task": "Input.task", "worker": "WorkerId"}
    text = filled(inputs, study, lambda name: names.get(name, f"Answer.{name}"))
    path = tmp_path / "results.csv"
    path.write_text(text, newline="")
    _, votes = import_answers(study.folder, [path], "mturk", tmp_path / "votes.csv")
    check_round_trip(study, votes, crowd(study))


def test_side_by_side_round_trip(study: Study, tmp_path: Path) -> None:
    export_study(study.folder, "side_by_side", tmp_path / "out")
    tasks = study.bundle.lists["rater-01"]
    assert (tmp_path / "out/rater-01.pdf").read_bytes().count(b"/Type /Page\n") == len(tasks)
    page = Image.open(tmp_path / "out/rater-01/001.png").convert("RGB")
    assert page.getpixel((10, 10)) == (255, 255, 255)
    with (tmp_path / "out/rater-01.csv").open() as file:
        form = list(csv.DictReader(file))
    for row in form:
        row["outcome"] = outcome_of(row["task"], row["question"], "rater-01").title()
    path = tmp_path / "form.csv"
    pd.DataFrame(form).to_csv(path, index=False)
    _, votes = import_answers(study.folder, [path], "side_by_side", tmp_path / "votes.csv")
    check_round_trip(study, votes, {"rater-01": list(tasks)})


# -------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outcome": "lefft"}, "answers.json:3: outcome 'lefft' is not one of"),
        ({"outcome": ""}, "answers.json:3: outcome '' is not one of"),
        ({"task": "0" * 20}, "answers.json:3: there is no pair '0000"),
        ({"question": "beauty"}, "answers.json:3: there is no question 'beauty'"),
        ({"study": "deadbeef"}, "answers.json:3: belongs to study 'deadbeef'"),
        ({"sheet": "rater-99"}, "answers.json:3: there is no sheet 'rater-99'"),
        ({"sheet": "rater-02"}, "answers.json:3: pair .* is not on sheet 'rater-02'"),
        ({"seconds": "soon"}, "answers.json:3: seconds 'soon' is not a number"),
    ],
)
def test_wrong_answers_are_refused_with_their_line(
    study: Study, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    first, second = study.bundle.lists["rater-01"][:2]
    rows = [answer("rater-01", first, study.key.study)]
    rows.append(answer("rater-01", second, study.key.study) | changes)
    path = write_lines(tmp_path / "answers.json", rows)
    with pytest.raises(BadVotes, match=message):
        import_answers(study.folder, [path], "sheet", tmp_path / "votes.csv")
    assert not (tmp_path / "votes.csv").exists()


def test_an_answer_twice_is_refused_across_files(study: Study, tmp_path: Path) -> None:
    task = study.bundle.lists["rater-01"][0]
    row = answer("rater-01", task, study.key.study)
    one = write_lines(tmp_path / "one.json", [row])
    two = write_lines(tmp_path / "two.json", [row])
    with pytest.raises(BadVotes, match=r"two.json:2: .* already in one.json line 2"):
        import_answers(study.folder, [one, two], "sheet", tmp_path / "votes.csv")


def test_votes_are_replaced_only_on_demand(study: Study, tmp_path: Path) -> None:
    task = study.bundle.lists["rater-01"][0]
    path = write_lines(tmp_path / "one.json", [answer("rater-01", task, study.key.study)])
    out = tmp_path / "votes.csv"
    import_answers(study.folder, [path], "sheet", out)
    with pytest.raises(UsageError, match="--replace"):
        import_answers(study.folder, [path], "sheet", out)
    import_answers(study.folder, [path], "sheet", out, replace=True)


def test_a_repeat_without_its_first_showing_is_an_ordinary_vote(
    study: Study, tmp_path: Path
) -> None:
    showing = next(s for s in study.key.showings if s.repeat and s.rater)
    row = answer(showing.rater, showing.task, study.key.study)
    path = write_lines(tmp_path / "one.json", [row])
    _, votes = import_answers(study.folder, [path], "sheet", tmp_path / "votes.csv")
    assert votes[["check", "repeat_of"]].to_numpy().tolist() == [["", ""]]
