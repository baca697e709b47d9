"""What a trade-off is, before it is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from icd_bench.api import Direction, Range
from icd_bench.reports.table_model import ARROWS
from icd_bench.stats.intervals import MeanInterval
from icd_bench.stats.joint import Estimate

Goal = Literal["x", "y"]


@dataclass(frozen=True)
class Axis:
    """A score, or a cost, made in one way."""

    metric: str
    title: str
    direction: Direction
    """Towards better values."""
    unit: str
    signature: str
    range: Range = (None, None)
    """Smallest and largest possible value; None where there is no limit."""

    @property
    def sign(self) -> int:
        """1 where more is better or neither is, otherwise -1."""
        return -1 if self.direction == "lower" else 1

    @property
    def limits(self) -> tuple[float, float]:
        """The range, with infinities where there is no limit."""
        low, high = self.range
        return -math.inf if low is None else low, math.inf if high is None else high

    @property
    def label(self) -> str:
        """Title, unit and an arrow towards better values, where some are better."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.title}{unit} {ARROWS[self.direction]}".strip()


@dataclass(frozen=True)
class Point:
    """One setting of one method."""

    method: str
    """The method; with version, model or weights where the curves differ in them."""
    cells: Mapping[str, str]
    """Name, version, model and weights as in the columns of ``results.parquet``."""
    setting: Mapping[str, Any]
    label: str
    """What tells the setting from the method's other points; empty for the default alone."""
    anchor: bool
    """A reference line: shown, but neither on a front nor compared."""
    x: MeanInterval
    y: MeanInterval
    correlation: float
    """Of the two means, over samples; with the intervals it gives the joint region."""
    on_front: bool
    """No other setting of any method is at least as good in both and better in one."""
    p_front: float
    """Share of the bootstrap draws in which it is on the front; NaN for anchors."""
    nfe: float
    """Mean U-Net rows of an edit, inversion included."""
    seconds: float
    """Median seconds of an edit, inversion included."""


@dataclass(frozen=True)
class Curve:
    """What one method attains of y at each level of x, along its own front."""

    method: str
    x: tuple[float, ...]
    """Levels from one end of the front to the other; empty where the front is one point."""
    y: tuple[float, ...]
    low: tuple[float, ...]
    """Band that holds the whole curve, cut where y cannot be; NaN at levels that under half of the
    draws reach."""
    high: tuple[float, ...]
    hypervolume: Estimate
    """Area between the reference point and the method's front, in units of x times y."""


@dataclass(frozen=True)
class Claim:
    """One method against another at matched x: the paired difference in y."""

    a: str
    b: str
    at: float | None
    """The level of x; None for the mean over all levels that both methods reach."""
    shared: tuple[float, float] | None
    """The levels of x that both reach, ascending; None where there is none."""
    difference: Estimate
    """y of a less y of b, in the unit of y; NaN where it would need extrapolation."""
    p_holm: float
    """Its p value after Holm's correction over all claims that are tested; NaN where refused."""
    refused: str
    """Why there is no difference or no interval; empty where there are both."""

    def better(self, y: Axis, level: float) -> str:
        """Return the method that is better, or an empty string where that is not shown."""
        if not self.p_holm < 1 - level:
            return ""
        return self.a if self.difference.value * y.sign > 0 else self.b


@dataclass(frozen=True)
class Choice:
    """The setting that a method's dev samples choose, and how it does on the test samples."""

    method: str
    setting: Mapping[str, Any]
    label: str
    dev_x: MeanInterval
    dev_y: MeanInterval
    test_x: MeanInterval
    test_y: MeanInterval


@dataclass(frozen=True)
class TradeOff:
    """All that a figure, a page or a paper needs of two scores of some runs."""

    benchmark: str
    split: str
    protocol: str
    x: Axis
    y: Axis
    points: tuple[Point, ...]
    """Methods in the order in which they were run, settings in the order of their values."""
    curves: tuple[Curve, ...]
    claims: tuple[Claim, ...]
    choices: tuple[Choice, ...]
    choice_rule: str
    """How a setting is chosen, and on which samples, in a sentence; empty where none can be."""
    reference: tuple[float, float]
    """The point that hypervolumes are measured from: (x, y); NaN where x or y ranks nothing."""
    samples: int
    """Samples that every point has; all numbers are made from these alone."""
    left_out: int
    """Samples that some point lacks."""
    level: float
    resamples: int
    seed: int
    notes: tuple[str, ...]
    """What a reader must know to read it right, one line each."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that are compared, in order."""
        return tuple(curve.method for curve in self.curves)

    def is_chosen(self, point: Point) -> bool:
        """Return whether a point is what the dev samples choose among several of its method."""
        rivals = [p for p in self.points if p.method == point.method and not p.anchor]
        chosen = [c.setting for c in self.choices if c.method == point.method]
        return len(rivals) > 1 and point.setting in chosen
