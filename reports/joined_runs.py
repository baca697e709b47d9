"""Several runs as one set of cells, in which values made differently stay apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from icd_bench.api import Direction, Range
from icd_bench.errors import UsageError
from icd_bench.protocols import unit_factor
from icd_bench.run.scoring.conditions import Conditions
from icd_bench.run.storage.edit_sets import GROUP
from icd_bench.run.storage.store import RunFolder

from .table_model import Column

_DIRECTIONS: Mapping[str, Direction] = {"higher": "higher", "neither": "neither"}


@dataclass
class JoinedRuns:
    """Cells of some runs; a cell that two of them share counts once."""

    cells: pd.DataFrame
    """One row a cell: the columns of ``results.parquet``, and one for each of ``columns``."""
    columns: list[Column] = field(default_factory=list)
    """One for each metric and signature."""
    set_columns: list[Column] = field(default_factory=list)
    """One for each metric and signature that scores whole sets of edits."""
    sets: dict[tuple[str, ...], dict[str, tuple[float, float, float]]] = field(default_factory=dict)
    """(what a row's edits share .., digest of the edits) -> key of a set column -> value, and low
    and high end of its interval."""
    defaults: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Method -> its default setting."""
    conditions: dict[str, str] = field(default_factory=dict)
    """Method -> what it was given beyond the samples, for those that were given anything."""
    anchors: set[str] = field(default_factory=set)
    """Methods that are reference lines."""
    methods: list[str] = field(default_factory=list)
    """In the order in which they were run."""


def join_runs(paths: Sequence[Path]) -> JoinedRuns:
    """Return the cells of some run folders.

    Raises:
        UsageError: a path is not a run folder, or no run has a finished cell.
        CorruptRun: a run cannot be read.
    """
    joined = JoinedRuns(pd.DataFrame())
    cards: dict[str, dict[str, Mapping[str, Any]]] = {}
    sets: list[Mapping[str, Any]] = []
    frames = []
    for path in paths:
        folder = RunFolder.open(path)
        frame = folder.read_results()
        metrics: dict[str, Mapping[str, Any]] = frame.attrs["metrics"]
        sets += frame.attrs.get("sets", [])
        frame.attrs.clear()
        for name, card in metrics.items():
            cards.setdefault(name, {}).setdefault(card["signature"], card)
        frames.append(
            frame.rename(columns={m: _mark(m, c["signature"]) for m, c in metrics.items()})
        )
        _take_methods(joined, folder.manifest()["methods"])
    joined.cells = _unique([frame for frame in frames if len(frame)])
    for name, signatures in cards.items():
        for column in _columns(name, signatures):
            marked = _mark(name, column.signature)
            joined.cells = joined.cells.rename(columns={marked: column.key})
            joined.cells[column.key] *= column.factor
            joined.columns.append(column)
    _take_sets(joined, sets)
    return joined


def _columns(name: str, cards: Mapping[str, Mapping[str, Any]]) -> Iterator[Column]:
    """Yield a column for each signature of a metric."""
    for number, (signature, card) in enumerate(cards.items(), start=1):
        factor = unit_factor(name, signature)
        yield Column(
            key=f"{name} [{number}]" if len(cards) > 1 else name,
            metric=name,
            title=card["title"],
            direction=_DIRECTIONS.get(card["direction"], "lower"),
            unit=card["unit"] if factor == 1 else f"{card['unit']} x{factor:g}".strip(),
            group=card["group"],
            signature=signature,
            range=_range(card, factor),
            factor=factor,
        )


def _range(card: Mapping[str, Any], factor: float) -> Range:
    """Return the limits of a metric; runs of older versions do not have them."""
    low, high = (end if end is None else factor * end for end in card.get("range", (None, None)))
    return low, high


def _take_sets(joined: JoinedRuns, sets: Sequence[Mapping[str, Any]]) -> None:
    cards: dict[str, dict[str, Mapping[str, Any]]] = {}
    for score in sets:
        cards.setdefault(score["metric"], {}).setdefault(score["signature"], score["card"])
    joined.set_columns = [c for name, known in cards.items() for c in _columns(name, known)]
    columns = {(column.metric, column.signature): column for column in joined.set_columns}
    for score in sets:
        group = score["group"]
        place = (*(str(group[name]) for name in GROUP), score["pictures"])
        values = joined.sets.setdefault(place, {})
        column = columns[score["metric"], score["signature"]]
        value, low, high = (
            column.factor * float(score.get(name, "nan")) for name in ("value", "low", "high")
        )
        values[column.key] = (value, low, high)


def _mark(metric: str, signature: str) -> str:
    return f"{metric}\n{signature}"


def _take_methods(joined: JoinedRuns, methods: Mapping[str, Mapping[str, Any]]) -> None:
    for name, card in methods.items():
        joined.defaults[name] = card["default_setting"]
        told = str(Conditions.model_validate(card.get("conditions", {})))
        if told:
            joined.conditions[name] = told
        if card["anchor"]:
            joined.anchors.add(name)
        if name not in joined.methods:
            joined.methods.append(name)


def _unique(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    if not frames:
        raise UsageError("no edit of these runs is finished yet; run the same command again")
    cells = pd.concat(frames, ignore_index=True)
    finished_first = cells.sort_values("status", ascending=False, kind="stable")
    return finished_first.groupby("cell_id", sort=False, as_index=False).first()
