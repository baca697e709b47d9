"""A trade-off as files and as words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite, isnan
from pathlib import Path
from typing import Any

import pandas as pd

from icd_bench.reports.figures.style import FORMATS as PICTURES
from icd_bench.reports.figures.style import file_name, paper_style, save
from icd_bench.reports.json_text import json_text
from icd_bench.reports.text_table import text_table
from icd_bench.stats.intervals import MeanInterval
from icd_bench.stats.joint import Estimate

from .drawing import draw
from .model import Choice, Claim, Point, TradeOff

FORMATS = (*PICTURES, "csv", "parquet", "json")
SMALLEST_P = 1e-4
"""Below it, a p value says nothing but that it is small."""


def write(trade_off: TradeOff, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write figure and data into a folder, and return the files.

    ``curve_X_Y.svg``, ``.pdf`` and ``.png`` are the figure, ``.json`` is everything; CSV and
    parquet come as one table each for points, curves, hypervolumes, claims and choices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = file_name(f"curve_{trade_off.x.metric}_{trade_off.y.metric}")
    written = []
    if pictures := [form for form in formats if form in PICTURES]:
        figure = draw(trade_off)
        with paper_style():
            written += save(figure, folder, stem, pictures)
    for name, frame in tables(trade_off).items():
        if frame.empty:
            continue
        if "csv" in formats:
            written.append(folder / f"{stem}_{name}.csv")
            frame.to_csv(written[-1], index=False, lineterminator="\n")
        if "parquet" in formats:
            written.append(folder / f"{stem}_{name}.parquet")
            frame.to_parquet(written[-1], index=False)
    if "json" in formats:
        written.append(folder / f"{stem}.json")
        written[-1].write_text(json_text(asdict(trade_off)), encoding="utf-8")
    return written


def tables(trade_off: TradeOff) -> dict[str, pd.DataFrame]:
    """Return points, curves, hypervolumes, claims and choices; settings are JSON text."""
    curves = [
        {"method": curve.method, "x": x, "y": y, "y_low": low, "y_high": high}
        for curve in trade_off.curves
        for x, y, low, high in zip(curve.x, curve.y, curve.low, curve.high, strict=True)
    ]
    areas = [
        {"method": curve.method, **asdict(curve.hypervolume)}
        for curve in trade_off.curves
        if not isnan(curve.hypervolume.value)
    ]
    claims = [
        {**_flat(claim), "better": claim.better(trade_off.y, trade_off.level)}
        for claim in trade_off.claims
    ]
    return {
        "points": pd.DataFrame(map(_flat, trade_off.points)),
        "curves": pd.DataFrame(curves),
        "hypervolumes": pd.DataFrame(areas),
        "claims": pd.DataFrame(claims),
        "choices": pd.DataFrame(map(_flat, trade_off.choices)),
    }


def summary(trade_off: TradeOff) -> str:
    """Return what the curves show as text for a terminal."""
    x, y, percent = trade_off.x, trade_off.y, f"{trade_off.level:.0%}"
    points = [
        (
            p.method,
            p.label or "default",
            _with_margin(p.x),
            _with_margin(p.y),
            "reference" if p.anchor else "" if isnan(p.p_front) else f"{p.p_front:.0%}",
        )
        for p in trade_off.points
    ]
    areas = [(c.method, _between(c.hypervolume)) for c in trade_off.curves]
    claims = [
        (
            f"{c.a} - {c.b}",
            f"{c.at:g}" if c.at is not None else _range(c),
            c.refused or _between(c.difference),
            _p_text(c.p_holm),
            c.better(y, trade_off.level),
        )
        for c in trade_off.claims
    ]
    choices = [
        (c.method, c.label or "default", _with_margin(c.test_x), _with_margin(c.test_y))
        for c in trade_off.choices
    ]
    where = trade_off.benchmark + (f":{trade_off.split}" if trade_off.split else "")
    zero = f"({trade_off.reference[0]:.4g}, {trade_off.reference[1]:.4g})"
    parts = [
        f"{y.metric} against {x.metric} on {where}, {trade_off.samples} samples, "
        f"{percent} intervals",
        _table(("method", "setting", x.metric, y.metric, "p(front)"), points),
    ]
    if not isnan(trade_off.reference[0]):
        parts += [f"Hypervolume over {zero}", _table(("method", "area"), areas)]
    if claims:
        parts += [
            f"{y.metric} at matched {x.metric} ({_tests(trade_off.claims)})",
            _table(("methods", x.metric, "difference", "p", "better"), claims),
        ]
    if trade_off.choice_rule:
        parts += [f"Setting: {trade_off.choice_rule}"]
    if choices:
        parts += [_table(("method", "setting", x.metric, y.metric), choices)]
    return "\n".join([*parts, *trade_off.notes])


def _flat(thing: Point | Claim | Choice) -> dict[str, Any]:
    """Return the fields as plain columns: intervals by their parts, settings as JSON."""
    columns: dict[str, Any] = {}
    for name, value in vars(thing).items():
        if isinstance(value, MeanInterval):
            ends = {"": value.mean, "_low": value.low, "_high": value.high, "_n": value.n}
            columns |= {name + end: number for end, number in ends.items()}
        elif isinstance(value, Estimate):
            columns |= {name: value.value, "low": value.low, "high": value.high, "p": value.p}
        elif name == "setting":
            columns[name] = json.dumps(value, sort_keys=True)
        elif name == "cells":
            columns |= {column: part for column, part in value.items() if column != "method"}
        elif name == "shared":
            columns["shared_low"], columns["shared_high"] = value or (None, None)
        else:
            columns[name] = value
    return columns


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text: str = text_table(header, rows, indent="  ")
    return text + "\n"


def _with_margin(interval: MeanInterval) -> str:
    margin = (interval.high - interval.low) / 2
    return f"{interval.mean:.4g}" + (f" ±{margin:.2g}" if isfinite(margin) else "")


def _between(found: Estimate) -> str:
    return f"{found.value:.3g} [{found.low:.3g}, {found.high:.3g}]"


def _tests(claims: Sequence[Claim]) -> str:
    """Return over how many tests p values are adjusted: refused claims have none."""
    tested = sum(not isnan(claim.p_holm) for claim in claims)
    if not tested:
        return "none can be tested"
    return f"p after Holm over {tested} comparison" + "s" * (tested > 1)


def _p_text(p: float) -> str:
    if isnan(p):
        return ""
    return f"{p:.2g}" if p >= SMALLEST_P else f"<{SMALLEST_P:g}"


def _range(claim: Claim) -> str:
    ends = claim.shared if not claim.refused else None
    return f"{ends[0]:.4g} to {ends[1]:.4g}" if ends else ""
