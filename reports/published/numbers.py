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
    preset: str = ""
    """Of our method, where the setting is one."""
    setting: dict[str, Any] | None = Field(default_factory=dict)
    """Fields in which it differs from the preset, or from the method's default where there is none;
    null where the paper does not tell its setting."""
    free: tuple[str, ...] = ()
    """Fields that change nothing in it."""
    weights: str = ""
    """Where they are not the table's."""
    model: str = ""
    """Our name of these weights."""
    second_hand: str = ""
    """The paper that the number is taken from, where it is not the method's or the table's."""
    values: tuple[float | None, ...]
    """One a column; None where nothing is printed."""
    deviations: tuple[float | None, ...] = ()
    """Standard deviations, one a column, where the paper prints them."""


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
    free: tuple[str, ...] = ()
    """Fields that change nothing in the table: attention control between equal prompts."""
    note: str = ""
    columns: tuple[PublishedColumn, ...]
    rows: tuple[PublishedRow, ...]

    @model_validator(mode="after")
    def _rectangular(self) -> PublishedTable:
        for row in self.rows:
            if {len(row.values), len(row.deviations) or len(row.values)} != {len(self.columns)}:
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
    preset: str
    setting: dict[str, Any] | None
    free: tuple[str, ...]
    weights: str
    model: str
    deviation: float | None
    paper: str
    table: str
    note: str
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
            deviations = row.deviations or (None,) * len(row.values)
            for column, value, deviation in zip(table.columns, row.values, deviations, strict=True):
                if value is not None:
                    yield PublishedNumber(
                        value=value,
                        column=column,
                        title=row.title,
                        method=row.method,
                        preset=row.preset,
                        setting=row.setting,
                        free=(*table.free, *row.free),
                        weights=row.weights or table.weights,
                        model=row.model or ("" if row.weights else table.model),
                        deviation=deviation,
                        paper=paper.paper,
                        table=table.table,
                        note=table.note,
                        second_hand=row.second_hand,
                        benchmark=table.benchmark,
                        split=table.split,
                        protocol=table.protocol,
                        n=table.n,
                    )
