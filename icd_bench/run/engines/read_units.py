"""What a unit of work needs of the disk, read before its turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from icd_bench.errors import BadSample
from icd_bench.run.caches.inversions import StoredInversion
from icd_bench.run.engines.engine import Job, Unit
from icd_bench.run.planning.rows import Row
from icd_bench.run.reading.prepare import Prepared


@dataclass(frozen=True)
class ReadRow:
    """A row with its pictures, and its inversion where there is one."""

    row: Row
    pictures: Prepared
    inversion: StoredInversion | None = None


@dataclass(frozen=True)
class ReadUnit:
    """A unit with what is on the disk for it."""

    unit: Unit
    rows: tuple[ReadRow, ...]
    unusable: tuple[tuple[Row, BadSample], ...]
    """Rows whose pictures cannot be used, and why."""


def read_units(job: Job) -> Iterator[ReadUnit]:
    """Yield the units of a job with their pictures and stored inversions."""
    for unit in job.units():
        yield read_unit(unit, job)


def read_unit(unit: Unit, job: Job) -> ReadUnit:
    """Read the pictures of a unit, and the inversions that are stored."""
    rows, unusable = [], []
    found = job.read_pictures([row.sample for row in unit.rows])
    for row, pictures in zip(unit.rows, found, strict=True):
        if isinstance(pictures, BadSample):
            unusable.append((row, pictures))
        else:
            key = job.inversion_key(unit.group, row)
            rows.append(ReadRow(row, pictures, job.inversions.load(key, job.device)))
    return ReadUnit(unit, tuple(rows), tuple(unusable))
