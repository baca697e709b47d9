"""Values of the public implementations on real pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from agreement_table import agree
from metric_batches import make_scored
from PIL import Image

from icd_bench.metrics.lpips import LPIPS
from icd_bench.metrics.mse import MSE
from icd_bench.metrics.psnr import PSNR
from icd_bench.metrics.ssim import SSIM

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"
PAIRS = json.loads((GOLDEN / "values.json").read_text())["pairs"]


def read(name: str) -> torch.Tensor:
    pixels = np.asarray(Image.open(GOLDEN / f"{name}.png").convert("RGB"))
    return torch.from_numpy(pixels / 255.0).float().permute(2, 0, 1)[None]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair["b"])
@pytest.mark.parametrize(
    ("metric", "field", "tolerance"),
    [
        (PSNR, "psnr", 1e-3),
        (MSE, "mse_unit", 1e-6),
        (SSIM, "ssim_gaussian11_sigma1_5", 1e-3),
        (LPIPS, "lpips_alex", 1e-3),
        (LPIPS, "lpips_alex_fp16_weights", 1e-5),
    ],
)
def test_value(pair, metric, field, tolerance):
    scorer = metric()
    scorer.load()
    value = scorer.score(make_scored(read(pair["a"]), read(pair["b"])))
    assert value.shape == (1,)
    agree(scorer.info.name, f"published values ({field})", value[0], pair[field], tolerance)
