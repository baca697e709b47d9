"""What the events of a run say, replayed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from icd_bench.api import BlendWords
from icd_bench.run.cells import canonical_json
from icd_bench.run.storage.events import Event

Status = Literal["ok", "failed"]
SET_NUMBERS = ("value", "low", "high")
SAFE_NAME = re.compile(r"[0-9A-Za-z][\w-]*", re.ASCII)


@dataclass(frozen=True)
class CellRecord:
    """One finished cell. The fields are columns of ``results.parquet`` (``columns.py``).

    ``latent_nll`` becomes one where the metric of that name is asked for.
    """

    cell_id: str
    method: str
    method_version: str
    setting: Mapping[str, Any]
    inversion_id: str
    model: str
    model_digest: str
    benchmark: str
    split: str
    sample_id: str
    sample_index: int
    sample_digest: str
    seed: int
    sample_seed: int
    protocol: str
    resolution: int
    device: str
    dtype: str
    status: Status
    failed_stage: str = ""
    error_type: str = ""
    error: str = ""
    warnings: tuple[str, ...] = ()
    nfe_invert: int | None = None
    nfe_source: int | None = None
    nfe_edit: int | None = None
    seconds_invert: float | None = None
    seconds_edit: float | None = None
    latent_nll: float | None = None
    image: str = ""
    image_sha256: str = ""


@dataclass(frozen=True)
class SampleRecord:
    """One sample as it was prepared for a run: all that scoring and reports need of it."""

    digest: str
    resolution: int
    id: str
    source_prompt: str
    target_prompt: str
    blend_words: BlendWords
    category: str
    metadata: Mapping[str, Any]
    files: Mapping[str, str]
    """``source``, ``target``, ``mask`` -> SHA-256 of the PNG."""


@dataclass(frozen=True)
class Score:
    """One value of one metric for one picture."""

    image_sha256: str
    value: float


@dataclass(frozen=True)
class SetScore:
    """One value of one metric for all edits of a method and setting."""

    metric: str
    signature: str
    group: Mapping[str, Any]
    """What the edits share (``icd_bench.run.storage.edit_sets``); the setting as canonical JSON."""
    pictures: str
    """Digest of the edits; another one means other pictures."""
    n: int
    value: float
    low: float = math.nan
    """Lower end of its 95 % interval; NaN where there is none."""
    high: float = math.nan

    def as_json(self) -> dict[str, Any]:
        """Return its fields for JSON."""
        numbers = {name: score_value(getattr(self, name)) for name in SET_NUMBERS}
        return {**vars(self), "group": dict(self.group), **numbers}


@dataclass
class RunRecords:
    """Everything that is known of a run, from its events."""

    cells: dict[str, CellRecord] = field(default_factory=dict)
    samples: dict[tuple[str, int], SampleRecord] = field(default_factory=dict)
    """(digest, resolution) -> record."""
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> signature and card; the signature used last is the current one."""
    scores: dict[tuple[str, str], dict[str, Score]] = field(default_factory=dict)
    """(metric, signature) -> cell id -> score."""
    set_scores: dict[tuple[str, str, str], SetScore] = field(default_factory=dict)
    """(metric, signature, what the edits share) -> score."""

    @classmethod
    def replay(cls, events: Iterable[Event]) -> RunRecords:
        """Return the records that a sequence of events leads to."""
        records = cls()
        for event in events:
            records.apply(event)
        return records

    def apply(self, event: Event) -> None:
        """Take one event in; kinds of other versions are passed over."""
        match event["kind"]:
            case "cells":
                for entry in event["cells"]:
                    values = {**event["common"], **entry}
                    values["warnings"] = tuple(values.get("warnings", ()))
                    check_name(values["cell_id"])
                    check_path(values.get("image", ""))
                    self.cells[values["cell_id"]] = CellRecord(**values)
            case "dropped":
                for cell_id in event["cells"]:
                    self.cells.pop(cell_id, None)
            case "samples":
                for entry in event["samples"]:
                    source, target = entry["blend_words"]
                    words = BlendWords(tuple(source), tuple(target))
                    record = SampleRecord(**{**entry, "blend_words": words})
                    for name in (record.digest, *record.files):
                        check_name(name)
                    self.samples[record.digest, record.resolution] = record
            case "metric":
                self.metrics[event["name"]] = {
                    key: value for key, value in event.items() if key not in ("kind", "name")
                }
            case "scores":
                column = self.scores.setdefault((event["metric"], event["signature"]), {})
                for cell_id, image_sha256, value in event["values"]:
                    column[cell_id] = Score(image_sha256, float(value))
            case "set_score":
                known = SetScore.__dataclass_fields__.keys() & event.keys()
                numbers = {name: float(event[name]) for name in SET_NUMBERS if name in event}
                score = SetScore(**{**{name: event[name] for name in known}, **numbers})
                group = canonical_json(dict(score.group))
                self.set_scores[score.metric, score.signature, group] = score

    def score(self, metric: str, cell: CellRecord) -> float | None:
        """Return the current score of a cell's picture, None where there is none."""
        signature = self.metrics[metric]["signature"]
        found = self.scores.get((metric, signature), {}).get(cell.cell_id)
        if found is None or found.image_sha256 != cell.image_sha256:
            return None
        return found.value


def check_name(name: str) -> None:
    """Raise ValueError for an id that cannot be part of a file's name in the run folder."""
    if not SAFE_NAME.fullmatch(name):
        raise ValueError(f"id {name[:80]!r} is not made of letters, digits, - and _")


def check_path(path: str) -> None:
    """Raise ValueError for a path that leaves the run folder."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or "\\" in path or "\0" in path or ".." in parts:
        raise ValueError(f"path {path[:80]!r} leaves the run folder")


def score_value(value: float) -> float | str:
    """Return a value that JSON can hold: infinities and NaN become words that ``float`` reads."""
    return value if abs(value) < float("inf") else str(value)
