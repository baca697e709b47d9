"""Trade-offs between two goals, of which more is better: fronts and hypervolumes.

Points are (..., K, 2), where the leading axes are draws that are treated alike. A point with a
missing (NaN) coordinate is on no front and dominates nothing. Negate a goal of which less is
better.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def on_front(points: Floats) -> NDArray[np.bool_]:
    """Return (..., K), true where no other point is at least as good in both goals, better in one.

    Equal points are on the front together.
    """
    first, second = _columns(points)
    order, sorted_second = _by_first(first, second)
    sorted_first = np.take_along_axis(first, order, axis=-1)

    # From the best first goal downwards, a point must beat all before it in the second.
    before = _running_best(sorted_second)
    better = sorted_second > before
    equal = np.zeros_like(better)
    equal[..., 1:] = (sorted_first[..., 1:] == sorted_first[..., :-1]) & (
        sorted_second[..., 1:] == sorted_second[..., :-1]
    )
    # The first of equal points decides for the others, which follow it directly.
    places = np.arange(better.shape[-1])
    leader = np.maximum.accumulate(np.where(equal, 0, places), axis=-1)
    sorted_front = np.take_along_axis(better, leader, axis=-1)

    front = np.zeros_like(sorted_front)
    np.put_along_axis(front, order, sorted_front, axis=-1)
    return front


def hypervolume(points: Floats, reference: tuple[float, float]) -> Floats:
    """Return the area (...) between the reference point and the front.

    It is the area of all (a, b), better than the reference in both goals, that some point
    dominates (Zitzler & Thiele 1999, IEEE TEC 3(4)). Its unit is that of the goals' product.

    Args:
        points: (..., K, 2).
        reference: a pair of values; points that are not better in both add nothing.
    """
    first, second = _columns(points)
    width = np.maximum(first - reference[0], 0)
    height = np.maximum(second - reference[1], 0)
    order, sorted_height = _by_first(width, height)
    sorted_width = np.take_along_axis(width, order, axis=-1)
    step = np.maximum(sorted_height - np.maximum(_running_best(sorted_height), 0), 0)
    return np.asarray((np.where(step > 0, sorted_width, 0) * step).sum(axis=-1))


def _columns(points: Floats) -> tuple[Floats, Floats]:
    """Return both goals; points that lack one become the worst there can be."""
    missing = np.isnan(points).any(axis=-1)
    return (
        np.where(missing, -np.inf, points[..., 0]),
        np.where(missing, -np.inf, points[..., 1]),
    )


def _by_first(first: Floats, second: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return the order from the best first goal downwards, and the second goal in it."""
    by_second = np.argsort(-second, axis=-1, kind="stable")
    by_first = np.argsort(-np.take_along_axis(first, by_second, axis=-1), axis=-1, kind="stable")
    order = np.take_along_axis(by_second, by_first, axis=-1)
    return order, np.take_along_axis(second, order, axis=-1)


def _running_best(values: Floats) -> Floats:
    """Return the largest of the values before each one; minus infinity before the first."""
    best = np.full_like(values, -np.inf)
    best[..., 1:] = np.maximum.accumulate(values, axis=-1)[..., :-1]
    return best
