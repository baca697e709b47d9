"""The rows of a benchmark, usable or not."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

from icd_bench import registry
from icd_bench.api import Benchmark, Sample
from icd_bench.errors import BadSample


@dataclass(frozen=True)
class Row:
    """One usable row of the benchmark."""

    index: int
    """Place in the benchmark, from 0."""
    sample: Sample

    @property
    def sample_id(self) -> str:
        """Id of the sample."""
        return self.sample.id

    @property
    def digest(self) -> str:
        """Digest of the sample."""
        return self.sample.digest


@dataclass(frozen=True)
class UnusableRow:
    """One row of the benchmark that cannot be used, and why."""

    index: int
    error: BadSample

    @property
    def sample_id(self) -> str:
        """Stands in for the sample's id: file and row."""
        return self.error.where

    @property
    def digest(self) -> str:
        """Stands in for the sample's digest: changes when the problem changes."""
        return sha256(f"unusable:{self.index}:{self.error}".encode()).hexdigest()


def open_benchmark(reference: str) -> tuple[Benchmark, str]:
    """Return the benchmark named ``name``, ``name:split``, ``./file.py:Class`` or by its folder.

    After a name, ``=FOLDER`` says where its data lie: ``piebench:icd-420=/data/PIE-Bench``. The
    split is empty for the default one, also where the user wrote its name (``default_split`` of
    the benchmark's class).

    Raises:
        UsageError: there is no such benchmark, split or folder.
    """
    if ".py:" in reference or reference.endswith(".py"):
        return registry.benchmarks.load(reference)(), ""
    chosen, _, location = reference.partition("=")
    name, _, split = chosen.partition(":")
    if name not in registry.benchmarks.names() and _looks_like_folder(reference):
        return registry.benchmarks.load("folder")(location=reference), ""
    loader = registry.benchmarks.load(name)
    benchmark = loader(location=location or None, split=split or None)
    return benchmark, "" if split == getattr(loader, "default_split", "") else split


def _looks_like_folder(reference: str) -> bool:
    return Path(reference).expanduser().is_dir() or "/" in reference


def read_rows(
    benchmark: Benchmark, limit: int | None
) -> tuple[tuple[Row, ...], tuple[UnusableRow, ...]]:
    """Return the first rows of a benchmark: the usable ones, and the others with their errors."""
    rows: dict[str, Row] = {}
    unusable: list[UnusableRow] = []
    # islice counts no further; a larger limit is none.
    most = None if limit is None else min(limit, sys.maxsize)
    for index, found in enumerate(islice(benchmark.samples(), most)):
        if isinstance(found, BadSample):
            unusable.append(UnusableRow(index, found))
        elif found.id in rows:
            error = BadSample(
                f"{benchmark.info.name} row {index + 1}",
                "id",
                f'"{found.id}" is taken by row {rows[found.id].index + 1}',
                "give every row its own id",
            )
            unusable.append(UnusableRow(index, error))
        else:
            rows[found.id] = Row(index, found)
    return tuple(rows.values()), tuple(unusable)
