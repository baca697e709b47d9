"""Pictures that the metric tests share."""

from __future__ import annotations

import pytest
import torch
from metric_batches import make_scored

from icd_bench.api import Scored


@pytest.fixture
def scored() -> Scored:
    """Six smooth random pictures, noisy edits of them, and square masks of growing size."""
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand(6, 3, 8, 8, generator=generator)
    source = torch.nn.functional.interpolate(coarse, 64, mode="bilinear")
    noise = torch.randn(2, 6, 3, 64, 64, generator=generator)
    edited = (source + 0.1 * noise[0]).clamp(0, 1)
    target = (source + 0.05 * noise[1]).clamp(0, 1)
    mask = torch.zeros(6, 1, 64, 64)
    for row in range(6):
        mask[row, :, 8 : 12 + 8 * row, 4 : 20 + 4 * row] = 1
    return make_scored(source, edited, target, mask)
