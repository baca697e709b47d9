"""Takes finished cells into the run folder, counts them, and says what failed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

from icd_bench.run.caches.measurements import EditCost, cost_of
from icd_bench.run.engines.engine import FinishedCell
from icd_bench.run.planning.plan import Plan
from icd_bench.run.progress import Progress
from icd_bench.run.storage.store import RunWriter
from icd_bench.run.workload import Workload

ENCODERS = 8
"""Pictures that are encoded at once."""


class Recorder:
    """Stores the finished cells of one command."""

    def __init__(
        self,
        writer: RunWriter,
        plan: Plan,
        work: Workload,
        progress: Progress,
        device: str,
        dtype: str,
    ) -> None:
        self.done = 0
        self.failed = 0
        self.costs: list[EditCost] = []
        """Of the cells that have a picture."""
        self._writer = writer
        self._plan = plan
        self._work = work
        self._progress = progress
        self._device = device
        self._dtype = dtype

    def take(self, finished: Sequence[FinishedCell]) -> None:
        """Store a batch of finished cells of one method; pictures are encoded first, if need be."""
        # Pillow compresses outside Python's lock, so threads use all processors.
        with ThreadPoolExecutor(ENCODERS) as pool:
            finished = list(pool.map(FinishedCell.encoded, finished))
        pictures = {one.cell.id: one.png for one in finished if one.png is not None}
        self._writer.add_cells(
            self._common(finished[0]), [self._entry(one) for one in finished], pictures
        )
        failed = len(finished) - len(pictures)
        self.done += len(pictures)
        self.failed += failed
        for one in finished:
            if one.failure is not None:
                self._progress.say(failure_line(one))
        costs = (cost_of(one, self._plan, self._device, self._dtype) for one in finished)
        self.costs += filter(None, costs)
        self._work.finish(finished)
        self._progress.advance(len(finished), failed, self._work.seconds_left())

    def _common(self, finished: FinishedCell) -> dict[str, Any]:
        plan, method = self._plan, finished.cell.group.method
        return {
            "method": method.info.name,
            "method_version": method.info.version,
            "model": plan.model.name,
            "model_digest": plan.model_digest(method, finished.cell.setting),
            "benchmark": plan.benchmark.name,
            "split": plan.split,
            "seed": plan.seed,
            "protocol": plan.protocol,
            "resolution": plan.model.resolution,
            "device": self._device,
            "dtype": self._dtype,
        }

    def _entry(self, finished: FinishedCell) -> dict[str, Any]:
        cell, failure, png = finished.cell, finished.failure, finished.png
        entry = {
            "cell_id": cell.id,
            "setting": cell.setting.model_dump(mode="json"),
            "inversion_id": self._plan.inversion_id(cell.group, cell.row),
            "sample_id": cell.row.sample_id,
            "sample_index": cell.row.index,
            "sample_digest": cell.row.digest,
            "sample_seed": self._plan.seed_of(cell.row.sample_id),
            "status": "failed" if png is None else "ok",
            "warnings": list(finished.warnings),
            "nfe_invert": finished.nfe_invert,
            "nfe_source": finished.nfe_source,
            "nfe_edit": finished.nfe_edit,
            "seconds_invert": finished.seconds_invert,
            "seconds_edit": finished.seconds_edit,
            "latent_nll": finished.latent_nll,
        }
        if failure is not None:
            entry["failed_stage"] = failure.stage
            entry["error_type"] = failure.type
            entry["error"] = failure.message
        if png is not None:
            entry["image"] = self._writer.folder.image_path(cell.id).as_posix()
            entry["image_sha256"] = sha256(png).hexdigest()
        return entry


def failure_line(finished: FinishedCell) -> str:
    """Return why a cell failed; the same line for every method where the sample is at fault."""
    failure, cell = finished.failure, finished.cell
    if failure is None:
        raise ValueError(f"cell {cell.id} did not fail")
    if failure.stage in ("benchmark", "sample"):
        return failure.message
    return f"{cell.group.method.info.name}: {cell.row.sample_id}: {failure.message}"
