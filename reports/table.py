"""The table of one or several runs: a row for each method and setting, a column for each score.

A column is a metric *and* the signature of how it was made: values made differently never meet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import isnan, nan
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import pandas as pd

from icd_bench.errors import UsageError
from icd_bench.run.storage.edit_sets import GROUP, pictures_digest
from icd_bench.stats.intervals import MeanInterval, mean_interval

from .joined_runs import JoinedRuns, join_runs
from .settings_label import setting_label, setting_order
from .table_formats import RENDERERS
from .table_model import Column, Marks, Row, Table

IDENTITY = list(GROUP)
RANKED_APART = "best values are marked among rows of equal NFE; --rank-together ranks all rows"


def build_table(runs: Sequence[Path], ranked_together: bool = False) -> Table:
    """Return the table of some run folders.

    Each value is the mean over edits with its 95 % interval, in which the edits of one sample
    with several seeds are a cluster. Seconds are medians: the first batch also loads networks.

    Args:
        runs: run folders.
        ranked_together: whether rows that differ in resolution, conditions or NFE are rivals.

    Raises:
        UsageError: a path is not a run folder, or no run has a finished cell.
        CorruptRun: a run cannot be read.
    """
    return table_of(join_runs(runs), ranked_together)


def table_of(joined: JoinedRuns, ranked_together: bool = False) -> Table:
    """Return the table of runs that have been joined; see :func:`build_table`."""
    settings = _settings(joined.cells)
    rows = [
        replace(
            _row(dict(zip(IDENTITY, map(str, key), strict=True)), cells, joined, settings),
            ranked_together=ranked_together,
        )
        for key, cells in joined.cells.groupby(IDENTITY, sort=False)
        if isinstance(key, tuple)
    ]
    rows.sort(key=lambda row: _place(row, joined.methods))
    columns = [c for c in (*joined.columns, *joined.set_columns) if _has_value(c, rows)]
    return Table(tuple(_ranked(rows, columns)), tuple(columns), tuple(_notes(rows, columns)))


def rank_together(table: Table) -> Table:
    """Return a table with its rows in their order, all of them rivals whatever they cost."""
    rows = [replace(row, ranked_together=True) for row in table.rows]
    return replace(table, rows=tuple(_ranked(rows, table.columns)))


def render(
    table: Table,
    form: str,
    width: int | None = None,
    colour: bool | None = None,
    marks: Marks | None = None,
) -> str:
    """Return a table as text.

    Args:
        table: from :func:`build_table`.
        form: "rich", "csv", "md", "latex" or "json".
        width: of the terminal in characters ("rich" only); None: as it is, 120 outside one.
        colour: with terminal colours ("rich" only); None: where standard output shows them.
        marks: of "rich", "md" and "latex"; None: all of them. "csv" and "json" have every number.

    Raises:
        UsageError: there is no such form.
    """
    if form not in RENDERERS:
        raise UsageError(f'unknown format "{form}"; known: {", ".join(RENDERERS)}')
    columns = width or get_terminal_size((120, 24)).columns
    return RENDERERS[form](table, columns, colour, marks or Marks())


def _settings(cells: pd.DataFrame) -> dict[str, list[Mapping[str, Any]]]:
    pairs = cells[["method", "setting"]].drop_duplicates()
    settings: dict[str, list[Mapping[str, Any]]] = {}
    for method, setting in zip(pairs["method"], pairs["setting"], strict=True):
        settings.setdefault(method, []).append(json.loads(setting))
    return settings


def _row(
    identity: Mapping[str, str],
    cells: pd.DataFrame,
    joined: JoinedRuns,
    settings: Mapping[str, Sequence[Mapping[str, Any]]],
) -> Row:
    method, setting = identity["method"], json.loads(identity["setting"])
    done = cells[cells["status"] == "ok"]
    nfe_edit = done["nfe_source"] + done["nfe_edit"]
    seconds = done["seconds_invert"] + done["seconds_edit"]
    return Row(
        benchmark=identity["benchmark"],
        split=identity["split"],
        protocol=identity["protocol"],
        model=identity["model"],
        model_digest=identity["model_digest"],
        method=method,
        version=identity["method_version"],
        setting=setting,
        label=setting_label(setting, joined.defaults.get(method, {}), settings[method]),
        anchor=method in joined.anchors,
        resolution=identity["resolution"],
        conditions=joined.conditions.get(method, ""),
        samples=frozenset(done["sample_id"]),
        n=len(done),
        failed=len(cells) - len(done),
        warned=sum(len(warnings) > 0 for warnings in done["warnings"]),
        nfe_invert=float(done["nfe_invert"].mean()),
        nfe_edit=float(nfe_edit.mean()),
        seconds=float(seconds.median()),
        values={
            column.key: mean_interval(done[column.key], clusters=list(done["sample_id"]))
            for column in joined.columns
        }
        | _set_values(identity, done, joined),
    )


def _set_values(
    identity: Mapping[str, str], done: pd.DataFrame, joined: JoinedRuns
) -> dict[str, MeanInterval]:
    """Return the values of whole sets, where they are of exactly these edits."""
    if not joined.set_columns:
        return {}
    place = (*identity.values(), pictures_digest(done["image_sha256"]))
    known = joined.sets.get(place, {})
    return {
        column.key: MeanInterval(
            *known.get(column.key, (nan, nan, nan)),
            n=len(done) if column.key in known else 0,
            excluded=0,
        )
        for column in joined.set_columns
    }


def _place(row: Row, methods: Sequence[str]) -> tuple[Any, ...]:
    """Sort by what is comparable, then anchors last, then methods as they were run."""
    return (
        row.block,
        row.model,
        row.anchor,
        methods.index(row.method) if row.method in methods else len(methods),
        row.version,
        setting_order(row.setting),
    )


def _ranked(rows: Sequence[Row], columns: Sequence[Column]) -> Iterator[Row]:
    """Yield the rows with the keys of the columns in which they are best, and second best."""
    ranks = {column.key: _ranks(column, rows) for column in columns}
    for index, row in enumerate(rows):
        yield replace(
            row,
            best=frozenset(key for key, rank in ranks.items() if rank.get(index) == 0),
            second=frozenset(key for key, rank in ranks.items() if rank.get(index) == 1),
        )


def _has_value(column: Column, rows: Sequence[Row]) -> bool:
    return any(not isnan(row.values[column.key].mean) for row in rows)


def _ranks(column: Column, rows: Sequence[Row]) -> dict[int, int]:
    """Return the place of each best (0) and second-best (1) row among those it competes with.

    A row without a rival has no place; a second place needs three rows. A column of which neither
    end is better has no places.
    """
    if column.direction == "neither":
        return {}
    sign = 1 if column.direction == "higher" else -1
    ranks: dict[int, int] = {}
    for rivals in {row.rivals for row in rows}:
        means = {
            index: sign * row.values[column.key].mean
            for index, row in enumerate(rows)
            if row.rivals == rivals and not row.anchor and not isnan(row.values[column.key].mean)
        }
        places = sorted(set(means.values()), reverse=True)[: max(0, min(2, len(means) - 1))]
        ranks |= {i: places.index(mean) for i, mean in means.items() if mean in places}
    return ranks


def _notes(rows: Sequence[Row], columns: Sequence[Column]) -> Iterator[str]:
    yield (
        "±: 95 % interval of the mean; NFE: U-Net rows to invert + edit a sample; "
        "s: median seconds of an edit"
    )
    for column in columns:
        if column.key != column.metric:
            yield f"{column.key} is made as {column.signature}"
    blocks = {row.block for row in rows if not row.anchor}
    if len({row.rivals for row in rows if not row.anchor}) > len(blocks):
        yield RANKED_APART
    for block in dict.fromkeys(row.block for row in rows):
        alike = [row for row in rows if row.block == block]
        if len({row.samples for row in alike}) > 1:
            where = f"{block[0]}: " if len({row.block for row in rows}) > 1 else ""
            yield f"{where}the rows cover different samples; compare them with care"
    yield from _left_out(rows, columns)
    if any(0 < row.values[column.key].n < row.n for row in rows for column in columns):
        yield "(n=..): means over fewer edits than the rows have"
    warned = sum(row.warned for row in rows)
    if warned:
        yield f"{warned} edits carry a warning; see the column warnings of results.parquet"


def _left_out(rows: Sequence[Row], columns: Sequence[Column]) -> Iterator[str]:
    """Yield how many values of each column are in no mean."""
    infinite, missing = {}, {}
    for column in columns:
        values = [row.values[column.key] for row in rows]
        infinite[column.key] = sum(value.infinite for value in values if value.n)
        # A row without any value was not scored, or its metric has none for any of its edits.
        missing[column.key] = sum(v.excluded - v.infinite for v in values if v.n or v.infinite)
    for kind, counts in (("infinite", infinite), ("missing", missing)):
        told = ", ".join(f"{key} {count}" for key, count in counts.items() if count)
        if told:
            yield f"{kind} values left out of the means: {told}"
