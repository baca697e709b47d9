"""What a method attains of one goal at a level of the other: monotone curves through its front.

A method's settings are points with two goals, of which more is better. Those that another setting
of the same method dominates are no reason to use the method; the rest, ordered by the first goal,
fall in the second. Between them the curve is the monotone cubic of Fritsch & Butland (1984, SIAM
J. Sci. Stat. Comput. 5(2)), which is :class:`scipy.interpolate.PchipInterpolator` for one curve
and is computed here for all draws of a bootstrap at once.

At a level that only dominated settings go down to, the curve keeps the height of its first point:
whoever asks for no more than that level gets this point, which reaches it and does better. Where
no setting of the method went there is no curve: nothing is extrapolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .pareto import on_front

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fronts:
    """The fronts of B draws of K points, from the lowest first goal up, padded on the right."""

    first: Floats
    """(B, K) rising."""
    second: Floats
    """(B, K) falling."""
    size: NDArray[np.intp]
    """(B,) points of each front; what follows is padding."""
    low: Floats
    """(B,) the lowest first goal of any setting, on the front or not: where the curve begins."""

    @classmethod
    def of(cls, points: Floats) -> Fronts:
        """Return the fronts of points (B, K, 2), equal points once."""
        kept = on_front(points)
        first = np.where(kept, points[..., 0], np.inf)
        order = np.argsort(first, axis=-1, kind="stable")
        first = np.take_along_axis(first, order, axis=-1)
        second = np.take_along_axis(points[..., 1], order, axis=-1)
        again = np.zeros(first.shape, dtype=bool)
        again[:, 1:] = first[:, 1:] == first[:, :-1]
        drop = again | np.isinf(first)
        size = (~drop).sum(axis=-1)
        order = np.argsort(drop, axis=-1, kind="stable")
        first, second = (np.take_along_axis(goal, order, axis=-1) for goal in (first, second))
        padding = np.arange(first.shape[1]) >= size[:, None]
        return cls(
            first=np.where(padding, np.nan, first),
            second=np.where(padding, np.nan, second),
            size=size,
            low=points[..., 0].min(axis=-1),
        )

    @property
    def high(self) -> Floats:
        """(B,) the highest first goal of any setting: where the curve ends."""
        return _at(self.first, np.maximum(self.size - 1, 0))

    def second_at(self, levels: Floats) -> Floats:
        """Return the second goal at levels (B, M) of the first; NaN beyond the curve's ends."""
        slopes = self._slopes()
        outside = ~((levels >= self.low[:, None]) & (levels <= self.high[:, None]))
        levels = np.maximum(levels, self.first[:, :1])
        inner = self.first[:, :, None] <= levels[:, None, :]
        left = np.clip(inner.sum(axis=1) - 1, 0, np.maximum(self.size - 2, 0)[:, None])
        right = np.minimum(left + 1, np.maximum(self.size - 1, 0)[:, None])
        x0, x1 = (np.take_along_axis(self.first, side, axis=1) for side in (left, right))
        y0, y1 = (np.take_along_axis(self.second, side, axis=1) for side in (left, right))
        d0, d1 = (np.take_along_axis(slopes, side, axis=1) for side in (left, right))
        width = np.where(x1 > x0, x1 - x0, 1.0)
        t = (levels - x0) / width
        values = (
            y0 * (1 + 2 * t) * (1 - t) ** 2
            + width * d0 * t * (1 - t) ** 2
            + y1 * t**2 * (3 - 2 * t)
            - width * d1 * t**2 * (1 - t)
        )
        return np.where(outside, np.nan, values)

    def _slopes(self) -> Floats:
        """Return the derivative (B, K) at each point; 0 on a front of one point."""
        slopes = np.zeros_like(self.first)
        if self.first.shape[1] < 2:
            return slopes
        # Beyond a front's end: steps that divide by nothing and are never read.
        step = np.diff(self.first)
        secant = np.where(np.isnan(step), -1.0, np.diff(self.second) / step)
        step = np.where(np.isnan(step), 1.0, step)
        before, after = 2 * step[:, 1:] + step[:, :-1], step[:, 1:] + 2 * step[:, :-1]
        slopes[:, 1:-1] = (before + after) / (before / secant[:, :-1] + after / secant[:, 1:])

        last = np.maximum(self.size - 2, 0)
        second, inner = np.minimum(1, last), np.maximum(last - 1, 0)
        slopes[:, 0] = _end(step[:, 0], _at(step, second), secant[:, 0], _at(secant, second))
        end = _end(_at(step, last), _at(step, inner), _at(secant, last), _at(secant, inner))
        np.put_along_axis(slopes, (last + 1)[:, None], end[:, None], axis=1)
        slopes[self.size < 2] = 0
        return slopes


def shared_range(fronts: tuple[Fronts, ...]) -> tuple[Floats, Floats]:
    """Return the ends (B,) of the levels that all curves have; low > high where none is."""
    low = np.max([front.low for front in fronts], axis=0)
    return low, np.min([front.high for front in fronts], axis=0)


def mean_difference(a: Fronts, b: Fronts, places: int = 33) -> Floats:
    """Return (B,) the mean of a - b in the second goal, over the levels that both curves have.

    Taken by the trapezoidal rule at ``places`` levels; NaN where no range is shared.
    """
    low, high = shared_range((a, b))
    share = np.linspace(0, 1, places)
    levels = low[:, None] * (1 - share) + high[:, None] * share
    # Rounding must not push the ends over the edge.
    levels = np.clip(levels, low[:, None], np.maximum(low, high)[:, None])
    weights = np.full(places, 1 / (places - 1))
    weights[[0, -1]] /= 2
    return np.where(high > low, (a.second_at(levels) - b.second_at(levels)) @ weights, np.nan)


def _at(values: Floats, index: NDArray[np.intp]) -> Floats:
    return np.take_along_axis(values, index[:, None], axis=1)[:, 0]


def _end(step: Floats, inner_step: Floats, secant: Floats, inner_secant: Floats) -> Floats:
    """Return the one-sided three-point derivative, 0 where it would rise on a falling curve."""
    slope = ((2 * step + inner_step) * secant - step * inner_secant) / (step + inner_step)
    return np.minimum(slope, 0)
