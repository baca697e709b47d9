"""Samples and batches for the metric tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from icd_bench.api import Sample, Scored


def make_sample(
    name: str, with_mask: bool = True, with_target: bool = True, prompt: str = "", **metadata: Any
) -> Sample:
    def blank() -> np.ndarray:
        return np.zeros((64, 64, 3), np.uint8)

    return Sample(
        id=name,
        source_prompt="a red ball",
        target_prompt=prompt,
        digest=f"digest of {name}",
        read_image=blank,
        read_mask=(lambda: np.zeros((64, 64), bool)) if with_mask else None,
        read_target=blank if with_target else None,
        metadata=metadata,
    )


def make_scored(
    source: Tensor,
    edited: Tensor,
    target: Tensor | None = None,
    mask: Tensor | None = None,
    samples: Sequence[Sample] | None = None,
) -> Scored:
    if samples is None:
        samples = [
            make_sample(f"s{row}", mask is not None, target is not None)
            for row in range(len(source))
        ]
    return Scored(samples=samples, source=source, edited=edited, target=target, mask=mask)


def row_of(batch: Scored, row: int) -> Scored:
    """One row of a batch, as a batch."""
    part = slice(row, row + 1)
    return Scored(
        samples=batch.samples[part],
        source=batch.source[part],
        edited=batch.edited[part],
        target=None if batch.target is None else batch.target[part],
        mask=None if batch.mask is None else batch.mask[part],
    )
