"""Toloka: tasks as TSV, assignments back as TSV."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from icd_bench.reports.study.answers import Answer
from icd_bench.reports.study.bundle import Bundle
from icd_bench.reports.study.formats.common import question_ids, task_texts, write_table
from icd_bench.reports.study.rows import read_rows


class Toloka:
    """Pools of Toloka; set the overlap to the votes wanted for a pair."""

    title: ClassVar[str] = "Toloka tasks and assignments (TSV)"

    def export(self, bundle: Bundle, folder: Path, out: Path, base_url: str) -> list[Path]:
        """Write ``tasks.tsv``. ``GOLDEN`` columns stay empty: the checks are the plan's affair."""
        rows = [
            {f"INPUT:{name}": text for name, text in task_texts(task, base_url).items()}
            | {f"GOLDEN:{question}": "" for question in question_ids(bundle)}
            | {"HINT:text": ""}
            for task in (bundle.tasks[name] for name in bundle.crowd)
        ]
        return [write_table(out / "tasks.tsv", rows, "\t")]

    def read(self, path: Path, bundle: Bundle) -> list[Answer]:
        """Read a TSV of assignments, whatever their status: the plan decides who counts."""
        questions = question_ids(bundle)
        needed = ("INPUT:task", "ASSIGNMENT:worker_id", *(f"OUTPUT:{name}" for name in questions))
        return [
            Answer(
                source=path.name,
                line=row.line,
                task=row.values["INPUT:task"],
                question=question,
                rater=row.values["ASSIGNMENT:worker_id"],
                outcome=row.values[f"OUTPUT:{question}"],
            )
            for row in read_rows(path, needed, None)
            for question in questions
        ]
