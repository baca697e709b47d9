"""Published numbers beside measured ones, in the table of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import log10

from icd_bench.reports.table_model import Row, Table

from .check import obstacles
from .numbers import PublishedNumber, published_numbers


def beside(table: Table, numbers: Sequence[PublishedNumber] | None = None) -> Table:
    """Return a table with the published value beside each measured one that it compares with.

    Where a method has published numbers on the table's benchmark but none compares, a note says
    why.

    Args:
        table: of some runs.
        numbers: default: all that the package has.
    """
    known = published_numbers() if numbers is None else numbers
    rows = tuple(replace(row, published=_values(row, table, known)) for row in table.rows)
    if any(row.published for row in rows):
        papers = {n.paper for row in rows for n in _comparable(row, table, known)}
        notes = [f"[published value]: {paper}" for paper in sorted(papers)]
    else:
        notes = []
    notes += dict.fromkeys(note for row in rows for note in _reasons(row, table, known))
    return replace(table, rows=rows, notes=(*table.notes, *notes))


def _comparable(
    row: Row, table: Table, numbers: Sequence[PublishedNumber]
) -> Iterator[PublishedNumber]:
    for number in numbers:
        if number.method == row.method and not list(obstacles(number, row, table)):
            yield number


def _values(row: Row, table: Table, numbers: Sequence[PublishedNumber]) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for number in _comparable(row, table, numbers):
        (factor,) = (c.factor for c in table.columns if c.key == number.column.metric)
        values.setdefault(number.column.metric, []).append(_in_our_unit(number, factor))
    return {metric: ", ".join(dict.fromkeys(texts)) for metric, texts in values.items()}


def _in_our_unit(number: PublishedNumber, factor: float) -> str:
    """Return a published value as a column shows it whose values are multiplied by a factor."""
    scale = number.column.scale / factor
    return f"{number.value / scale:.{number.column.digits + round(log10(scale))}f}"


def _reasons(row: Row, table: Table, numbers: Sequence[PublishedNumber]) -> Iterator[str]:
    """Yield why the published numbers of a row that has none beside it do not compare."""
    of_row = [n for n in numbers if (n.method, n.benchmark) == (row.method, row.benchmark)]
    if row.published or not of_row:
        return
    nearest = min((list(obstacles(number, row, table)) for number in of_row), key=len)
    yield f"published numbers of {row.method} are not comparable: {'; '.join(nearest)}"
