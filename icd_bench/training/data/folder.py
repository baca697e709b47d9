"""Pictures in a folder: with ``metadata.jsonl``, with captions beside them, or in a CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from icd_bench.errors import BadSample, UsageError

from .rows import PICTURE_FILES, Captions, Columns, Row, bad_row, captions_of, read_bytes

METADATA: Final = "metadata.jsonl"


class Folder:
    """Rows whose pictures are files; one shard.

    Args:
        rows: all of them.
    """

    shards = 1

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def windows(self, shard: int) -> Iterator[Sequence[Row]]:
        """Yield all rows."""
        yield self._rows


def from_metadata(file: Path, columns: Columns) -> Folder:
    """Open a ``metadata.jsonl`` beside its pictures: one JSON object a line.

    Raises:
        UsageError: it cannot be read.
    """
    return Folder([_json_row(file, *line, columns) for line in enumerate(_lines(file), 1)])


def from_captions(folder: Path) -> Folder:
    """Open a folder, with its sub-folders, where ``a.txt`` is the caption of ``a.jpg``."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_FILES)
    return Folder([Row(str(path), partial(_beside, path)) for path in found])


def from_csv(file: Path, columns: Columns) -> Folder:
    """Open a CSV with a header, whose pictures are paths, relative to it or absolute.

    Raises:
        UsageError: it cannot be read, or lacks a column.
    """
    records = list(csv.DictReader(_lines(file)))
    if not records:
        raise UsageError(f"{file}: holds no rows")
    columns.check(list(records[0]), str(file))
    return Folder([_row(file, number, record, columns) for number, record in enumerate(records, 2)])


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error


def _json_row(file: Path, number: int, line: str, columns: Columns) -> Row:
    where = f"{file}:{number}"
    try:
        record = json.loads(line)
    except ValueError as error:
        return bad_row(BadSample(where, "metadata", f"not JSON ({error})"))
    if not isinstance(record, dict):
        return bad_row(BadSample(where, "metadata", "not a JSON object"))
    return _row(file, number, record, columns)


def _row(file: Path, number: int, record: Mapping[str, Any], columns: Columns) -> Row:
    where = f"{file}:{number}"

    def load() -> tuple[bytes, Captions]:
        picture, captions = columns.of(record, where)
        if not isinstance(picture, str) or not picture:
            raise BadSample(where, "image", "no path of a picture")
        return read_bytes(file.parent / picture, where), captions

    return Row(where, load)


def _beside(path: Path) -> tuple[bytes, Captions]:
    caption = path.with_suffix(".txt")
    try:
        text = caption.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSample(str(path), "caption", f"{caption.name} cannot be read") from error
    return read_bytes(path, str(path)), captions_of(text, str(caption))
