"""Trade-off curves: what a method gains in one score for what it loses in another.

``trade_off`` computes them as data, ``write`` stores data and figure, ``summary`` puts them into
words. The figure itself is :func:`icd_bench.reports.curves.drawing.draw`.
"""

from .build import trade_off
from .model import Axis, Choice, Claim, Curve, Point, TradeOff
from .output import summary, write

__all__ = [
    "Axis",
    "Choice",
    "Claim",
    "Curve",
    "Point",
    "TradeOff",
    "summary",
    "trade_off",
    "write",
]
