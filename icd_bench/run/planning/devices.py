"""Where to compute, in which number type, and how many samples at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icd_bench.run.caches.batch_sizes import BatchMemory, Place, measure_rows
from icd_bench.run.planning.plan import Plan
from icd_bench.run.planning.request import RunRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from icd_bench.diffusion.backbone import Backbone

PIXELS_ON_CPU = 32 * 64 * 64
PIXELS_ON_ACCELERATOR = 32 * 512 * 512
"""Pixels of all pictures (samples x settings) of one batch: full U-Net batches, bounded memory."""
MOST_SAMPLES = 64
CELLS_WORTH_MEASURING = 512
"""A smaller run is over before measuring the best batch size would have paid."""


def choose_device(name: str) -> str:
    """Return a torch device; ``auto`` is the accelerator where there is one."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_dtype(name: str, device: str) -> str:
    """Return a number type; ``auto`` is float16 on an accelerator, float32 elsewhere."""
    if name != "auto":
        return name
    return "float32" if device == "cpu" else "float16"


def choose_arithmetic(request: RunRequest, device: str) -> str:
    """Return the number type of a run, with " compiled" where U-Nets are: bits depend on both."""
    return choose_dtype(request.dtype, device) + " compiled" * request.compiled


def place_of(request: RunRequest, plan: Plan, device: str) -> Place:
    """Return where a plan's model computes."""
    dtype = choose_arithmetic(request, device)
    return Place(plan.model.name, plan.model.resolution, device, dtype)


def measure_batch_size(
    request: RunRequest, plan: Plan, device: str, load: Callable[[], Backbone]
) -> None:
    """Measure how many rows a U-Net call should have, where that is worth it and not known yet."""
    cells = sum(len(p.settings) for p in plan.methods if not p.info.anchor) * len(plan.rows)
    if request.batch_size is not None or cells < CELLS_WORTH_MEASURING:
        return
    memory, place = BatchMemory(), place_of(request, plan, device)
    if memory.of(place).rows is None:
        memory.set_rows(place, measure_rows(load()))


def choose_batch_size(request: RunRequest, plan: Plan, device: str) -> int:
    """Return the number of samples at once; the same for the same plan on the same machine, so
    that a resumed run cuts the same batches.

    What was asked for, else as many as fill a U-Net call of the measured size with their source
    and target rows, else as many as are known to fit everywhere.
    """
    if request.batch_size is not None:
        return request.batch_size
    settings = max(len(group.settings) for group in plan.groups)
    rows = BatchMemory().of(place_of(request, plan, device)).rows
    if rows is not None:
        return max(1, min(MOST_SAMPLES, rows // (settings + 1)))
    pixels = PIXELS_ON_CPU if device == "cpu" else PIXELS_ON_ACCELERATOR
    return max(1, min(MOST_SAMPLES, pixels // (plan.model.resolution**2 * settings)))
