"""Amazon Mechanical Turk: HITs as CSV with a layout, assignments back as CSV."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import ClassVar

from icd_bench.reports.study.answers import Answer
from icd_bench.reports.study.bundle import Bundle
from icd_bench.reports.study.formats.common import (
    CHOICES,
    question_ids,
    read_seconds,
    task_texts,
    write_table,
)
from icd_bench.reports.study.rows import read_rows


class MechanicalTurk:
    """Batches of Mechanical Turk; ask for as many assignments as votes wanted for a pair."""

    title: ClassVar[str] = "Mechanical Turk HITs, layout and results (CSV)"

    def export(self, bundle: Bundle, folder: Path, out: Path, base_url: str) -> list[Path]:
        """Write ``hits.csv`` and ``layout.html``; the layout inserts texts as they are."""
        rows = [
            {name: escape(text) for name, text in task_texts(task, base_url).items()}
            for task in (bundle.tasks[name] for name in bundle.crowd)
        ]
        layout = out / "layout.html"
        layout.write_text(_layout(bundle), encoding="utf-8")
        return [write_table(out / "hits.csv", rows), layout]

    def read(self, path: Path, bundle: Bundle) -> list[Answer]:
        """Read a batch's results, whatever their status: the plan decides who counts."""
        questions = question_ids(bundle)
        needed = ("Input.task", "WorkerId", *(f"Answer.{name}" for name in questions))
        answers = []
        for row in read_rows(path, needed, None):
            seconds = read_seconds(row, "WorkTimeInSeconds", path.name)
            answers += [
                Answer(
                    source=path.name,
                    line=row.line,
                    task=row.values["Input.task"],
                    question=question,
                    rater=row.values["WorkerId"],
                    outcome=row.values[f"Answer.{question}"],
                    seconds=None if seconds is None else seconds / len(questions),
                )
                for question in questions
            ]
        return answers


def _layout(bundle: Bundle) -> str:
    figures = "\n".join(
        f'    <figure><img src="${{{name}}}" alt="{title}">'
        f"<figcaption>{title}</figcaption></figure>"
        for name, title in (("left", "Left"), ("source", "Original"), ("right", "Right"))
    )
    questions = []
    for question in bundle.questions:
        choices = "\n".join(
            f'    <label><input type="radio" name="{question.id}" value="{outcome}" required> '
            f"{text}</label>"
            for outcome, text in CHOICES.items()
        )
        questions.append(
            f"  <fieldset>\n    <legend>{escape(question.text)}</legend>\n{choices}\n  </fieldset>"
        )
    return f"""<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<style>
  .pictures {{ display: grid; grid-template-columns: repeat(3, 1fr); gap: 16px; }}
  figure {{ margin: 0; text-align: center; }}
  img {{ width: 100%; }}
  fieldset {{ border: 0; margin: 12px 0; }}
  label {{ margin-right: 20px; }}
</style>
<crowd-form answer-format="flatten-objects">
  <p>Original: ${{source_prompt}}<br><b>Wanted: ${{target_prompt}}</b></p>
  <div class="pictures">
{figures}
  </div>
{chr(10).join(questions)}
</crowd-form>
"""
