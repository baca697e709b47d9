"""Reads prompt files (CSV and JSON lines) row by row; a bad row never hides the next one."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icd_bench.errors import BadSample
from icd_bench.registry import suggest

PROMPT_FILES = ("prompts.csv", "prompts.jsonl")


@dataclass(frozen=True)
class Row:
    """One row of a prompt file.

    Args:
        where: file and row, for messages.
        values: column -> value; strings in a CSV file, any JSON in JSON lines.
    """

    where: str
    values: Mapping[str, Any]

    def text(self, column: str) -> str:
        """Return the column as text without outer spaces; empty where there is none."""
        value = self.values.get(column)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise BadSample(self.where, column, "is not text", "put it in quotes")
        return str(value).strip()

    def words(self, column: str) -> tuple[str, ...]:
        """Return the column as words: a JSON list, or text split at spaces, commas, semicolons."""
        value = self.values.get(column)
        if isinstance(value, list):
            return tuple(word for text in value for word in _split(self._word(text, column)))
        return _split(self.text(column))

    def pairs(self, column: str) -> tuple[tuple[str, str], ...]:
        """Return the column as (source, target) word pairs.

        Text is ``source target`` or ``source,target``, several pairs with semicolons between; a
        JSON list holds such texts or two-element lists.
        """
        value = self.values.get(column)
        if isinstance(value, list):
            texts = [
                " ".join(self._word(part, column) for part in item)
                if isinstance(item, list)
                else self._word(item, column)
                for item in value
            ]
        else:
            texts = self.text(column).split(";")
        return tuple(self._pair(text, column) for text in texts if text.strip())

    def others(self, known: Sequence[str]) -> dict[str, Any]:
        """Return the columns that are not known, without empty ones."""
        return {k: v for k, v in self.values.items() if k not in known and v not in ("", None)}

    def _pair(self, text: str, column: str) -> tuple[str, str]:
        words = [word.strip() for word in text.split(",")] if "," in text else text.split()
        if len(words) != 2:
            raise BadSample(
                self.where, column, f'"{text.strip()}" is not two words', 'write "source target"'
            )
        return words[0], words[1]

    def _word(self, value: object, column: str) -> str:
        if not isinstance(value, str):
            raise BadSample(self.where, column, "is not a list of words", 'write ["cat", "dog"]')
        return value


def read_rows(
    path: Path, columns: Sequence[str], required: Sequence[str]
) -> Iterator[Row | BadSample]:
    """Yield the file's rows in order, and each unusable row as its error.

    Args:
        path: a ``.csv`` or ``.jsonl`` file, UTF-8 or UTF-16 with a byte order mark.
        columns: the known columns, for suggestions.
        required: columns that every row must have.
    """
    try:
        text = _decode(path)
        if path.suffix == ".csv":
            yield from _csv_rows(path, text, columns, required)
        else:
            yield from _json_rows(path, text, columns, required)
    except BadSample as error:
        yield error


def _decode(path: Path) -> str:
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadSample(
            f"{path.name}, line {line}", "encoding", f"not {encoding[:6]}", "save the file as UTF-8"
        ) from error


def _csv_rows(
    path: Path, text: str, columns: Sequence[str], required: Sequence[str]
) -> Iterator[Row | BadSample]:
    lines = text.splitlines()
    first = lines[0] if lines else ""
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _check_header(f"{path.name}, row 1", header, columns, required)
        for number, values in enumerate(reader, start=2):
            where = f"{path.name}, row {number}"
            if len(values) > len(header):
                yield BadSample(
                    where,
                    header[-1] or "header",
                    f"{len(values)} values in {len(header)} columns",
                    f'put a text with "{delimiter}" in it in double quotes',
                )
            elif any(value.strip() for value in values):
                yield Row(where, dict(zip(header, values, strict=False)))
    except csv.Error as error:
        yield BadSample(
            f"{path.name}, row {number + 1}",
            "quotes",
            f"the file cannot be read on from here: {error}",
            "close the quote, and double the quotes inside a text",
        )


def _check_header(
    where: str, header: Sequence[str], columns: Sequence[str], required: Sequence[str]
) -> None:
    if not any(header):
        raise BadSample(where, "header", "the file is empty", f"name columns {', '.join(required)}")
    for name in header:
        if header.count(name) > 1:
            raise BadSample(
                where, name or "header", "the column is there twice", "rename one of them"
            )
    _check_columns(where, header, columns, required)


def _check_columns(
    where: str, found: Collection[str], columns: Sequence[str], required: Sequence[str]
) -> None:
    for column in required:
        if column not in found:
            near = suggest(column, [name for name in found if name not in columns])
            fix = near.strip() or f"needed are {', '.join(required)}"
            raise BadSample(where, column, "there is no such column", fix)


def _json_rows(
    path: Path, text: str, columns: Sequence[str], required: Sequence[str]
) -> Iterator[Row | BadSample]:
    # Only "\n" ends a JSON line: str.splitlines would also break at characters inside texts.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path.name}, line {number}"
        try:
            values = _json_object(line, where)
            _check_columns(where, values, columns, required)
        except BadSample as error:
            yield error
            continue
        yield Row(where, values)


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadSample(where, "JSON", str(error), "write one JSON object on the line") from error
    if not isinstance(values, dict):
        raise BadSample(where, "JSON", "is no object", 'write {"image": ..., "source": ...}')
    return {name.strip().lower(): value for name, value in values.items()}


def _split(text: str) -> tuple[str, ...]:
    return tuple(re.split(r"[\s,;]+", text.strip(" ,;\t\n"))) if text.strip(" ,;\t\n") else ()
