"""A run with two methods and a reference line, and its trade-off."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from curve_runs import SAMPLES, SCORES
from report_runs import write_scores

from icd_bench.reports.curves import TradeOff, trade_off


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = {"psnr": [math.inf] * SAMPLES, "clip_text": [0.3] * SAMPLES}
    scores = {**SCORES, ("copy", None): copy}
    return write_scores(tmp_path_factory.mktemp("runs") / "run", scores, samples=SAMPLES)


@pytest.fixture(scope="package")
def found(run: Path) -> TradeOff:
    return trade_off([run], "psnr", "clip_text", resamples=500)
