from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icd_bench.stats.pareto import hypervolume, on_front

SIDE = 6
small = st.tuples(st.integers(0, SIDE), st.integers(0, SIDE))
few_points = st.lists(small, min_size=1, max_size=7)


def array(points: list[tuple[float, float]]) -> np.ndarray:
    return np.array(points, dtype=np.float64)


def dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] >= b[0] and a[1] >= b[1] and a != b


@given(points=few_points)
@settings(deadline=None)
def test_the_front_is_what_nobody_dominates(points):
    expected = [not any(dominates(other, point) for other in points) for point in points]
    assert on_front(array(points)).tolist() == expected


@given(points=few_points)
@settings(deadline=None)
def test_hypervolume_counts_the_dominated_cells(points):
    cells = product(range(SIDE), repeat=2)
    expected = sum(any(x > a and y > b for x, y in points) for a, b in cells)
    assert hypervolume(array(points), (0, 0)) == expected


@given(points=few_points, new=small)
@settings(deadline=None)
def test_a_point_adds_area_just_where_it_is_not_dominated(points, new):
    before = hypervolume(array(points), (0, 0))
    after = hypervolume(array([*points, new]), (0, 0))
    free = not any(new == point or dominates(point, new) for point in points)
    assert (after > before) == (free and min(new) > 0)


@given(points=few_points, scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
@settings(deadline=None)
def test_units_scale_the_area(points, scale, shift):
    moved = array(points) * (scale, 1) + (shift, -shift)
    expected = scale * hypervolume(array(points), (0, 0))
    assert hypervolume(moved, (shift, -shift)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("steps", [2, 5, 9])
def test_area_below_stairs(steps):
    stairs = array([(i, steps - i) for i in range(1, steps)])
    assert hypervolume(stairs, (0, 0)) == steps * (steps - 1) / 2


def test_draws_are_treated_alike():
    draws = np.random.default_rng(0).normal(size=(20, 6, 2))
    whole = on_front(draws), hypervolume(draws, (-1, -1))
    for index, points in enumerate(draws):
        assert (whole[0][index] == on_front(points)).all()
        assert whole[1][index] == pytest.approx(hypervolume(points, (-1, -1)))


def test_a_point_that_lacks_a_goal_does_not_count():
    points = array([(3, 1), (1, 3), (9, math.nan), (math.nan, 9)])
    assert on_front(points).tolist() == [True, True, False, False]
    assert hypervolume(points, (0, 0)) == 5
