"""Which setting of each method, and which samples, a figure shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from icd_bench.errors import UnknownName, UsageError
from icd_bench.registry import suggest
from icd_bench.reports.curves.model import TradeOff
from icd_bench.reports.joined_runs import JoinedRuns
from icd_bench.run.storage.records import SampleRecord
from icd_bench.run.storage.store import RunFolder


@dataclass(frozen=True)
class Shown:
    """One method with the one setting that figures show."""

    method: str
    label: str
    anchor: bool
    cells: pd.DataFrame
    """Its finished cells on the split that is judged."""


@dataclass(frozen=True)
class SampleRow:
    """One sample with its pictures."""

    sample_id: str
    category: str
    source_prompt: str
    target_prompt: str
    pictures: tuple[Path | None, ...]
    """Source, true edit where some sample has one, and an edit for each method; None where there
    is no picture."""


def shown_methods(joined: JoinedRuns, trade_off: TradeOff) -> list[Shown]:
    """Return each method with the setting that its dev samples choose.

    Where nothing is chosen it is the default setting, and where that was not run the first one.
    """
    cells = joined.cells[
        (joined.cells["status"] == "ok") & (joined.cells["split"] == trade_off.split)
    ]
    shown = []
    for name in dict.fromkeys(point.method for point in trade_off.points):
        points = [point for point in trade_off.points if point.method == name]
        chosen = [choice.setting for choice in trade_off.choices if choice.method == name]
        default = joined.defaults.get(points[0].cells["method"], {})
        point = next(
            (p for p in points if p.setting == (chosen[0] if chosen else default)), points[0]
        )
        alike = cells["setting"].map(json.loads) == point.setting
        for column, value in point.cells.items():
            alike &= cells[column] == value
        shown.append(Shown(name, point.label, point.anchor, cells[alike]))
    return shown


def sample_rows(
    runs: Sequence[Path], shown: Sequence[Shown], names: Sequence[str], count: int
) -> tuple[list[SampleRow], bool]:
    """Return samples with their pictures, and whether any has a true edit.

    Args:
        runs: run folders that hold the pictures.
        shown: what the columns show.
        names: ids of samples; none: the first of each category in turn, so that nobody picks.
        count: how many where none are named.

    Raises:
        UnknownName: a sample is not in the runs.
        UsageError: the runs have no pictures of their samples.
    """
    stored = _stored(runs)
    cells = pd.concat([each.cells for each in shown]).sort_values("sample_index", kind="stable")
    samples = cells.drop_duplicates("sample_id")
    samples = samples[[key in stored for key in _keys(samples)]]
    if samples.empty:
        raise UsageError("the runs have no pictures of their samples: their folders are incomplete")
    if names:
        known = list(samples["sample_id"])
        for name in names:
            if name not in known:
                raise UnknownName(f'no edited sample "{name}".{suggest(name, known)}')
        samples = samples.set_index("sample_id", drop=False).loc[list(names)]
    else:
        turn = samples.groupby("category", sort=False).cumcount()
        samples = samples.iloc[turn.argsort(kind="stable")[:count]]
        samples = samples.sort_values("sample_index", kind="stable")
    found = [stored[key] for key in _keys(samples)]
    with_target = any("target" in record.files for _, record in found)
    folders = [RunFolder.open(path) for path in runs]
    rows = []
    for folder, record in found:
        pictures = [_sample_picture(folder, record, "source")]
        if with_target:
            pictures.append(_sample_picture(folder, record, "target"))
        pictures += [_edit(folders, each.cells, record.id) for each in shown]
        rows.append(
            SampleRow(
                record.id,
                record.category,
                record.source_prompt,
                record.target_prompt,
                tuple(pictures),
            )
        )
    return rows, with_target


def _stored(runs: Sequence[Path]) -> Mapping[tuple[str, int], tuple[RunFolder, SampleRecord]]:
    """Return (digest, resolution) -> run and record of the samples whose source is there."""
    stored = {}
    for path in runs:
        folder = RunFolder.open(path)
        for key, record in folder.records().samples.items():
            if _sample_picture(folder, record, "source"):
                stored[key] = (folder, record)
    return stored


def _keys(samples: pd.DataFrame) -> list[tuple[str, int]]:
    return list(zip(samples["sample_digest"], samples["resolution"].map(int), strict=True))


def _sample_picture(folder: RunFolder, record: SampleRecord, kind: str) -> Path | None:
    path = folder.path / folder.sample_path(record.digest, record.resolution, kind)
    return path if kind in record.files and path.is_file() else None


def _edit(folders: Sequence[RunFolder], cells: pd.DataFrame, sample_id: str) -> Path | None:
    ids = cells.loc[cells["sample_id"] == sample_id].sort_values("seed", kind="stable")["cell_id"]
    paths = (folder.path / folder.image_path(cell) for cell in ids for folder in folders)
    return next((path for path in paths if path.is_file()), None)
