"""A unit of work with a backbone: invert what is not stored, edit, and say what came of it.

Every engine computes with this, in its own process or in others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from icd_bench.api import Batch, Edits, Inversion, Setting
from icd_bench.run.caches.batch_sizes import BatchMemory, Place
from icd_bench.run.caches.inversions import (
    InversionStore,
    StoredInversion,
    inversion_is_finite,
    join_inversions,
    noise_nll,
    split_inversion,
)
from icd_bench.run.engines.blocks import Block, Shrinking
from icd_bench.run.engines.deadline import deadline
from icd_bench.run.engines.engine import Failure, FinishedCell, Job, Unit
from icd_bench.run.engines.in_progress import InProgress
from icd_bench.run.engines.read_units import ReadRow, ReadUnit
from icd_bench.run.planning.plan import Plan
from icd_bench.run.planning.rows import Row
from icd_bench.run.reading.prepare import to_levels, to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from icd_bench.diffusion.backbone import Backbone

T = TypeVar("T")

NOT_FINITE_LATENTS = Failure(
    "invert", "NotFinite", "the inversion has values that are not finite numbers"
)


@dataclass(frozen=True)
class Edited:
    """What one call of ``edit`` gave for B samples x K settings."""

    edits: Edits
    levels: NDArray[np.uint8]
    """(B, K, R, R, 3)."""
    finite: NDArray[np.bool_]
    """(B, K)."""
    seconds: float


class UnitWork:
    """Computes units with one backbone, as large blocks at once as fit into memory.

    What fits is remembered, here and between runs, for each method.

    Args:
        job: that the units belong to.
        backbone: inverts and edits.
        inversions: given the new ones, and asked once more for those that were missing when the
            unit was read: other methods' units may have made them since.
        in_progress: inversions that work side by side with this is making; they are waited for.
        share: of this process that the work has to itself; seconds are counted by it, so that
            those of work side by side add up to what it took.
    """

    def __init__(
        self,
        job: Job,
        backbone: Backbone,
        inversions: InversionStore,
        in_progress: InProgress,
        share: float = 1.0,
    ) -> None:
        self._job = job
        self._backbone = backbone
        self._inversions = inversions
        self._in_progress = in_progress
        self._share = share
        model = job.plan.model
        self._place = Place(model.name, model.resolution, job.device, job.dtype)
        self._memory = BatchMemory()

    def compute(self, read: ReadUnit) -> Iterator[FinishedCell]:
        """Yield every cell of a unit, with its picture or with the reason why it has none."""
        unit = read.unit
        for row, error in read.unusable:
            yield from self._failed(unit, row, unit.settings, Failure.of("sample", error))
        inverted, failures = self._invert(unit, read.rows)
        for row, failure in failures:
            yield from self._failed(unit, row, unit.settings, failure)
        if inverted:
            yield from self._edit(unit, inverted)

    def _invert(
        self, unit: Unit, rows: Sequence[ReadRow]
    ) -> tuple[list[ReadRow], list[tuple[Row, Failure]]]:
        """Return the rows with their inversions, stored or new, and those that got none."""
        keys = {
            read.row.index: self._job.inversion_key(unit.group, read.row)
            for read in rows
            if read.inversion is None
        }
        with self._in_progress.holding(self._inversions.lacking(keys.values())):
            rows = [self._found(read, keys) for read in rows]
            made, failures = self._make(unit, [read for read in rows if read.inversion is None])
            if made:
                self._inversions.save({keys[index]: one for index, one in made.items()})
        inverted = [
            read if read.inversion else replace(read, inversion=made[read.row.index])
            for read in rows
            if read.inversion or read.row.index in made
        ]
        return inverted, failures

    def _make(
        self, unit: Unit, missing: Sequence[ReadRow]
    ) -> tuple[dict[int, StoredInversion], list[tuple[Row, Failure]]]:
        """Return the inversions of rows by their places in the benchmark, and what failed."""
        made: dict[int, StoredInversion] = {}
        failures: list[tuple[Row, Failure]] = []

        def work(block: Block[ReadRow]) -> list[StoredInversion]:
            batch = make_batch(self._job.plan, block.items, str(self._backbone.device))
            start = clock(self._backbone)
            with self._deadline(block):
                inversion = unit.method.invert(self._backbone, batch, block.settings[0])
            seconds = self._share * (clock(self._backbone) - start)
            return split_inversion(inversion, len(block.items), seconds)

        if not missing:
            return made, failures
        whole = Block(tuple(missing), unit.settings[:1])
        for block, outcome in self._in_blocks("invert", unit, work, whole):
            if isinstance(outcome, Exception):
                failures.append((block.items[0].row, Failure.of("invert", outcome)))
                continue
            for read, inversion in zip(block.items, outcome, strict=True):
                if inversion_is_finite(inversion):
                    made[read.row.index] = inversion
                else:
                    failures.append((read.row, NOT_FINITE_LATENTS))
        return made, failures

    def _found(self, row: ReadRow, keys: Mapping[int, str]) -> ReadRow:
        if row.inversion is not None:
            return row
        key = keys[row.row.index]
        return replace(row, inversion=self._inversions.load(key, self._job.device))

    def _edit(self, unit: Unit, inverted: Sequence[ReadRow]) -> Iterator[FinishedCell]:
        def work(block: Block[ReadRow]) -> Edited:
            batch = make_batch(self._job.plan, block.items, str(self._backbone.device))
            inversion = join_inversions([r.inversion for r in block.items if r.inversion])
            with self._deadline(block):
                return timed_edit(unit, self._backbone, batch, inversion, block.settings)

        whole = Block(tuple(inverted), unit.settings)
        for block, outcome in self._in_blocks("edit", unit, work, whole):
            for row_index, read in enumerate(block.items):
                if isinstance(outcome, Exception):
                    failure = Failure.of("edit", outcome)
                    yield from self._failed(unit, read.row, block.settings, failure)
                    continue
                for index, setting in enumerate(block.settings):
                    yield self._finished(unit, read, setting, outcome, (row_index, index))

    def _in_blocks(
        self, stage: str, unit: Unit, work: Callable[[Block[ReadRow]], T], whole: Block[ReadRow]
    ) -> Iterator[tuple[Block[ReadRow], T | Exception]]:
        """Apply work to as large blocks as fit; remember where memory ran out."""
        name = f"{unit.method.info.name} {stage}"
        known = self._memory.of(self._place).cells.get(name)
        sizes: Shrinking[ReadRow, T] = Shrinking(known)
        yield from sizes.apply(work, whole)
        if sizes.limit is not None and sizes.limit != known:
            self._memory.set_cells(self._place, name, sizes.limit)

    def _deadline(self, block: Block[ReadRow]) -> AbstractContextManager[None]:
        """Give the work on a block its share of time for each cell."""
        timeout = self._job.timeout
        seconds = None if timeout is None else timeout * len(block)
        return deadline(seconds, fatal=self._job.expendable)

    def _finished(
        self,
        unit: Unit,
        read: ReadRow,
        setting: Setting,
        edited: Edited,
        place: tuple[int, int],
    ) -> FinishedCell:
        row_index, index = place
        inversion, edits = read.inversion, edited.edits
        levels = edited.levels[place]
        failure = picture_fault(levels, bool(edited.finite[place]), read.pictures.source)
        warnings = edits.warnings[row_index][index] if edits.warnings else ()
        return FinishedCell(
            cell=self._job.plan.cell(unit.group, setting, read.row),
            levels=None if failure else levels,
            failure=failure,
            warnings=(*(inversion.warnings if inversion else ()), *warnings),
            nfe_invert=inversion.nfe if inversion else None,
            nfe_shared=int(edits.nfe_shared[row_index]),
            nfe_source=int(edits.source_rows(row_index, index)),
            nfe_edit=int(edits.nfe[row_index][index]),
            seconds_invert=inversion.seconds if inversion else None,
            latent_nll=noise_nll(inversion, unit.method.info.noise_latents) if inversion else None,
            seconds_edit=self._share * edited.seconds / edited.finite.size,
            bytes_inversion=inversion.bytes if inversion else None,
        )

    def _failed(
        self, unit: Unit, row: Row, settings: Sequence[Setting], failure: Failure
    ) -> Iterator[FinishedCell]:
        for setting in settings:
            yield FinishedCell(self._job.plan.cell(unit.group, setting, row), failure=failure)


def make_batch(plan: Plan, items: Sequence[ReadRow], device: str) -> Batch:
    """Return rows as a method sees them."""
    samples = [read.row.sample for read in items]
    return Batch(
        ids=tuple(sample.id for sample in samples),
        images=to_tensor([read.pictures.source for read in items], device),
        source_prompts=tuple(sample.source_prompt for sample in samples),
        target_prompts=tuple(sample.target_prompt for sample in samples),
        blend_words=tuple(sample.blend_words for sample in samples),
        seeds=tuple(plan.seed_of(sample.id) for sample in samples),
        instructions=tuple(str(sample.metadata.get("instruction", "")) for sample in samples),
    )


def timed_edit(
    unit: Unit,
    backbone: Backbone,
    batch: Batch,
    inversion: Inversion,
    settings: Sequence[Setting],
) -> Edited:
    """Edit a batch, decode included, and bring the pictures to this machine's memory.

    Raises:
        ValueError: the method did not return one picture for each sample and setting.
    """
    import torch

    start = clock(backbone)
    edits = unit.method.edit(backbone, batch, inversion, settings)
    expected = (len(batch), len(settings), *batch.images.shape[1:])
    if tuple(edits.images.shape) != expected:
        raise ValueError(
            f"method {unit.method.info.name} returned images {tuple(edits.images.shape)}, "
            f"not {expected}"
        )
    flat = edits.images.flatten(0, 1)
    finite = torch.isfinite(flat).flatten(1).all(dim=1).cpu().numpy()
    levels = to_levels(flat.nan_to_num())
    seconds = clock(backbone) - start
    return Edited(
        edits,
        levels.reshape(*expected[:2], *levels.shape[1:]),
        finite.reshape(expected[:2]),
        seconds,
    )


def clock(backbone: Backbone) -> float:
    """Return seconds on a steady clock, after the device has done what it was asked for.

    It stands still while networks are loaded.
    """
    import torch

    if backbone.device.type == "cuda":
        torch.cuda.synchronize(backbone.device)
    return time.perf_counter() - backbone.loading_seconds


def picture_fault(
    levels: NDArray[np.uint8], finite: bool, source: NDArray[np.uint8]
) -> Failure | None:
    """Return why (R, R, 3) is no picture, or None: not numbers, or one colour all over."""
    if not finite:
        return Failure("image", "NotFinite", "the picture has values that are not finite numbers")
    if _is_flat(levels) and not _is_flat(source):
        colour = ", ".join(str(level) for level in levels[0, 0])
        return Failure("image", "ConstantImage", f"the picture is RGB ({colour}) all over")
    return None


def _is_flat(levels: NDArray[np.uint8]) -> bool:
    return bool((levels == levels[:1, :1]).all())
