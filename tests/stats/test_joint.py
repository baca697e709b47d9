from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icd_bench.stats.intervals import mean_interval, paired_difference
from icd_bench.stats.joint import estimate, joint_means, simultaneous_band
from icd_bench.stats.multiple import holm

RNG = np.random.default_rng(0)
VALUES = RNG.gamma(3, size=(60, 2))


def test_all_columns_share_each_draw():
    values = np.stack([VALUES, 3 * VALUES - 1], axis=-1)
    draws = joint_means(values, resamples=50)
    assert draws.shape == (50, 2, 2)
    np.testing.assert_allclose(draws[..., 1], 3 * draws[..., 0] - 1)


def test_draws_are_means_of_samples_drawn_with_replacement():
    draws = joint_means(np.eye(5), resamples=4000) * 5
    assert (draws.sum(axis=1).round(9) == 5).all()
    assert (draws == draws.round()).all()
    # Each count is binomial(5, 1/5), whose variance is 4/5.
    np.testing.assert_allclose(draws.mean(axis=0), 1, atol=0.06)
    np.testing.assert_allclose(draws.var(axis=0), 0.8, atol=0.08)


def test_of_a_mean_it_is_students_interval_and_test():
    draws = joint_means(VALUES, resamples=20_000)
    value = VALUES.mean(axis=0)
    found = estimate(value[0], draws[:, 0], len(VALUES))
    expected = mean_interval(VALUES[:, 0])
    width = expected.high - expected.low
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high], abs=width / 50)
    difference = estimate(value[0] - value[1], draws[:, 0] - draws[:, 1], len(VALUES))
    assert difference.p == pytest.approx(paired_difference(*VALUES.T).p, abs=0.02)


@given(
    value=st.floats(-3, 3),
    spread=st.floats(0.01, 2),
    samples=st.integers(2, 100),
    level=st.sampled_from([0.8, 0.95, 0.99]),
)
@settings(deadline=None)
def test_p_value_and_interval_agree(value, spread, samples, level):
    draws = value + spread * np.linspace(-1, 1, 101)
    found = estimate(value, draws, samples, level)
    if abs(found.p - (1 - level)) > 1e-9:
        assert (found.p < 1 - level) == (not found.low <= 0 <= found.high)


def test_no_interval_where_too_few_draws_are_defined():
    draws = np.array([1.0] * 90 + [np.nan] * 10)
    assert estimate(1.0, draws, 30).defined == 0.9
    assert np.isnan([estimate(1.0, draws, 30).low, estimate(1.0, draws, 30).p]).all()
    assert np.isfinite(estimate(1.0, draws, 30, enough=0.9).low)
    assert np.isnan(estimate(np.nan, draws, 30, enough=0.5).low)
    assert np.isnan(estimate(1.0, np.ones(10), 1).low)


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (2.0, 0.0)])
def test_what_never_changes_is_certain(value, p):
    found = estimate(value, np.full(100, value), 20)
    assert (found.low, found.high, found.p) == (value, value, p)


def test_the_band_holds_whole_curves():
    rng, held, pointwise = np.random.default_rng(1), 0, 0
    trials = 300
    for trial in range(trials):
        values = rng.normal(size=(50, 1)) + rng.normal(size=(50, 8))
        means, draws = values.mean(axis=0), joint_means(values, 200, trial)
        low, high = simultaneous_band(means, draws, 50)
        held += bool(((low <= 0) & (high >= 0)).all())
        single = [estimate(m, d, 50) for m, d in zip(means, draws.T, strict=True)]
        pointwise += all(each.low <= 0 <= each.high for each in single)
    assert 0.92 <= held / trials <= 0.985
    assert pointwise < held


def test_the_band_leaves_out_what_few_draws_reach():
    draws = joint_means(VALUES, 100)
    draws[:60, 1] = np.nan
    low, high = simultaneous_band(VALUES.mean(axis=0), draws, len(VALUES))
    assert np.isfinite([low[0], high[0]]).all()
    assert np.isnan([low[1], high[1]]).all()


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_must_be_a_share(level):
    with pytest.raises(ValueError, match="level"):
        estimate(1.0, np.ones(3), 5, level)
    with pytest.raises(ValueError, match="level"):
        simultaneous_band(np.ones(1), np.ones((3, 1)), 5, level)


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(deadline=None)
def test_holm_rejects_what_the_step_down_rejects(p):
    rejected, order = set(), sorted(range(len(p)), key=p.__getitem__)
    for rank, index in enumerate(order):
        if p[index] * (len(p) - rank) >= 0.05:
            break
        rejected.add(index)
    assert set(np.flatnonzero(holm(p) < 0.05)) == rejected
