"""The scores that the tests of curves share, and what they ask of them."""

from __future__ import annotations

import pytest
from report_runs import trade_off_scores

from icd_bench.stats.intervals import MeanInterval

SAMPLES = 40
OFFSETS = {"icd": 0.06, "npi": 0.0}
STRENGTHS = (0.2, 0.6, 1.0)
SCORES = trade_off_scores(SAMPLES, OFFSETS, STRENGTHS)


def assert_same(found: MeanInterval, expected: MeanInterval) -> None:
    assert found.n == expected.n
    ends = [expected.low, expected.mean, expected.high]
    assert [found.low, found.mean, found.high] == pytest.approx(ends)


def mean(method: str, strength: float, metric: str) -> float:
    return float(SCORES[method, strength][metric].mean())
