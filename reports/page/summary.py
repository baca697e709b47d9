"""The first page's data: what was compared, the table, and what a reader can choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import icd_bench
from icd_bench.reports.published.check import Verdict, compare
from icd_bench.reports.published.numbers import published_numbers
from icd_bench.reports.table import RANKED_APART, rank_together
from icd_bench.reports.table_formats import GROUP_TITLES
from icd_bench.reports.table_model import Column, Row, Table

from .categories import groupings, means_by_group
from .comparison import swept_field, tied_with_best
from .inline_json import rounded
from .items import Layout, Source, row_key
from .privacy import without_folders
from .provenance import provenance, reproducing_command
from .states import FAILED, LOST, WARNED

PREFERRED_AXES = (
    ("background_lpips", "lpips_alex", "lpips_vgg", "background_psnr", "psnr"),
    ("clip_text", "attribute_edited", "image_reward"),
)
"""Of preservation and of editing: which metrics a page shows first, where they are there."""


def summary(
    table: Table, layout: Layout, states: Sequence[str], sources: Sequence[Source]
) -> dict[str, Any]:
    """Return everything that the first page shows."""
    manifests = [source.folder.manifest() for source in sources]
    together = rank_together(table)
    marks, marks_together = (_marks(ranked, layout) for ranked in (table, together))
    titles = {
        name: card.get("title", name)
        for manifest in manifests
        for name, card in manifest["methods"].items()
    }
    return {
        "version": icd_bench.__version__,
        "columns": [_column(column) for column in table.columns],
        "axes": [
            _preferred(table.columns, group, names)
            for group, names in zip(("preservation", "editing"), PREFERRED_AXES, strict=True)
        ],
        "rows": [
            {
                **_row(row, table, titles.get(row.method, row.method)),
                **marks[index],
                "together": marks_together[index],
                "command": reproducing_command(row, manifests),
                "defaults": _is_default(row, manifests),
            }
            for index, row in enumerate(table.rows)
        ],
        "notes": [without_folders(note) for note in table.notes if note != RANKED_APART],
        "counts": {
            "items": len(layout.items),
            "cells": len(layout.cells),
            "samples": len({(item.benchmark, item.sample_id) for item in layout.items}),
            "failed": sum(letters.count(FAILED) for letters in states),
            "warned": sum(letters.count(WARNED) for letters in states),
            "lost": sum(letters.count(LOST) for letters in states),
        },
        "seconds": float(np.nansum(_seconds(layout))),
        "groupings": means_by_group(table.columns, layout),
        "runs": provenance(sources),
        "published": [_verdict(verdict) for verdict in compare(table, published_numbers())],
    }


def samples(layout: Layout, states: Sequence[str], files: Sequence[Mapping[str, Any]]) -> Any:
    """Return what the picture pages know of each item, and the state of each cell."""
    return {
        "items": [
            {
                "id": without_folders(item.sample_id),
                "seed": item.seed,
                "block": list(item.block),
                "source": item.source_prompt,
                "target": item.target_prompt,
                "words": item.words,
                **pictures,
            }
            for item, pictures in zip(layout.items, files, strict=True)
        ],
        "groups": groupings(layout.items) or {"category": [i.category for i in layout.items]},
        "states": states,
    }


def scores(column: Column, layout: Layout) -> list[list[Any]]:
    """Return (rows, items) values of one metric."""
    return [rounded(layout.values(row, column.key)) for row in range(len(layout.rows))]


def _column(column: Column) -> dict[str, Any]:
    return {
        "key": column.key,
        "title": column.title,
        "unit": column.unit,
        "direction": column.direction,
        "range": column.range,
        "group": column.group,
        "question": GROUP_TITLES.get(column.group, column.group),
        "signature": column.signature,
    }


def _row(row: Row, table: Table, title: str) -> dict[str, Any]:
    return {
        "key": row_key(row),
        "method": row.method,
        "version": row.version,
        "label": row.label,
        "setting": dict(row.setting),
        "swept": swept_field(row, table.rows),
        "anchor": row.anchor,
        "block": [row.benchmark, row.split, row.protocol],
        "rivals": list(row.block),
        "conditions": row.conditions,
        "model": without_folders(row.model),
        "digest": row.model_digest,
        "n": row.n,
        "failed": row.failed,
        "warned": row.warned,
        "samples": len(row.samples),
        "nfe": [row.nfe_invert, row.nfe_edit],
        "seconds": row.seconds,
        "values": [
            [*rounded([value.mean, value.low, value.high]), value.n]
            for value in (row.values[column.key] for column in table.columns)
        ],
    }


def _marks(table: Table, layout: Layout) -> list[dict[str, list[str]]]:
    """Return of each row in which columns it is best, and in which not shown to be worse."""
    ties = {c.key: tied_with_best(c, table.rows, layout) for c in table.columns}
    return [
        {"best": sorted(row.best), "tied": [key for key, rows in ties.items() if index in rows]}
        for index, row in enumerate(table.rows)
    ]


def _verdict(verdict: Verdict) -> dict[str, Any]:
    """Return a published number beside ours, or why they cannot be compared."""
    number = verdict.number
    second_hand = f", as printed in {number.second_hand}" if number.second_hand else ""
    return {
        "answer": verdict.answer,
        "title": number.title,
        "metric": number.column.metric,
        "unit": number.column.unit,
        "digits": number.column.digits,
        "published": number.value,
        "ours": verdict.ours,
        "margin": verdict.half_width,
        "reasons": verdict.reasons,
        "where": f"{number.paper}, {number.table}{second_hand}",
    }


def _preferred(columns: Sequence[Column], group: str, names: Sequence[str]) -> str:
    """Return the key of the column that stands for a group, else of any column, "" for none."""
    columns = [column for column in columns if column.direction != "neither"]
    by_metric = {column.metric: column.key for column in reversed(columns)}
    known = [by_metric[name] for name in names if name in by_metric]
    alike = [column.key for column in columns if column.group == group]
    return next(iter([*known, *alike, *(column.key for column in columns)]), "")


def _is_default(row: Row, manifests: Sequence[Mapping[str, Any]]) -> bool:
    cards = [m["methods"][row.method] for m in manifests if row.method in m["methods"]]
    return any(card["default_setting"] == dict(row.setting) for card in cards)


def _seconds(layout: Layout) -> Any:
    cells = layout.cells
    return (cells["seconds_invert"].fillna(0) + cells["seconds_edit"].fillna(0)).to_numpy()
