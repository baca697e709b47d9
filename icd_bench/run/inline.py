"""The engine of this process."""

from __future__ import annotations

from collections.abc import Iterator

from icd_bench.run.engine import FinishedCell, Job
from icd_bench.run.overlap import Behind, ahead
from icd_bench.run.reading import read_units
from icd_bench.run.unit_work import UnitWork


class InlineEngine:
    """Computes one unit after the other, while the next one is read and inversions are stored."""

    def run(self, job: Job) -> Iterator[tuple[FinishedCell, ...]]:
        """Yield finished cells, one batch a unit; pictures are left to be encoded."""
        work: UnitWork | None = None
        with Behind(job.inversions.save) as saving:
            for read in ahead(read_units(job)):
                work = work or UnitWork(job, job.load_backbone(), saving.put)
                yield tuple(work.compute(read))
