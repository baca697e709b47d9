"""Validation sheets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def write_sheet(path: Path, rows: Sequence[Tensor], scale: int = 2) -> None:
    """Write rows of pictures, each (N, 3, H, W) in [0, 1], one row under the other."""
    lines = [torch.cat(list(row.clamp(0, 1).float()), dim=2) for row in rows]
    sheet = (torch.cat(lines, dim=1) * 255).round().byte().permute(1, 2, 0).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.kron(sheet, np.ones((scale, scale, 1), np.uint8))).save(path)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of (N, 3, H, W) pairs rounded to 8 bits: (N,)."""
    x, y = ((z.float().clamp(0, 1) * 255).round() for z in (a, b))
    error = (x - y).square().flatten(1).mean(1).clamp_min(1e-8)
    return 10 * torch.log10(255**2 / error)
