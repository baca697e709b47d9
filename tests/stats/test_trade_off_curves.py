from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from icd_bench.stats.joint import estimate, joint_means
from icd_bench.stats.pareto import on_front
from icd_bench.stats.trade_off import Fronts, mean_difference, shared_range

number = st.floats(-100, 100).map(lambda value: round(value, 3))
points = st.lists(st.tuples(number, number), min_size=1, max_size=8)


def fronts(*values: tuple[float, float]) -> Fronts:
    return Fronts.of(np.array([values], dtype=np.float64))


def own_front(values: list[tuple[float, float]]) -> np.ndarray:
    array = np.array(values)
    return np.unique(array[on_front(array)], axis=0)


@given(values=points, share=st.lists(st.floats(0, 1), min_size=1, max_size=5))
@settings(deadline=None)
def test_the_curve_is_scipys_through_the_front(values, share):
    front = own_front(values)
    levels = np.clip(front[0, 0] + np.array(share) * np.ptp(front[:, 0]), front[0, 0], front[-1, 0])
    found = fronts(*values).second_at(levels[None])[0]
    if len(front) == 1:
        np.testing.assert_array_equal(found, front[0, 1])
    else:
        np.testing.assert_allclose(found, PchipInterpolator(*front.T)(levels), atol=1e-6)


@given(values=points)
@settings(deadline=None)
def test_the_curve_falls_through_its_points_and_ends_with_them(values):
    front, found = own_front(values), fronts(*values)
    assert found.size[0] == len(front)
    np.testing.assert_allclose(found.second_at(front[None, :, 0])[0], front[:, 1])
    low, high = front[0, 0], front[-1, 0]
    levels = np.clip(np.linspace(low, high, 40), low, high)
    assert (np.diff(found.second_at(levels[None])[0]) <= 1e-9).all()
    lowest = min(first for first, _ in values)
    beyond = np.array([[np.nextafter(lowest, -np.inf), np.nextafter(high, np.inf)]])
    assert np.isnan(found.second_at(beyond)).all()


@given(values=points, share=st.floats(0, 1))
@settings(deadline=None)
def test_where_settings_do_worse_in_both_the_front_is_still_attained(values, share):
    front, lowest = own_front(values), min(first for first, _ in values)
    level = min(max(lowest + share * (front[0, 0] - lowest), lowest), front[0, 0])
    found = fronts(*values).second_at(np.array([[level]]))
    assert found[0, 0] == pytest.approx(front[0, 1])
    assert front[0, 1] == max(second for first, second in values if first >= level)


@given(values=points, worse=st.tuples(st.floats(0.1, 50), st.floats(0.1, 50)))
@settings(deadline=None)
def test_a_dominated_setting_changes_nothing(values, worse):
    added = (values[0][0] - worse[0], values[0][1] - worse[1])
    before, after = fronts(*values), fronts(*values, added)
    size = before.size[0]
    assert after.size[0] == size
    np.testing.assert_array_equal(after.first[0, :size], before.first[0, :size])


def test_straight_fronts_stay_straight():
    line = fronts((0, 10), (1, 8), (4, 2), (5, 0))
    levels = np.array([[0.3, 2.5, 4.9]])
    np.testing.assert_allclose(line.second_at(levels), 10 - 2 * levels)


def test_draws_of_different_size_share_an_array():
    draws = np.array([[(0, 3), (1, 2), (2, 1)], [(0, 1), (1, 2), (2, 3)], [(0, 0), (1, 5), (2, 4)]])
    found = Fronts.of(draws.astype(float))
    assert found.size.tolist() == [3, 1, 2]
    assert found.low.tolist() == [0, 0, 0]
    assert found.high.tolist() == [2, 2, 2]


@given(values=points, other=points)
@settings(deadline=None)
def test_differences_are_antisymmetric(values, other):
    a, b = fronts(*values), fronts(*other)
    forth, back = mean_difference(a, b), mean_difference(b, a)
    np.testing.assert_allclose(forth, -back, atol=1e-9)
    low, high = shared_range((a, b))
    assert np.isnan(forth[0]) == (not low[0] < high[0])


def test_the_mean_difference_of_parallel_lines_is_their_distance():
    a, b = fronts((0, 10), (10, 0)), fronts((4, 3), (14, -7))
    assert mean_difference(a, b)[0] == pytest.approx(3)
    assert [end[0] for end in shared_range((a, b))] == [4, 10]


def test_nothing_is_compared_where_no_level_is_shared():
    assert np.isnan(mean_difference(fronts((0, 2), (1, 1)), fronts((2, 2), (3, 1)))[0])


def test_a_method_that_loses_both_goals_is_compared_where_it_went():
    a, b = fronts((0, 1), (4, 5)), fronts((0, 4), (2, 3), (4, 1))
    low, high = (end[0] for end in shared_range((a, b)))
    assert (low, high) == (0, 4)
    assert mean_difference(a, b)[0] == pytest.approx(5 - np.mean([3.5, 2]), abs=0.15)


def test_the_difference_at_matched_levels_covers_and_keeps_its_error_rate():
    """Two methods on one true curve y = 1 - x^2, three settings each at different places."""
    rng = np.random.default_rng(0)
    places = np.array([[0.2, 0.5, 0.9], [0.15, 0.45, 0.85]])
    samples, trials, alarms = 40, 300, 0
    truth = np.stack([places, 1 - places**2], axis=-1)
    expected = mean_difference(*(Fronts.of(t[None]) for t in truth))[0]
    for trial in range(trials):
        hard = rng.normal(scale=0.2, size=(samples, 1, 1, 2))
        own = rng.normal(scale=0.1, size=(samples, 2, 3, 2))
        values = truth + hard + own
        draws = joint_means(values, resamples=200, seed=trial)
        means = values.mean(axis=0)
        found = estimate(
            float(mean_difference(*(Fronts.of(m[None]) for m in means))[0]),
            mean_difference(Fronts.of(draws[:, 0]), Fronts.of(draws[:, 1])),
            samples,
        )
        alarms += not found.low <= expected <= found.high
    assert 0.02 <= alarms / trials <= 0.085
