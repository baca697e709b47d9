"""Scores of sets of edits: one value for all edits of a method and setting (FID, KID)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from icd_bench.api import Scored, SetMetric
from icd_bench.errors import UsageError
from icd_bench.run.cells import canonical_json
from icd_bench.run.storage.edit_sets import current_scores, digest_of, group_of, sets_of
from icd_bench.run.storage.records import CellRecord, SetScore

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from icd_bench.run.progress import Progress
    from icd_bench.run.storage.store import RunWriter

SourceKey = tuple[str, int]
"""Digest of the sample, and side at which the run has it: a run may have several."""


class SetScoring:
    """One metric over the sets of a run that lack its value.

    Args:
        metric: with its weights.
        signature: under the run's protocol.
        writer: holds the run folder.
        cell_ids: sets without any of these cells are passed over.
    """

    def __init__(
        self, metric: SetMetric, signature: str, writer: RunWriter, cell_ids: Collection[str]
    ) -> None:
        self.metric, self.signature, self.writer = metric, signature, writer
        known = {
            canonical_json(dict(score.group))
            for score in current_scores(writer.records)
            if (score.metric, score.signature) == (metric.info.name, signature)
        }
        self.sets = [
            cells
            for cells in sets_of(writer.records.cells.values())
            if canonical_json(group_of(cells[0])) not in known
            and not {cell.cell_id for cell in cells}.isdisjoint(cell_ids)
        ]
        self.cell_ids = {cell.cell_id for cells in self.sets for cell in cells}
        """Of the edits whose features are needed."""
        self._edited: dict[str, NDArray[np.float64]] = {}
        self._sources: dict[SourceKey, NDArray[np.float64]] = {}

    def take(self, cells: Sequence[CellRecord], batch: Scored) -> None:
        """Compute the features of a batch, as far as they are needed."""
        rows = [row for row, cell in enumerate(cells) if cell.cell_id in self.cell_ids]
        if not rows:
            return
        found = self.metric.features(batch.edited[rows])
        self._edited.update(zip((cells[row].cell_id for row in rows), found, strict=True))
        new = {_source_key(cells[row]): row for row in rows}
        new = {key: row for key, row in new.items() if key not in self._sources}
        if new:
            found = self.metric.features(batch.source[list(new.values())])
            self._sources.update(zip(new, found, strict=True))

    def finish(self, progress: Progress) -> None:
        """Store the value of each set, and say where it is doubtful or there is none."""
        for cells in self.sets:
            name = f"{self.metric.info.name} of {cells[0].method}"
            lacking = [cell for cell in cells if cell.cell_id not in self._edited]
            if lacking:
                progress.say(f"{name}: no value: {len(lacking)} of {len(cells)} edits are unread")
                continue
            if len(cells) < self.metric.enough:
                progress.say(
                    f"{name}: {len(cells)} edits are few: at least {self.metric.enough} are needed "
                    "for a value that compares with others"
                )
            edited = np.stack([self._edited[cell.cell_id] for cell in cells])
            keys = dict.fromkeys(map(_source_key, cells))
            sources = np.stack([self._sources[key] for key in keys])
            try:
                value = self.metric.distance(edited, sources)
                interval = getattr(self.metric, "interval", None)
                ends = interval(edited, sources) if interval else (math.nan, math.nan)
            except UsageError as error:
                progress.say(f"{name}: no value: {error}")
                continue
            group, digest = group_of(cells[0]), digest_of(cells)
            score = SetScore(
                self.metric.info.name, self.signature, group, digest, len(cells), value, *ends
            )
            self.writer.record({"kind": "set_score", **score.as_json()})


def _source_key(cell: CellRecord) -> SourceKey:
    return cell.sample_digest, cell.resolution
