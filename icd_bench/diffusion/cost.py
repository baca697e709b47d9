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
    source: list[list[int]]
    """(B, K): of the shared rows, those that a setting would need alone."""

    @classmethod
    def zero(cls, stage: Stage, samples: int, settings: int) -> RowCount:
        """Return the count of B samples and K settings before anything is evaluated."""
        own, source = ([[0] * settings for _ in range(samples)] for _ in range(2))
        return cls(stage, [0] * samples, own, source)

    def add(self, rows: Sequence[Row]) -> None:
        """Count one U-Net call."""
        for row in rows:
            if row.setting is not None:
                self.own[row.sample][row.setting] += 1
                continue
            self.shared[row.sample] += 1
            source = self.source[row.sample]
            for setting in range(len(source)) if row.serves is None else row.serves:
                source[setting] += 1


@dataclass
class Cost:
    """U-Net calls and rows since the backbone was loaded."""

    calls: int = 0
    rows: int = 0
