"""Rows of iCD's instruction files (CSV); captions may go over several lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from icd_bench.data.card import Card
from icd_bench.data.home import open_folder
from icd_bench.errors import BadSample, UsageError

from .captions import strip_brackets
from .prompt_files import Row, read_rows

COLUMNS = ("file_name", "caption", "old_caption", "edited_caption", "blended_words", "id")


def find_instructions(card: Card, location: str | None, split: str | None, name: str) -> Path:
    """Return a benchmark's instruction file.

    Raises:
        UsageError: it is not there, or a split is named.
    """
    if split is not None:
        raise UsageError(f"{card.name}: split {split!r}: it has no splits; leave it out")
    path = open_folder(card, location) / name
    if not path.is_file():
        raise UsageError(f"{card.name}: there is no {path}; {card.how_to_get}")
    return path


def caption_rows(path: Path, required: Sequence[str]) -> Iterator[Row | BadSample]:
    """Yield the rows of an instruction file, and each unusable row as its error."""
    return read_rows(path, COLUMNS, required)


def caption(row: Row, column: str) -> str:
    """Return a caption on one line; raises BadSample where it is empty."""
    text = strip_brackets(row.text(column))
    if not text:
        raise BadSample(row.where, column, "the caption is empty")
    return text
