"""The same command gives the same bits on one machine; another batch stays within a tolerance."""

from __future__ import annotations

from pathlib import Path

from measure_determinism import FIRST, Way, distance, edits

METHODS = ("icd",)
SAMPLES = 3
GREY_LEVELS = 3
"""Largest difference that another batch size may make, of 255; see docs/determinism.md."""


def test_same_bits_and_how_far_other_batches_are(tmp_path: Path) -> None:
    first = edits(FIRST, SAMPLES, tmp_path / "first", METHODS)
    again = edits(FIRST, SAMPLES, tmp_path / "again", METHODS)
    alone = edits(Way("alone", batch_size=1), SAMPLES, tmp_path / "alone", METHODS)
    for method in METHODS:
        assert distance(first[method], again[method]).same == SAMPLES
        assert distance(first[method], alone[method]).largest <= GREY_LEVELS
