"""What edits cost: U-Net calls, and rows by the sample and setting that they serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from icd_bench.api import Stage
from icd_bench.diffusion.attention import Row


@dataclass
class RowCount:
    """U-Net rows of one inversion or edit, by owner."""

    stage: Stage
    shared: list[int]
    """(B): rows that serve all settings of a sample."""
    own: list[list[int]]
    """(B, K): rows that serve one setting of a sample."""

    def add(self, rows: Sequence[Row]) -> None:
        """Count one U-Net call."""
        for row in rows:
            if row.setting is None:
                self.shared[row.sample] += 1
            else:
                self.own[row.sample][row.setting] += 1


@dataclass
class Cost:
    """U-Net calls and rows since the backbone was loaded."""

    calls: int = 0
    rows: int = 0
