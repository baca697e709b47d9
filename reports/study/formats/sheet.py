"""The offline sheet: one HTML file a rater, who sends a JSON file back."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from icd_bench.reports.study.answers import Answer
from icd_bench.reports.study.bundle import Bundle
from icd_bench.reports.study.formats.common import read_seconds
from icd_bench.reports.study.rows import BadVotes, read_rows
from icd_bench.reports.study.sheet import offline_sheet


class Sheet:
    """One self-contained page for each rater."""

    title: ClassVar[str] = "offline HTML sheet, JSON back"

    def export(self, bundle: Bundle, folder: Path, out: Path, base_url: str) -> list[Path]:
        """Write ``RATER.html`` for each planned rater; pictures are inside."""
        written = []
        for rater in bundle.lists:
            written.append(out / f"{rater}.html")
            written[-1].write_text(offline_sheet(bundle, folder, rater), encoding="utf-8")
        return written

    def read(self, path: Path, bundle: Bundle) -> list[Answer]:
        """Read the file that a sheet's download button made."""
        columns = ("study", "sheet", "task", "question", "outcome")
        answers, problems = [], []
        for row in read_rows(path, columns, ("seconds", "at")):
            values = row.values
            sheet, task = values["sheet"], values["task"]
            if sheet not in bundle.lists:
                problems.append((row.line, f"there is no sheet {sheet!r} in this study"))
            elif task in bundle.tasks and task not in bundle.lists[sheet]:
                problems.append((row.line, f"pair {task!r} is not on sheet {sheet!r}"))
            answers.append(
                Answer(
                    source=path.name,
                    line=row.line,
                    task=task,
                    question=values["question"],
                    rater=sheet,
                    outcome=values["outcome"],
                    seconds=read_seconds(row, "seconds", path.name),
                    study=values["study"],
                )
            )
        if problems:
            raise BadVotes(path.name, problems)
        return answers
