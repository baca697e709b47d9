"""The engine of this process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from icd_bench.api import Batch, Edits, Inversion, Setting
from icd_bench.errors import BadSample
from icd_bench.run.blocks import Block, Shrinking
from icd_bench.run.deadline import deadline
from icd_bench.run.engine import Failure, FinishedCell, Job, Unit
from icd_bench.run.inversions import (
    StoredInversion,
    inversion_is_finite,
    join_inversions,
    split_inversion,
)
from icd_bench.run.plan import Plan, Row
from icd_bench.run.prepare import Prepared, to_levels, to_png, to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from icd_bench.diffusion.backbone import Backbone


NOT_FINITE_LATENTS = Failure(
    "invert", "NotFinite", "the inversion has values that are not finite numbers"
)


@dataclass(frozen=True)
class Readied:
    """A row with its pictures, and its inversion as soon as there is one."""

    row: Row
    pictures: Prepared
    inversion: StoredInversion | None = None


@dataclass(frozen=True)
class Edited:
    """What one call of ``edit`` gave for B samples x K settings."""

    edits: Edits
    levels: NDArray[np.uint8]
    """(B, K, R, R, 3)."""
    finite: NDArray[np.bool_]
    """(B, K)."""
    seconds: float


class InlineEngine:
    """Computes one unit after the other: read, invert what is not stored, edit, encode."""

    def __init__(self) -> None:
        self._invert_sizes: Shrinking[Readied, list[StoredInversion]] = Shrinking()
        self._edit_sizes: Shrinking[Readied, Edited] = Shrinking()

    def run(self, job: Job) -> Iterator[tuple[FinishedCell, ...]]:
        """Yield finished cells, one batch a unit."""
        backbone: Backbone | None = None
        for unit in job.units():
            backbone = backbone or job.load_backbone()
            yield tuple(self._finish(unit, job, backbone))

    def _finish(self, unit: Unit, job: Job, backbone: Backbone) -> Iterator[FinishedCell]:
        read: list[Readied] = []
        found = job.read_pictures([row.sample for row in unit.rows])
        for row, pictures in zip(unit.rows, found, strict=True):
            if isinstance(pictures, BadSample):
                yield from _failed(job, unit, row, unit.settings, Failure.of("sample", pictures))
            else:
                read.append(Readied(row, pictures))
        inverted: list[Readied] = []
        for readied, failure in self._invert(read, unit, job, backbone):
            if failure is None:
                inverted.append(readied)
            else:
                yield from _failed(job, unit, readied.row, unit.settings, failure)
        if inverted:
            yield from self._edit(inverted, unit, job, backbone)

    def _invert(
        self, read: Sequence[Readied], unit: Unit, job: Job, backbone: Backbone
    ) -> list[tuple[Readied, Failure | None]]:
        """Give every row its inversion, stored or new, or the reason why it has none."""
        ids = {r.row.index: job.plan.inversion_id(unit.group, r.row) for r in read}
        device = str(backbone.device)
        known = {index: job.inversions.load(name, device) for index, name in ids.items()}
        missing = tuple(readied for readied in read if known[readied.row.index] is None)
        failures: dict[int, Failure] = {}

        def work(block: Block[Readied]) -> list[StoredInversion]:
            batch = make_batch(job.plan, block.items, device)
            start = clock(device)
            with deadline(_time_for(block, job)):
                inversion = unit.method.invert(backbone, batch, block.settings[0])
            return split_inversion(inversion, len(block.items), clock(device) - start)

        if missing:
            whole = Block(missing, unit.settings[:1])
            for block, outcome in self._invert_sizes.apply(work, whole):
                if isinstance(outcome, Exception):
                    failures[block.items[0].row.index] = Failure.of("invert", outcome)
                else:
                    for readied, made in zip(block.items, outcome, strict=True):
                        if inversion_is_finite(made):
                            known[readied.row.index] = made
                        else:
                            failures[readied.row.index] = NOT_FINITE_LATENTS
            job.inversions.save(
                {
                    ids[readied.row.index]: inversion
                    for readied in missing
                    if (inversion := known[readied.row.index])
                }
            )
        return [(replace(r, inversion=known[r.row.index]), failures.get(r.row.index)) for r in read]

    def _edit(
        self, inverted: Sequence[Readied], unit: Unit, job: Job, backbone: Backbone
    ) -> Iterator[FinishedCell]:
        def work(block: Block[Readied]) -> Edited:
            batch = make_batch(job.plan, block.items, str(backbone.device))
            inversion = join_inversions([r.inversion for r in block.items if r.inversion])
            with deadline(_time_for(block, job)):
                return timed_edit(unit, backbone, batch, inversion, block.settings)

        whole = Block(tuple(inverted), unit.settings)
        for block, outcome in self._edit_sizes.apply(work, whole):
            for row_index, readied in enumerate(block.items):
                if isinstance(outcome, Exception):
                    failure = Failure.of("edit", outcome)
                    yield from _failed(job, unit, readied.row, block.settings, failure)
                    continue
                for index, setting in enumerate(block.settings):
                    yield _finished(job, unit, readied, setting, outcome, (row_index, index))


def _time_for(block: Block[Readied], job: Job) -> float | None:
    """Return the seconds that the work on a block may take: its share for each cell."""
    return None if job.timeout is None else job.timeout * len(block)


def make_batch(plan: Plan, items: Sequence[Readied], device: str) -> Batch:
    """Return rows as a method sees them."""
    samples = [readied.row.sample for readied in items]
    return Batch(
        ids=tuple(sample.id for sample in samples),
        images=to_tensor([readied.pictures.source for readied in items], device),
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

    device = str(backbone.device)
    start = clock(device)
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
    seconds = clock(device) - start
    return Edited(
        edits,
        levels.reshape(*expected[:2], *levels.shape[1:]),
        finite.reshape(expected[:2]),
        seconds,
    )


def clock(device: str) -> float:
    """Return seconds on a steady clock, after the device has done what it was asked for."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter()


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


def _finished(
    job: Job,
    unit: Unit,
    readied: Readied,
    setting: Setting,
    edited: Edited,
    place: tuple[int, int],
) -> FinishedCell:
    row_index, index = place
    inversion, edits = readied.inversion, edited.edits
    levels = edited.levels[place]
    failure = picture_fault(levels, bool(edited.finite[place]), readied.pictures.source)
    warnings = edits.warnings[row_index][index] if edits.warnings else ()
    return FinishedCell(
        cell=job.plan.cell(unit.group, setting, readied.row),
        png=None if failure else to_png(levels),
        failure=failure,
        warnings=(*(inversion.warnings if inversion else ()), *warnings),
        nfe_invert=inversion.nfe if inversion else None,
        nfe_source=int(edits.nfe_shared[row_index]),
        nfe_edit=int(edits.nfe[row_index][index]),
        seconds_invert=inversion.seconds if inversion else None,
        seconds_edit=edited.seconds / edited.finite.size,
    )


def _failed(
    job: Job, unit: Unit, row: Row, settings: Sequence[Setting], failure: Failure
) -> Iterator[FinishedCell]:
    for setting in settings:
        yield FinishedCell(job.plan.cell(unit.group, setting, row), failure=failure)
