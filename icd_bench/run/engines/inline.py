"""The engine of this process."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from itertools import chain

from icd_bench.run.caches.inversions import InversionsBehind, InversionStore
from icd_bench.run.engines.engine import FinishedCell, Job
from icd_bench.run.engines.in_progress import InProgress
from icd_bench.run.engines.read_units import ReadUnit, read_units
from icd_bench.run.engines.streams import count_streams, side_by_side
from icd_bench.run.engines.unit_work import UnitWork
from icd_bench.run.overlap import ahead

Worker = Callable[[ReadUnit], tuple[FinishedCell, ...]]


class InlineEngine:
    """Computes units while the next ones are read and inversions are stored."""

    def run(self, job: Job) -> Generator[tuple[FinishedCell, ...], None, None]:
        """Yield finished cells, one batch a unit; pictures are left to be encoded."""
        streams = count_streams(job)
        units = ahead(read_units(job), streams)
        with InversionsBehind(job.inversions) as inversions:
            for first in units:
                workers = _workers(job, streams, inversions)
                if streams == 1:
                    yield workers[0](first)
                    yield from map(workers[0], units)
                else:
                    yield from side_by_side(chain([first], units), workers)


def _workers(job: Job, streams: int, inversions: InversionStore) -> list[Worker]:
    """Return what computes a unit, once for each stream."""
    backbone = job.load_backbone()
    backbones = [backbone, *(backbone.twin() for _ in range(streams - 1))]
    in_progress = InProgress()
    works = [UnitWork(job, one, inversions, in_progress, 1 / streams) for one in backbones]
    return [partial(_compute, work) for work in works]


def _compute(work: UnitWork, read: ReadUnit) -> tuple[FinishedCell, ...]:
    return tuple(work.compute(read))
