"""What several formats share."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from icd_bench.reports.study.bundle import IMAGES, Bundle, Task
from icd_bench.reports.study.rows import BadVotes, Row

CHOICES: Final = {
    "left": "Left is better",
    "tie": "Equal",
    "right": "Right is better",
    "skip": "Cannot judge",
}
"""Outcome -> what a rater reads."""


def picture_address(base_url: str, name: str) -> str:
    """Return the address of a picture."""
    return f"{base_url}{IMAGES}/{name}.png"


def task_texts(task: Task, base_url: str) -> dict[str, str]:
    """Return what a platform has to know of a task."""
    return {
        "task": task.id,
        "source": picture_address(base_url, task.source),
        "left": picture_address(base_url, task.left),
        "right": picture_address(base_url, task.right),
        "source_prompt": task.source_prompt,
        "target_prompt": task.target_prompt,
    }


def write_table(path: Path, rows: Sequence[Mapping[str, str]], delimiter: str = ",") -> Path:
    """Write rows with a header; return the path."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(buffer.getvalue(), encoding="utf-8")
    return path


def question_ids(bundle: Bundle) -> list[str]:
    """Return the names of the questions."""
    return [question.id for question in bundle.questions]


def read_seconds(row: Row, column: str, source: str) -> float | None:
    """Return a duration, None where the cell is empty or absent.

    Raises:
        BadVotes: the cell is no number of at least 0.
    """
    text = row.values.get(column, "")
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise BadVotes(source, [(row.line, f"{column} {text!r} is not a number of at least 0")])
    return seconds
