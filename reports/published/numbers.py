"""The published numbers: one YAML file a paper, tables in it as they are printed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from icd_bench.data.yaml_files import Entry, read_yaml

FOLDER = Path(__file__).parent


class PublishedColumn(Entry):
    """A measure as a table prints it."""

    metric: str
    """Our name of it, whether this version computes it or not."""
    unit: str = ""
    scale: float = 1
    """The printed number is this many times the measure."""
    digits: int
    """Printed after the point."""


class PublishedRow(Entry):
    """A method's line in a table."""

    title: str
    """As printed."""
    method: str = ""
    """Our name of it; empty where there is none."""
    setting: dict[str, Any] = Field(default_factory=dict)
    """Fields in which it differs from the method's default."""
    weights: str = ""
    """Where they are not the table's."""
    second_hand: str = ""
    """The paper that the number is taken from, where it is not the method's or the table's."""
    values: tuple[float | None, ...]
    """One a column; None where nothing is printed."""


class PublishedTable(Entry):
    """One table, or the part of it on one benchmark."""

    table: str
    benchmark: str
    split: str = ""
    protocol: str
    n: int | None = None
    """Samples; None where the paper does not say."""
    weights: str
    model: str = ""
    """Our name of the weights; empty where there is none."""
    note: str = ""
    columns: tuple[PublishedColumn, ...]
    rows: tuple[PublishedRow, ...]

    @model_validator(mode="after")
    def _rectangular(self) -> PublishedTable:
        for row in self.rows:
            if len(row.values) != len(self.columns):
                raise ValueError(f"{self.table}, {row.title}: not one value for each column")
        return self


class Paper(Entry):
    """One paper's tables."""

    paper: str
    tables: tuple[PublishedTable, ...]


class PublishedNumber(Entry):
    """One printed number with everything that it depends on."""

    value: float
    column: PublishedColumn
    title: str
    method: str
    setting: dict[str, Any]
    weights: str
    model: str
    paper: str
    table: str
    second_hand: str
    benchmark: str
    split: str
    protocol: str
    n: int | None


@cache
def published_numbers() -> tuple[PublishedNumber, ...]:
    """Return every published number, paper by paper in the order of the tables."""
    papers = [read_yaml(path, Paper) for path in sorted(FOLDER.glob("*.yaml"))]
    return tuple(number for paper in papers for number in _numbers(paper))


def _numbers(paper: Paper) -> Iterator[PublishedNumber]:
    for table in paper.tables:
        for row in table.rows:
            for column, value in zip(table.columns, row.values, strict=True):
                if value is not None:
                    yield PublishedNumber(
                        value=value,
                        column=column,
                        title=row.title,
                        method=row.method,
                        setting=row.setting,
                        weights=row.weights or table.weights,
                        model="" if row.weights else table.model,
                        paper=paper.paper,
                        table=table.table,
                        second_hand=row.second_hand,
                        benchmark=table.benchmark,
                        split=table.split,
                        protocol=table.protocol,
                        n=table.n,
                    )
