"""Where to compute, in which number type, and how many samples at once."""

from __future__ import annotations

from icd_bench.run.plan import Plan, RunRequest

PIXELS_ON_CPU = 64 * 64 * 64
PIXELS_ON_ACCELERATOR = 32 * 512 * 512
"""Pixels of all pictures (samples x settings) of one batch: full U-Net batches, bounded memory."""
MOST_SAMPLES = 64


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


def choose_batch_size(request: RunRequest, plan: Plan, device: str) -> int:
    """Return the number of samples at once; the same for the same plan, so that a resumed run
    cuts the same batches.
    """
    if request.batch_size is not None:
        return request.batch_size
    pixels = PIXELS_ON_CPU if device == "cpu" else PIXELS_ON_ACCELERATOR
    settings = max(len(group.settings) for group in plan.groups)
    return max(1, min(MOST_SAMPLES, pixels // (plan.model.resolution**2 * settings)))
