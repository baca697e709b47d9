"""What a page lays out: items (a sample with a seed) by rows (a method with a setting)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icd_bench.reports.joined_runs import JoinedRuns
from icd_bench.reports.table import IDENTITY
from icd_bench.reports.table_model import Row
from icd_bench.run.cells import canonical_json, content_id
from icd_bench.run.storage.records import RunRecords, SampleRecord
from icd_bench.run.storage.store import RunFolder

ITEM = ["benchmark", "split", "sample_id", "sample_digest", "resolution", "seed"]
PICTURES = ("source", "target", "mask")
WITHOUT = -1
KEY_LENGTH = 10


@dataclass(frozen=True)
class Source:
    """A run folder and what its events say."""

    folder: RunFolder
    records: RunRecords

    @classmethod
    def open(cls, path: Path) -> Source:
        """Read a run folder; raises UsageError and CorruptRun as ``RunFolder`` does."""
        folder = RunFolder.open(path)
        return cls(folder, folder.records())


@dataclass(frozen=True)
class Item:
    """A sample with a seed: one line of pictures."""

    sample_id: str
    seed: int
    benchmark: str
    split: str
    category: str
    source_prompt: str
    target_prompt: str
    words: tuple[str, ...]
    """Blend words of both prompts."""
    groups: Mapping[str, str]
    """Further words by which the benchmark sorts its samples."""
    resolution: int
    pictures: Mapping[str, Path]
    """``source``, ``target``, ``mask`` -> PNG, those that are there."""

    @property
    def block(self) -> tuple[str, str]:
        """Benchmark and split."""
        return (self.benchmark, self.split)


@dataclass(frozen=True)
class Layout:
    """Where each cell lies."""

    items: Sequence[Item]
    rows: Sequence[Row]
    cells: pd.DataFrame
    """The cells of the joined runs."""
    places: NDArray[np.int64]
    """(rows, items) position in ``cells``; ``WITHOUT`` where there is no such cell."""
    images: Mapping[str, Path]
    """Cell id -> PNG of the edit, those that are there."""

    def values(self, row: int, column: str) -> NDArray[np.float64]:
        """Return (items,) numbers of a column; NaN where there is none, as in scores of sets."""
        if column not in self.cells:
            return np.full(len(self.items), np.nan)
        numbers = self.cells[column].to_numpy(dtype=np.float64, na_value=np.nan)
        places = self.places[row]
        return np.where(places == WITHOUT, np.nan, numbers[places])


def row_key(row: Row) -> str:
    """Return a short name of a row that stays the same in every report about it."""
    return content_id(_identity(row))[:KEY_LENGTH]


def lay_out(joined: JoinedRuns, rows: Sequence[Row], sources: Sequence[Source]) -> Layout:
    """Return where the cells of joined runs lie among rows and items."""
    cells = joined.cells.sort_values(["benchmark", "split", "sample_index", "seed"], kind="stable")
    cells = cells.reset_index(drop=True)
    numbers = cells.groupby(ITEM, sort=False, dropna=False).ngroup().to_numpy()
    first = np.unique(numbers, return_index=True)[1]
    samples = _samples(sources)
    items = [_item(cells.iloc[place], samples) for place in first]
    by_identity = {_identity(row): index for index, row in enumerate(rows)}
    places = np.full((len(rows), len(items)), WITHOUT, dtype=np.int64)
    for key, group in cells.groupby(IDENTITY, sort=False).indices.items():
        places[by_identity[tuple(map(str, key))], numbers[group]] = group
    return Layout(items, rows, cells, places, _images(sources))


def _identity(row: Row) -> tuple[str, ...]:
    """Return what ``IDENTITY`` names, as the cells of a row have it."""
    facts = {
        **vars(row),
        "method_version": row.version,
        "setting": canonical_json(dict(row.setting)),
    }
    return tuple(str(facts[name]) for name in IDENTITY)


def _samples(sources: Sequence[Source]) -> dict[tuple[str, int], tuple[Source, SampleRecord]]:
    found: dict[tuple[str, int], tuple[Source, SampleRecord]] = {}
    for source in sources:
        for key, record in source.records.samples.items():
            found.setdefault(key, (source, record))
    return found


def _item(
    cell: pd.Series[Any],
    samples: Mapping[tuple[str, int], tuple[Source, SampleRecord]],
) -> Item:
    found = samples.get((cell["sample_digest"], int(cell["resolution"])))
    record = found[1] if found else None
    return Item(
        sample_id=cell["sample_id"],
        seed=int(cell["seed"]),
        benchmark=cell["benchmark"],
        split=cell["split"],
        category=cell["category"],
        source_prompt=cell["source_prompt"],
        target_prompt=cell["target_prompt"],
        words=(*record.blend_words.source, *record.blend_words.target) if record else (),
        groups=_groups(record.metadata) if record else {},
        resolution=int(cell["resolution"]),
        pictures=_pictures(*found) if found else {},
    )


def _groups(metadata: Mapping[str, Any]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if isinstance(value, str)}


def _pictures(source: Source, record: SampleRecord) -> dict[str, Path]:
    folder = source.folder
    paths = {
        kind: folder.path / folder.sample_path(record.digest, record.resolution, kind)
        for kind in PICTURES
        if kind in record.files
    }
    return {kind: path for kind, path in paths.items() if path.is_file()}


def _images(sources: Sequence[Source]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for source in sources:
        for cell in source.records.cells.values():
            if cell.status == "ok" and cell.image and cell.cell_id not in found:
                path = source.folder.path / cell.image
                if path.is_file():
                    found[cell.cell_id] = path
    return found
