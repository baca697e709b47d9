"""Sets of edits of a run folder: all finished edits of a method and setting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from icd_bench.run.cells import canonical_json, content_id
from icd_bench.run.storage.records import CellRecord, RunRecords, SetScore

GROUP = (
    "benchmark",
    "split",
    "protocol",
    "model",
    "model_digest",
    "method",
    "method_version",
    "setting",
    "resolution",
)
"""Fields of a cell that the edits of a set share: those of a table's row."""


def group_of(cell: CellRecord) -> dict[str, Any]:
    """Return what the edits of a cell's set share."""
    values = {name: getattr(cell, name) for name in GROUP}
    return {**values, "setting": canonical_json(cell.setting)}


def pictures_digest(image_digests: Iterable[str]) -> str:
    """Return the digest of a set of edits, from the SHA-256 of each file."""
    return content_id(sorted(image_digests))


def sets_of(cells: Iterable[CellRecord]) -> list[list[CellRecord]]:
    """Return the finished cells of each set."""
    groups: dict[str, list[CellRecord]] = {}
    for cell in cells:
        if cell.status == "ok":
            groups.setdefault(canonical_json(group_of(cell)), []).append(cell)
    return list(groups.values())


def current_scores(records: RunRecords) -> list[SetScore]:
    """Return the set scores of present signatures whose edits are still the same."""
    digests = {
        canonical_json(group_of(cells[0])): digest_of(cells)
        for cells in sets_of(records.cells.values())
    }
    return [
        score
        for score in records.set_scores.values()
        if records.metrics[score.metric]["signature"] == score.signature
        and digests.get(canonical_json(dict(score.group))) == score.pictures
    ]


def digest_of(cells: Sequence[CellRecord]) -> str:
    """Return the digest of a set of edits."""
    return pictures_digest(cell.image_sha256 for cell in cells)
