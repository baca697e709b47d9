"""The answers that ``icd-bench study serve`` kept."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from icd_bench.errors import UsageError
from icd_bench.reports.study.answers import Answer
from icd_bench.reports.study.bundle import Bundle
from icd_bench.reports.study.server.store import AnswerStore


class Server:
    """The server's database."""

    title: ClassVar[str] = "answers of the server (SQLite); import only"

    def export(self, bundle: Bundle, folder: Path, out: Path, base_url: str) -> list[Path]:
        """Nothing is exported.

        Raises:
            UsageError: always; the server reads the study itself.
        """
        raise UsageError("the server reads the study itself: icd-bench study serve")

    def read(self, path: Path, bundle: Bundle) -> list[Answer]:
        """Read the current answers; a line is the number of an answer."""
        if not path.is_file():
            raise UsageError(f"{path}: there is no such file")
        store = AnswerStore(path, bundle)
        try:
            rows = store.all_answers()
        finally:
            store.close()
        return [
            Answer(
                source=path.name,
                line=row["number"],
                task=row["task"],
                question=row["question"],
                rater=row["rater"],
                outcome=row["outcome"],
                seconds=row["seconds"],
            )
            for row in rows
        ]
