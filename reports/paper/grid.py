"""Results as rows of cells, before they become text of some kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite

from icd_bench.paper.results import Finding, Measure, Result, Row, Value
from icd_bench.reports.table_model import ARROWS

from .printed import printed_metrics, printed_numbers

BETWEEN = " with "
"""In titles of rows that are two-dimensional: decoder X with encoder Y."""

Grid = list[list[str]]
"""The first row is the heading."""


def grids(result: Result) -> dict[str, Grid]:
    """Return the tables of a result by their caption; the first has none."""
    crossed = [row for row in result.rows if BETWEEN in row.title]
    listed = [row for row in result.rows if BETWEEN not in row.title]
    found = {"": _listing(result, listed)} if listed else {}
    if crossed:
        measures = [
            m
            for m in result.measures
            if any(m.name in row.values for row in crossed)
            and not any(m.name in row.values for row in listed)
        ]
        for measure in measures:
            found[heading(measure)] = _crossing(result, crossed, measure.name)
        for metric in printed_metrics(result):
            if metric not in {m.name for m in result.measures}:
                found[f"published {metric}"] = _crossing(result, crossed, metric)
    if result.claims:
        found["claims of the paper, as paired differences better − worse"] = _claims(result)
    return found


def heading(measure: Measure) -> str:
    """Return a column's name with an arrow towards better values."""
    unit = f" ({measure.unit})" if measure.unit in ("dB", "nats a dimension") else ""
    return f"{measure.name}{unit} {ARROWS[measure.direction]}"


def digits(measure: str) -> int:
    """Return how many digits of a measure are shown, as papers print them."""
    return 2 if measure == "psnr" else 3


def number(value: Value, measure: str) -> str:
    """Return a mean with half the width of its interval."""
    if not isfinite(value.mean):
        return "–"
    shown = f"{value.mean:.{digits(measure)}f}"
    half = (value.high - value.low) / 2
    return f"{shown} ±{half:.{digits(measure)}f}" if isfinite(half) else shown


def _listing(result: Result, rows: Sequence[Row]) -> Grid:
    """A line for each row, the published number after the measured one."""
    published, metrics = printed_numbers(result), printed_metrics(result)
    columns: list[tuple[str, Callable[[Row], str]]] = []

    def measured(name: str) -> Callable[[Row], str]:
        return lambda row: number(row.values[name], name) if name in row.values else "–"

    def printed(name: str) -> Callable[[Row], str]:
        def cell(row: Row) -> str:
            found = published.get((row.title, name))
            return "–" if found is None else f"{found.value:.{found.column.digits}f}"

        return cell

    for measure in result.measures:
        if any(measure.name in row.values for row in rows):
            columns.append((heading(measure), measured(measure.name)))
            if measure.name in metrics:
                columns.append((f"published {measure.name}", printed(measure.name)))
    for name in metrics:
        there = any((row.title, name) in published for row in rows)
        if there and name not in {measure.name for measure in result.measures}:
            columns.append((f"published {name}", printed(name)))
    grid = [["", "U-Net rows", *(title for title, _ in columns)]]
    for row in rows:
        nfe = "–" if row.obstacle else str(row.nfe)
        grid.append([row.title or row.label, nfe, *(cell(row) for _, cell in columns)])
    return grid


def _crossing(result: Result, rows: Sequence[Row], measure: str) -> Grid:
    """Decoders down, encoders across; the published number in brackets."""
    published = printed_numbers(result)
    places = {tuple(row.title.split(BETWEEN)): row for row in rows}
    downs = list(dict.fromkeys(down for down, _ in places))
    acrosses = list(dict.fromkeys(across for _, across in places))

    def cell(row: Row) -> str:
        ours = number(row.values[measure], measure) if measure in row.values else ""
        found = published.get((row.title, measure))
        theirs = "" if found is None else f"{found.value:.{found.column.digits}f}"
        return f"{ours} ({theirs})" if ours and theirs else ours or theirs or "–"

    return [
        ["", *acrosses],
        *([down, *(cell(places[down, across]) for across in acrosses)] for down in downs),
    ]


def _claims(result: Result) -> Grid:
    """A line for each pair, a column for each measure."""
    measures = list(dict.fromkeys(claim.measure for claim in result.claims))
    pairs = list(dict.fromkeys((claim.worse, claim.better) for claim in result.claims))
    places = {(c.worse, c.better, c.measure): c for c in result.claims}
    grid = [["worse < better", *measures]]
    for pair in pairs:
        cells = [_verdict(places[*pair, m]) if (*pair, m) in places else "–" for m in measures]
        grid.append([" < ".join(pair), *cells])
    return grid


def _verdict(claim: Finding) -> str:
    places = digits(claim.measure)
    ends = f"[{claim.low:+.{places}f}, {claim.high:+.{places}f}]"
    return f"{claim.verdict}: {claim.mean:+.{places}f} {ends}"
