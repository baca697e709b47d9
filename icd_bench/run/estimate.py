"""What a run would take, before anything is spent. No torch, except for a measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from icd_bench import registry
from icd_bench.api import Sample
from icd_bench.errors import BadSample
from icd_bench.protocols import find_protocol
from icd_bench.run.caches.cache import InversionCache, inversion_key, inversions_home
from icd_bench.run.caches.inversions import NoInversions
from icd_bench.run.caches.measurements import (
    Measurement,
    Measurements,
    average,
    cost_of,
    measurement_key,
)
from icd_bench.run.engines.engine import Engine, Job
from icd_bench.run.planning.devices import choose_arithmetic, choose_batch_size
from icd_bench.run.planning.plan import Group, Plan
from icd_bench.run.planning.request import RunRequest
from icd_bench.run.planning.sources import ModelSource
from icd_bench.run.reading.prepare import Prepared, prepare
from icd_bench.run.storage.records import RunRecords
from icd_bench.run.storage.store import RunFolder

if TYPE_CHECKING:
    from icd_bench.diffusion.backbone import Backbone

SECONDS_TO_MEASURE = 60.0
"""A method whose one edit takes longer is not measured."""
SECONDS_FOR_A_BATCH = 20.0
"""A whole batch is measured only where it is expected to take less than this."""
BYTES_OF_A_RECORD = 4000
"""Events, scores and results of a cell, about, in run folders of some twenty metrics."""


@dataclass(frozen=True)
class MethodEstimate:
    """What one method would take; None where it was never measured here."""

    method: str
    settings: int
    cells: int
    done: int
    """Cells that have their picture already."""
    inversions: int
    """That have to be computed."""
    cached: int
    """That are needed and cached, or made for another method of the plan."""
    rows_invert: int | None
    """U-Net rows to evaluate."""
    rows_edit: int | None
    """The same; source branches included."""
    seconds: float | None
    bytes_pictures: int | None
    bytes_inversions: int | None
    """Of those that will be kept."""
    peak_memory: int | None


@dataclass(frozen=True)
class Estimate:
    """What a run would take."""

    folder: Path
    samples: int
    unusable: int
    model: str
    device: str
    dtype: str
    batch_size: int
    cache_size: int
    """Most bytes of inversions that are kept."""
    new_pictures: int
    """Sources and true edits that the run folder does not have yet."""
    methods: tuple[MethodEstimate, ...]

    @property
    def cells(self) -> int:
        """All cells of usable samples."""
        return sum(one.cells for one in self.methods)

    @property
    def done(self) -> int:
        """Cells that have their picture already."""
        return sum(one.done for one in self.methods)

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Methods that are not part of the sums below."""
        return tuple(one.method for one in self.methods if one.seconds is None)

    @property
    def seconds(self) -> float:
        """Of inverting and editing, without loading and scoring."""
        return sum(one.seconds or 0.0 for one in self.methods)

    @property
    def without_inversions(self) -> tuple[str, ...]:
        """Measured methods whose inversions' bytes are not known; they count as nothing."""
        return tuple(
            one.method
            for one in self.methods
            if one.bytes_inversions is None and one.seconds is not None
        )

    @property
    def bytes_folder(self) -> int:
        """Of the run folder: edits, the pictures beside them, and about what is said of them.

        A source or a true edit is as large as the mean edit; masks are a few hundred bytes.
        """
        measured = [one for one in self.methods if one.bytes_pictures is not None]
        edits = sum(one.bytes_pictures or 0 for one in measured)
        cells = sum(one.cells - one.done for one in measured)
        beside = self.new_pictures * edits / cells if cells else 0
        return round(edits + beside + BYTES_OF_A_RECORD * cells)

    @property
    def bytes(self) -> int:
        """On the disk: the run folder, and new inversions as far as the cache keeps them."""
        inversions = sum(one.bytes_inversions or 0 for one in self.methods)
        return self.bytes_folder + min(inversions, self.cache_size)

    @property
    def peak_memory(self) -> int | None:
        """Most bytes that were in use when the methods were measured."""
        return max((one.peak_memory for one in self.methods if one.peak_memory), default=None)


def likely_device(name: str) -> str:
    """Return what ``auto`` will be, without torch: the accelerator where the system has one."""
    if name != "auto":
        return name
    return "cuda" if any(Path("/dev").glob("nvidia[0-9]*")) else "cpu"


def estimate(plan: Plan, request: RunRequest) -> Estimate:
    """Return what a plan would take, as far as it is known."""
    device = likely_device(request.device)
    dtype = choose_arithmetic(request, device)
    folder = RunFolder(request.out or request.root / plan.name())
    records = folder.records() if folder.manifest_path.is_file() else RunRecords()
    done = _done(folder, records)
    known = Measurements().load()
    cache = InversionCache(inversions_home(), request.cache_size)
    kept: set[str] = set()
    groups = [
        _estimate_group(plan, group, done, known, cache, kept, device, dtype)
        for group in plan.groups
    ]
    return Estimate(
        folder=folder.path,
        samples=len(plan.rows),
        unusable=len(plan.unusable),
        model=plan.model.name,
        device=device,
        dtype=dtype,
        batch_size=choose_batch_size(request, plan, device),
        cache_size=request.cache_size,
        new_pictures=_new_pictures(plan, records),
        methods=tuple(
            _sum(list(parts)) for _, parts in groupby(groups, key=lambda one: one.method)
        ),
    )


def _done(folder: RunFolder, records: RunRecords) -> set[str]:
    """Return the cells whose picture is there; a run also looks whether it is whole."""
    return {
        cell.cell_id
        for cell in records.cells.values()
        if cell.status == "ok" and (folder.path / cell.image).is_file()
    }


def _new_pictures(plan: Plan, records: RunRecords) -> int:
    return sum(
        1 + (row.sample.read_target is not None)
        for row in plan.rows
        if (row.digest, plan.model.resolution) not in records.samples
    )


def measure(
    plan: Plan, request: RunRequest, models: ModelSource, say: Callable[[str], None]
) -> None:
    """Measure what was never measured, on the first samples, and remember it.

    Args:
        plan: whose methods and settings count.
        request: where to compute.
        models: where the model comes from.
        say: told what is measured, and what cannot be.
    """
    device = likely_device(request.device)
    dtype = choose_arithmetic(request, device)
    store = Measurements()
    known = store.load()
    backbone = None
    for group in plan.groups:
        keys = [measurement_key(plan, group.method, one, device, dtype) for one in group.settings]
        if not plan.rows or all(key in known for key in keys):
            continue
        name = group.method.info.name
        say(f"measuring {name} with {len(keys)} settings")
        backbone = backbone or models.load(plan.model, device, dtype)
        size = choose_batch_size(request, plan, device)
        found = _measure_group(plan, group, 1, backbone, device, dtype)
        seconds = sum(one.seconds_invert / len(keys) + one.seconds_edit for one in found.values())
        if found and size > 1 and seconds * size < SECONDS_FOR_A_BATCH:
            found = _measure_group(plan, group, size, backbone, device, dtype)
        if not found:
            say(f"{name}: not measured: the first sample failed or took too long")
        store.add(found)


def _measure_group(
    plan: Plan, group: Group, samples: int, backbone: Backbone, device: str, dtype: str
) -> dict[str, Measurement]:
    from icd_bench.run.storage.provenance import peak_memory

    planned = replace(group.planned, settings=group.settings)
    part = replace(plan, methods=(planned,), rows=plan.rows[:samples], unusable=())
    job = Job(
        plan=part,
        done=frozenset(),
        load_backbone=lambda: backbone,
        read_pictures=partial(_read, part),
        inversions=NoInversions(),
        batch_size=samples,
        timeout=SECONDS_TO_MEASURE,
        device=device,
        dtype=dtype,
    )
    engine: Engine = registry.engines.load("inline")()
    finished = [one.encoded() for batch in engine.run(job) for one in batch]
    costs = (cost_of(one, part, device, dtype) for one in finished)
    return average(filter(None, costs), peak_memory(device))


def _read(plan: Plan, samples: Sequence[Sample]) -> list[Prepared | BadSample]:
    def read(sample: Sample) -> Prepared | BadSample:
        try:
            return prepare(sample, plan.model.resolution, find_protocol(plan.protocol))
        except BadSample as error:
            return error

    return [read(sample) for sample in samples]


def _estimate_group(
    plan: Plan,
    group: Group,
    done: set[str],
    known: dict[str, Measurement],
    cache: InversionCache,
    kept: set[str],
    device: str,
    dtype: str,
) -> MethodEstimate:
    """Estimate a group; what it inverts is added to what is kept for the groups after it."""
    keys: list[str] = []
    edits: list[Measurement | None] = []
    costs = _costs(plan, group, known, device, dtype)
    sizes = [cost.bytes_inversion for cost in costs if cost and cost.bytes_inversion is not None]
    for row in plan.rows:
        lacking = [
            cost
            for setting, cost in zip(group.settings, costs, strict=True)
            if plan.cell(group, setting, row).id not in done
        ]
        edits += lacking
        keys += [inversion_key(plan, group, row, device, dtype)] if lacking else []
    cached = [key for key in keys if key in cache]
    inversions = sum(key not in cache and key not in kept for key in keys)
    if cache.limit:
        kept.update(keys)
    cells = len(plan.rows) * len(group.settings)
    counts = MethodEstimate(
        method=group.method.info.name,
        settings=len(group.settings),
        cells=cells,
        done=cells - len(edits),
        inversions=inversions,
        cached=len(keys) - inversions,
        rows_invert=None if edits else 0,
        rows_edit=None if edits else 0,
        seconds=None if edits else 0.0,
        bytes_pictures=None if edits else 0,
        bytes_inversions=_bytes_of(inversions, max(sizes, default=None), cached, cache),
        peak_memory=None,
    )
    measured = [cost for cost in edits if cost is not None]
    if not edits or len(measured) < len(edits):
        return counts
    one = measured[0]
    return replace(
        counts,
        rows_invert=round(inversions * one.rows_invert),
        rows_edit=round(sum(cost.rows_edit for cost in measured) + len(keys) * one.rows_source),
        seconds=inversions * one.seconds_invert + sum(cost.seconds_edit for cost in measured),
        bytes_pictures=round(sum(cost.bytes_picture for cost in measured)),
        peak_memory=max(cost.peak_memory for cost in measured),
    )


def _costs(
    plan: Plan, group: Group, known: dict[str, Measurement], device: str, dtype: str
) -> list[Measurement | None]:
    """Return the measurement of each setting; one that has none is like the mean of the others."""
    found = [
        known.get(measurement_key(plan, group.method, setting, device, dtype))
        for setting in group.settings
    ]
    alike = [one for one in found if one is not None]
    if not alike:
        return found
    middle = replace(
        alike[0],
        rows_edit=fmean(one.rows_edit for one in alike),
        seconds_edit=fmean(one.seconds_edit for one in alike),
        bytes_picture=fmean(one.bytes_picture for one in alike),
    )
    return [one or middle for one in found]


def _bytes_of(
    inversions: int, measured: float | None, cached: Sequence[str], cache: InversionCache
) -> int | None:
    """Return the bytes that new inversions will take; None: none was measured or is cached."""
    if not inversions or not cache.limit:
        return 0
    if measured is not None:
        return round(inversions * measured)
    return inversions * cache.path(cached[0]).stat().st_size if cached else None


def _sum(parts: Sequence[MethodEstimate]) -> MethodEstimate:
    """Return one estimate for the groups of one method."""

    def total(values: Iterable[float | None]) -> float | None:
        listed = list(values)
        return None if None in listed else sum(filter(None, listed))

    def whole(values: Iterable[float | None]) -> int | None:
        summed = total(values)
        return None if summed is None else round(summed)

    return MethodEstimate(
        method=parts[0].method,
        settings=sum(one.settings for one in parts),
        cells=sum(one.cells for one in parts),
        done=sum(one.done for one in parts),
        inversions=sum(one.inversions for one in parts),
        cached=sum(one.cached for one in parts),
        rows_invert=whole(one.rows_invert for one in parts),
        rows_edit=whole(one.rows_edit for one in parts),
        seconds=total(one.seconds for one in parts),
        bytes_pictures=whole(one.bytes_pictures for one in parts),
        bytes_inversions=whole(one.bytes_inversions for one in parts),
        peak_memory=max((one.peak_memory for one in parts if one.peak_memory), default=None),
    )
