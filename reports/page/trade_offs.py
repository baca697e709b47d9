"""Bands, fronts and claims at matched values, for the pairs of axes that a page offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from icd_bench.errors import SignatureMismatch, UsageError
from icd_bench.reports.curves.build import trade_off
from icd_bench.reports.curves.choice import DEV_NAMES
from icd_bench.reports.curves.model import Choice, Claim, Curve, TradeOff
from icd_bench.reports.curves.scores import COSTS
from icd_bench.reports.joined_runs import JoinedRuns
from icd_bench.reports.table_model import Column, Row, Table
from icd_bench.run.cells import canonical_json
from icd_bench.stats.intervals import MeanInterval
from icd_bench.stats.joint import Estimate

from .inline_json import rounded
from .privacy import without_folders

MOST_OF_A_KIND = 4
"""Metrics of what is kept, and of what is done, that are paired; further ones show means alone."""
RESAMPLES = 1000


def axis_pairs(columns: Sequence[Column], first: Sequence[str]) -> list[tuple[str, str]]:
    """Return (x, y) pairs: what is kept, and each cost, against what is done.

    Args:
        columns: of the table, those that score single edits; one that ranks nothing has no pair.
        first: keys of the axes that a page shows first, kept and done.
    """
    columns = [column for column in columns if column.direction != "neither"]
    by_preference = sorted(columns, key=lambda column: column.key not in first)
    kept = [c.key for c in by_preference if c.group == "preservation"][:MOST_OF_A_KIND]
    done = [c.key for c in by_preference if c.group != "preservation"][:MOST_OF_A_KIND]
    pairs = [tuple(first), *product((*kept, *COSTS), done), *product(COSTS, kept)]
    known = {*COSTS, *(column.key for column in columns)}
    return [(x, y) for x, y in dict.fromkeys(pairs) if {x, y} <= known and x != y]


def trade_offs(
    joined: JoinedRuns, table: Table, pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return, for each pair of axes, what can be said of each set of rows that compete."""
    blocks = dict.fromkeys(row.block for row in table.rows)
    competing = {block: _competing(joined, table, block) for block in blocks}
    metrics = {column.key: column.metric for column in table.columns}
    return {
        (x, y): [
            {"rivals": list(block)} | _said(cells, metrics.get(x, x), metrics.get(y, y), places)
            for block, (cells, places) in competing.items()
        ]
        for x, y in pairs
    }


def _competing(
    joined: JoinedRuns, table: Table, block: tuple[str, ...]
) -> tuple[JoinedRuns, dict[tuple[str, ...], int]]:
    """Return the cells of a block, with the split to choose settings on, and where rows are."""
    places = {_name(row): i for i, row in enumerate(table.rows) if row.block == block}
    row, cells = table.rows[min(places.values())], joined.cells
    names = {table.rows[index].method for index in places.values()}
    splits = [row.split, *(DEV_NAMES if row.split not in DEV_NAMES else ())]
    alike = (
        (cells["benchmark"] == row.benchmark)
        & (cells["protocol"] == row.protocol)
        & (cells["resolution"].astype(str) == row.resolution)
        & cells["split"].isin(splits)
        & cells["method"].isin(names)
    )
    methods = [method for method in joined.methods if method in names]
    return replace(joined, cells=cells[alike], methods=methods), places


def _said(
    joined: JoinedRuns, x: str, y: str, places: Mapping[tuple[str, ...], int]
) -> dict[str, Any]:
    try:
        found = trade_off(joined, x, y, resamples=RESAMPLES)
    except (UsageError, SignatureMismatch) as error:
        return {"refused": without_folders(str(error))}
    at = {id(p): places[(*p.cells.values(), _text(p.setting))] for p in found.points}
    first = {point.method: at[id(point)] for point in reversed(found.points)}
    return {
        "samples": found.samples,
        "leftOut": found.left_out,
        "level": found.level,
        "points": [
            {
                "row": at[id(point)],
                "x": _ends(point.x),
                "y": _ends(point.y),
                "front": point.on_front,
                "chance": _number(point.p_front),
                "chosen": found.is_chosen(point),
            }
            for point in found.points
        ],
        "curves": [_curve(curve, first[curve.method]) for curve in found.curves],
        "claims": [_claim(claim, found, first) for claim in found.claims],
        "choices": [_choice(choice, first[choice.method]) for choice in found.choices],
        "rule": found.choice_rule,
        "notes": [without_folders(note) for note in found.notes],
    }


def _curve(curve: Curve, row: int) -> dict[str, Any]:
    lines = {name: rounded(getattr(curve, name)) for name in ("x", "y", "low", "high")}
    return {"row": row, "name": curve.method, **lines, "area": _ends(curve.hypervolume)}


def _claim(claim: Claim, found: TradeOff, rows: Mapping[str, int]) -> dict[str, Any]:
    return {
        "a": [claim.a, rows[claim.a]],
        "b": [claim.b, rows[claim.b]],
        "shared": rounded(claim.shared) if claim.shared else None,
        "difference": _ends(claim.difference),
        "p": _number(claim.p_holm),
        "better": claim.better(found.y, found.level),
        "refused": claim.refused,
    }


def _choice(choice: Choice, row: int) -> dict[str, Any]:
    results = {
        name: _ends(getattr(choice, name)) for name in ("dev_x", "dev_y", "test_x", "test_y")
    }
    return {"row": row, "name": choice.method, "label": choice.label, **results}


def _ends(found: MeanInterval | Estimate) -> list[Any]:
    middle = found.mean if isinstance(found, MeanInterval) else found.value
    return rounded([middle, found.low, found.high])


def _number(value: float) -> Any:
    return rounded([value])[0]


def _name(row: Row) -> tuple[str, ...]:
    """Return what tells a row from its rivals, as points of a trade-off have it."""
    return (row.method, row.version, row.model, row.model_digest, _text(row.setting))


def _text(setting: Mapping[str, Any]) -> str:
    return canonical_json(dict(setting))
