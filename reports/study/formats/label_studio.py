"""Label Studio: tasks as JSON, a labelling interface as XML, annotations back as JSON.

The interface has four choices in place of ``<Pairwise>``, which knows no tie.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from xml.sax.saxutils import quoteattr

from icd_bench.reports.study.answers import Answer
from icd_bench.reports.study.bundle import Bundle
from icd_bench.reports.study.formats.common import CHOICES, question_ids, task_texts
from icd_bench.reports.study.rows import BadVotes, Problem, json_items, read_text


class LabelStudio:
    """Projects of Label Studio; set the overlap to the votes wanted for a pair."""

    title: ClassVar[str] = "Label Studio tasks and annotations (JSON)"

    def export(self, bundle: Bundle, folder: Path, out: Path, base_url: str) -> list[Path]:
        """Write ``tasks.json`` and ``interface.xml``."""
        tasks = [{"data": task_texts(bundle.tasks[task], base_url)} for task in bundle.crowd]
        (out / "tasks.json").write_text(
            json.dumps(tasks, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        (out / "interface.xml").write_text(_interface(bundle), encoding="utf-8")
        return [out / "tasks.json", out / "interface.xml"]

    def read(self, path: Path, bundle: Bundle) -> list[Answer]:
        """Read an export of annotations ("JSON"). A cancelled annotation is a skip."""
        answers: list[Answer] = []
        problems: list[Problem] = []
        for line, item in json_items(read_text(path), path.name):
            try:
                answers += _answers_of(item, path.name, line, bundle)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                problems.append((line, f"not a task with annotations ({error})"))
        if problems:
            raise BadVotes(path.name, problems)
        return answers


def _answers_of(item: Any, source: str, line: int, bundle: Bundle) -> Iterator[Answer]:
    questions = question_ids(bundle)
    for annotation in item["annotations"]:
        by = annotation["completed_by"]
        rater = str(by.get("email") or by["id"]) if isinstance(by, dict) else str(by)
        lead = annotation.get("lead_time")
        answer = partial(
            Answer,
            source=source,
            line=line,
            task=str(item["data"]["task"]),
            rater=rater,
            seconds=None if lead is None else float(lead) / len(questions),
        )
        if annotation.get("was_cancelled"):
            yield from (answer(question=question, outcome="skip") for question in questions)
            continue
        results = annotation["result"]
        if missing := set(questions) - {result["from_name"] for result in results}:
            raise ValueError(f"annotation without an answer to {', '.join(sorted(missing))}")
        for result in results:
            (choice,) = result["value"]["choices"]
            yield answer(question=result["from_name"], outcome=str(choice))


def _interface(bundle: Bundle) -> str:
    lines = [
        "<View>",
        '  <Header value="Original: $source_prompt" size="5"/>',
        '  <Header value="Wanted: $target_prompt" size="4"/>',
        '  <View style="display: grid; grid-template-columns: repeat(3, 1fr); gap: 16px">',
    ]
    for name, title in (("left", "Left"), ("source", "Original"), ("right", "Right")):
        lines += [
            f'    <View><Header value="{title}" size="5"/>'
            f'<Image name="{name}" value="${name}" zoom="true"/></View>'
        ]
    lines.append("  </View>")
    for question in bundle.questions:
        lines += [
            f"  <Header value={quoteattr(question.text)}/>",
            f'  <Choices name="{question.id}" toName="left" choice="single-radio" '
            'showInline="true" required="true">',
            *(
                f'    <Choice value="{text}" alias="{outcome}" hotkey="{number}"/>'
                if question == bundle.questions[0]
                else f'    <Choice value="{text}" alias="{outcome}"/>'
                for number, (outcome, text) in enumerate(CHOICES.items(), start=1)
            ),
            "  </Choices>",
        ]
    return "\n".join([*lines, "</View>"]) + "\n"
