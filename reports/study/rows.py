"""Rows of text with their line numbers, from CSV or JSON; nothing is skipped or guessed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icd_bench.errors import IcdBenchError

SHOWN_PROBLEMS = 20
Problem = tuple[int, str]


class BadVotes(IcdBenchError):
    """Votes, ratings or scores cannot be used as they are; every problem has its line."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source, self.problems = source, tuple(problems)
        lines = [f"{source}:{line}: {text}" for line, text in self.problems[:SHOWN_PROBLEMS]]
        if len(self.problems) > SHOWN_PROBLEMS:
            lines.append(f"{source}: and {len(self.problems) - SHOWN_PROBLEMS} more problems")
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Row:
    """One record, all values as text; an absent value is the empty text."""

    line: int
    values: dict[str, str]


def read_rows(path: Path, required: Collection[str], optional: Collection[str] | None) -> list[Row]:
    """Read a CSV or TSV file with a header, or a JSON list of objects, by the file's ending.

    Args:
        path: ``.csv``, ``.tsv`` (where empty lines separate nothing) or ``.json``; UTF-8, with or
            without a byte-order mark.
        required: columns that must be there.
        optional: columns that may be there; any other column is an error. None allows any.

    Raises:
        BadVotes: unreadable, ragged, of unknown or doubled columns; with line numbers.
    """
    source, text = path.name, read_text(path)
    if path.suffix in (".csv", ".tsv"):
        header, rows = _csv_rows(text, source, "\t" if path.suffix == ".tsv" else ",")
        columns = [(1, set(header))]
    elif path.suffix == ".json":
        rows = _json_rows(text, source)
        columns = [(row.line, set(row.values)) for row in rows]
    else:
        raise BadVotes(source, [(1, f"ends in {path.suffix!r}; use .csv, .tsv or .json")])
    _require_columns(columns, set(required), None if optional is None else {*optional}, source)
    absent = dict.fromkeys([*required, *(optional or ())], "")
    return [Row(row.line, absent | row.values) for row in rows]


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        BadVotes: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadVotes(path.name, [(1, f"cannot be read as UTF-8 text ({error})")]) from error


def _csv_rows(text: str, source: str, delimiter: str) -> tuple[list[str], list[Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    header: list[str] | None = None
    rows: list[Row] = []
    problems: list[Problem] = []
    line = 1
    try:
        for cells in reader:
            if header is None:
                header = cells
                if doubled := {name for name in header if header.count(name) > 1}:
                    raise BadVotes(source, [(line, f"columns twice: {', '.join(sorted(doubled))}")])
            elif not cells and delimiter == "\t":
                pass
            elif len(cells) != len(header):
                problems.append((line, f"{len(cells)} values for {len(header)} columns"))
            else:
                rows.append(Row(line, dict(zip(header, cells, strict=True))))
            line = reader.line_num + 1
    except csv.Error as error:
        problems.append((line, f"not CSV: {error}"))
    if header is None:
        problems.append((1, "empty file; the first line names the columns"))
    if problems:
        raise BadVotes(source, problems)
    return header or [], rows


def _json_rows(text: str, source: str) -> list[Row]:
    rows: list[Row] = []
    problems: list[Problem] = []
    for line, record in json_items(text, source):
        if isinstance(record, dict) and all(_is_plain(value) for value in record.values()):
            rows.append(Row(line, {key: _as_text(value) for key, value in record.items()}))
        else:
            problems.append((line, "not an object of texts, numbers and truth values"))
    if problems:
        raise BadVotes(source, problems)
    return rows


def json_items(text: str, source: str) -> list[tuple[int, Any]]:
    """Return the items of a JSON list, each with the line that it starts in.

    Raises:
        BadVotes: not a JSON list, or one that is broken off.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_unique_keys)
    items: list[tuple[int, Any]] = []
    place = _skip_space(text, 0)
    if text[place : place + 1] != "[":
        raise BadVotes(source, [(1, "not a JSON list of objects")])
    place = _skip_space(text, place + 1)
    while text[place : place + 1] != "]":
        line = text.count("\n", 0, place) + 1
        try:
            record, place = decoder.raw_decode(text, place)
        except ValueError as error:
            raise BadVotes(source, [(line, f"not JSON: {error}")]) from error
        items.append((line, record))
        place = _skip_space(text, place)
        if text[place : place + 1] == ",":
            place = _skip_space(text, place + 1)
            ended = text[place : place + 1] == "]"
        else:
            ended = text[place : place + 1] != "]"
        if ended:
            line = text.count("\n", 0, place) + 1
            raise BadVotes(source, [(line, "not JSON: the list is broken off here")])
    place = _skip_space(text, place + 1)
    if text[place:]:
        line = text.count("\n", 0, place) + 1
        raise BadVotes(source, [(line, "not JSON: more text after the list")])
    return items


def _require_columns(
    columns: list[tuple[int, set[str]]], required: set[str], optional: set[str] | None, source: str
) -> None:
    problems: list[Problem] = []
    for line, names in columns:
        if missing := required - names:
            problems.append((line, f"lacks {', '.join(sorted(missing))}"))
        if optional is not None and (unknown := names - required - optional):
            problems.append((line, f"unknown columns {', '.join(sorted(unknown))}"))
    if problems:
        raise BadVotes(source, problems)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key twice in one object")
    return record


def _skip_space(text: str, place: int) -> int:
    while text[place : place + 1] in (" ", "\t", "\r", "\n"):
        place += 1
    return place


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _as_text(value: str | float | bool | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
