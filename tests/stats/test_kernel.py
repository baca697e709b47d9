"""Kernel distance: unbiased, and so are its bootstrap draws."""

from __future__ import annotations

import numpy as np
import pytest

from icd_bench.stats.kernel import kernel_distance, kernel_interval


def test_the_interval_is_around_the_distance() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(60, 6)) + 0.3, rng.normal(size=(80, 6))
    found = kernel_interval(a, b)
    assert found.value == pytest.approx(kernel_distance(a, b))
    assert found.low < found.value < found.high
    wide = kernel_interval(a[:15], b)
    assert wide.high - wide.low > 1.3 * (found.high - found.low)


def test_it_covers_the_truth() -> None:
    rng = np.random.default_rng(1)
    b = rng.normal(size=(3000, 4))
    truth = kernel_distance(rng.normal(size=(3000, 4)) + 0.5, b)
    intervals = [
        kernel_interval(rng.normal(size=(40, 4)) + 0.5, b[:400], resamples=100) for _ in range(60)
    ]
    covered = sum(one.low <= truth <= one.high for one in intervals)
    assert 51 <= covered <= 60
