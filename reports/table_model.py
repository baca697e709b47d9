"""What a table is, before it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from icd_bench.api import Direction, Range
from icd_bench.stats.intervals import MeanInterval

ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}


@dataclass(frozen=True)
class Column:
    """A metric, made in one way."""

    key: str
    """Name of the metric, numbered where the table has several signatures of it."""
    metric: str
    title: str
    direction: Direction
    unit: str
    group: str
    """preservation, editing, truth or quality."""
    signature: str
    range: Range = (None, None)
    """Smallest and largest possible value; None where there is no limit."""
    factor: float = 1
    """What the values have been multiplied by, as the papers of their protocol do."""

    @property
    def heading(self) -> str:
        """The key with an arrow towards better values, where some are better, and the factor."""
        return " ".join(filter(None, (self.key, self.scaled, ARROWS[self.direction])))

    @property
    def scaled(self) -> str:
        """The factor as a heading shows it, "x1000"; empty where there is none."""
        return "" if self.factor == 1 else f"x{self.factor:g}"


@dataclass(frozen=True)
class Row:
    """A method with one setting, on one benchmark with one model."""

    benchmark: str
    split: str
    protocol: str
    model: str
    model_digest: str
    method: str
    version: str
    setting: Mapping[str, Any]
    label: str
    """What tells the setting from the method's default and from its other rows."""
    anchor: bool
    """A reference line, which is never the best."""
    samples: frozenset[str]
    """Ids of the samples that have an edit."""
    n: int
    """Cells with a picture."""
    failed: int
    """Cells without one."""
    warned: int
    """Cells with a picture and a warning."""
    nfe_invert: float
    """Mean U-Net rows to invert a sample; NaN where no cell has a picture."""
    nfe_edit: float
    """Mean U-Net rows to edit it with this setting alone, source branch included."""
    seconds: float
    """Median seconds of an edit: its share of the batches it was inverted and edited in."""
    values: Mapping[str, MeanInterval]
    """Column key -> mean with 95 % interval."""
    best: frozenset[str] = frozenset()
    """Keys of the columns in which no comparable row has a better mean."""
    second: frozenset[str] = frozenset()
    """Keys of the columns in which only the best rows are better, where three or more compete."""
    resolution: str = ""
    """Side of the square pictures in pixels."""
    conditions: str = ""
    """What the method was given beyond the samples: masks, rewritten prompts, a choice of seeds."""
    ranked_together: bool = False
    """Whether rows under other conditions, or of other cost, are rivals."""
    published: Mapping[str, str] = field(default_factory=dict)
    """Column key -> comparable published values in the column's unit, as text."""

    @property
    def block(self) -> tuple[str, ...]:
        """What rows must share to be compared."""
        shared = (self.benchmark, self.split, self.protocol)
        return shared if self.ranked_together else (*shared, self.resolution, self.conditions)

    @property
    def rivals(self) -> tuple[str, ...]:
        """What rows must share to be ranked: all of ``block``, and the U-Net rows of an edit."""
        if self.ranked_together:
            return self.block
        return (*self.block, f"{self.nfe_invert:.3g}+{self.nfe_edit:.3g}")


@dataclass(frozen=True)
class Table:
    """Rows in the order in which they are shown."""

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...]
    """What a reader must know to read it right, one line each."""

    def varying(self) -> tuple[str, ...]:
        """Return which of benchmark, split, protocol, model and conditions the rows differ in."""
        fields = ("benchmark", "split", "protocol", "model", "resolution", "conditions")
        return tuple(f for f in fields if len({getattr(row, f) for row in self.rows}) > 1)


@dataclass(frozen=True)
class Marks:
    """What a table for readers shows beside the means."""

    intervals: bool = True
    """Half the width of each 95 % interval."""
    bold: bool = True
    """Best values are bold."""
    underline: bool = True
    """Second-best values are underlined; italic in Markdown, which has no underline."""
