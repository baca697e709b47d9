from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from icd_bench.stats.bootstrap import bootstrap_interval
from icd_bench.stats.intervals import MeanInterval, mean_interval, paired_difference

INF, NAN = math.inf, math.nan

scores = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=30)
estimators = pytest.mark.parametrize(
    "interval", [mean_interval, partial(bootstrap_interval, resamples=200)], ids=["t", "bootstrap"]
)


def ends(interval: MeanInterval) -> list[float]:
    return [interval.low, interval.mean, interval.high]


# --------------------------------------------------------------------------- against scipy


def test_t_interval_is_students():
    values = np.random.default_rng(0).normal(size=17)
    low, high = stats.t.interval(0.9, 16, values.mean(), stats.sem(values))
    found = mean_interval(values, level=0.9)
    assert ends(found) == pytest.approx([low, values.mean(), high])
    assert (found.n, found.excluded, found.infinite) == (17, 0, 0)


def test_paired_p_value_is_the_paired_t_tests():
    a, b = np.random.default_rng(1).normal(size=(2, 25))
    expected = stats.ttest_rel(a, b)
    found = paired_difference(a, b)
    assert found.p == pytest.approx(expected.pvalue)
    assert [found.low, found.high] == pytest.approx([*expected.confidence_interval(0.95)])
    assert found.mean == pytest.approx((a - b).mean())


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_bca_is_near_scipys(level):
    values = np.random.default_rng(2).lognormal(size=80)
    expected = stats.bootstrap(
        (values,), np.mean, confidence_level=level, n_resamples=20_000, rng=1
    ).confidence_interval
    found = bootstrap_interval(values, level, resamples=20_000)
    width = expected.high - expected.low
    assert [found.low, found.high] == pytest.approx([*expected], abs=0.03 * width)


# ----------------------------------------------------------------- infinite and missing values


@estimators
def test_infinite_and_missing_values_are_left_out_and_counted(interval):
    clean = [31.0, 28.5, 30.2, 33.3]
    found = interval([INF, *clean[:2], NAN, *clean[2:], INF])
    assert ends(found) == ends(interval(clean))
    assert (found.n, found.excluded, found.infinite) == (4, 3, 2)


@estimators
def test_all_infinite_is_infinite(interval):
    assert interval([INF, INF, NAN]) == MeanInterval(INF, INF, INF, n=0, excluded=3, infinite=2)


@estimators
@pytest.mark.parametrize("values", [[], [NAN], [INF, -INF]])
def test_nothing_finite_is_not_a_number(interval, values):
    found = interval(values)
    assert np.isnan(ends(found)).all()
    assert (found.n, found.excluded) == (0, len(values))


@estimators
def test_one_value_or_one_cluster_has_no_interval(interval):
    for found in (interval([3.0]), interval([2.0, 4.0], clusters=["a", "a"])):
        assert found.mean == 3
        assert np.isnan([found.low, found.high]).all()


def test_one_sided_infinities_are_counted_in_differences():
    found = paired_difference([INF, INF, 3, NAN, 5], [INF, 30, 2, 1, 3])
    assert (found.mean, found.n, found.excluded, found.infinite) == (1.5, 2, 3, 1)


@pytest.mark.parametrize(("shift", "p"), [(0.0, 1.0), (2.0, 0.0)])
def test_constant_difference_is_certain(shift, p):
    found = paired_difference([1.0 + shift, 4.0 + shift], [1.0, 4.0])
    assert (found.low, found.mean, found.high, found.p) == (shift, shift, shift, p)


def test_single_pair_has_no_p_value():
    assert math.isnan(paired_difference([1.0], [2.0]).p)


# ------------------------------------------------------------------------------- properties


@estimators
@given(values=scores, shift=st.floats(-50, 50), scale=st.floats(0.1, 10))
@settings(deadline=None, max_examples=60)
def test_shift_and_scale_carry_over(interval, values, shift, scale):
    labels = [index // 3 for index in range(len(values))]
    moved = interval(np.array(values) * scale + shift, clusters=labels)
    expected = np.array(ends(interval(values, clusters=labels))) * scale + shift
    np.testing.assert_allclose(ends(moved), expected, atol=1e-6)


@estimators
@given(values=scores, data=st.data())
@settings(deadline=None, max_examples=60)
def test_order_does_not_matter(interval, values, data):
    labels = [index // 2 for index in range(len(values))]
    order = data.draw(st.permutations(range(len(values))))
    mixed = [values[i] for i in order], [labels[i] for i in order]
    expected = ends(interval(values, clusters=labels))
    np.testing.assert_allclose(ends(interval(mixed[0], clusters=mixed[1])), expected, atol=1e-9)


@estimators
@given(values=scores)
@settings(deadline=None, max_examples=60)
def test_wider_level_holds_the_narrower(interval, values):
    wide, narrow = interval(values, level=0.99), interval(values, level=0.8)
    assert wide.low <= narrow.low <= narrow.high <= wide.high


@given(values=scores)
@settings(deadline=None)
def test_own_cluster_each_is_no_clusters(values):
    apart = mean_interval(values, clusters=range(len(values)))
    np.testing.assert_allclose(ends(apart), ends(mean_interval(values)), atol=1e-9)


@given(values=scores)
@settings(deadline=None)
def test_copies_in_one_cluster_add_nothing(values):
    """Each value three times: a naive interval shrinks, a clustered one stays."""
    labels = np.repeat(np.arange(len(values)), 3)
    copied = mean_interval(np.repeat(values, 3), clusters=labels)
    np.testing.assert_allclose(ends(copied), ends(mean_interval(values)), atol=1e-9)


@given(a=scores, data=st.data(), level=st.sampled_from([0.8, 0.95, 0.99]))
@settings(deadline=None)
def test_p_value_and_interval_agree(a, data, level):
    b = data.draw(st.lists(st.floats(-100, 100), min_size=len(a), max_size=len(a)))
    found = paired_difference(a, b, level)
    assume(abs(found.p - (1 - level)) > 1e-9)
    assert (found.p < 1 - level) == (not found.low <= 0 <= found.high)
    swapped = paired_difference(b, a, level)
    assert swapped.p == pytest.approx(found.p)
    assert [-swapped.high, -swapped.low] == pytest.approx([found.low, found.high])


def test_bootstrap_is_seeded():
    values = np.random.default_rng(0).normal(size=30)
    first, again, other = (bootstrap_interval(values, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


# ---------------------------------------------------------------------------------- coverage


def clustered_values(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """40 clusters of 1 to 6 values around 0, half of the variance between clusters."""
    labels = np.repeat(np.arange(40), rng.integers(1, 7, size=40))
    return rng.normal(size=40)[labels] + rng.normal(size=len(labels)), labels


def coverage(draw, truth: float, trials: int, estimate) -> float:
    rng = np.random.default_rng(0)
    intervals = [estimate(*draw(rng)) for _ in range(trials)]
    return float(np.mean([found.low <= truth <= found.high for found in intervals]))


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda rng: (rng.normal(size=12),), 0.0),
        (lambda rng: (rng.gamma(2, size=100),), 2.0),
        (lambda rng: (rng.random(150) < 0.8,), 0.8),
    ],
    ids=["normal", "skewed", "share"],
)
def test_t_interval_covers(draw, truth):
    assert 0.93 <= coverage(draw, truth, 3000, mean_interval) <= 0.97


def test_clustered_t_interval_covers_where_the_plain_one_does_not():
    def clustered(values, labels):
        return mean_interval(values, clusters=labels)

    def plain(values, labels):
        return mean_interval(values)

    assert 0.93 <= coverage(clustered_values, 0, 3000, clustered) <= 0.97
    assert coverage(clustered_values, 0, 1000, plain) < 0.9


def test_bootstrap_covers():
    estimate = partial(bootstrap_interval, resamples=500)
    assert 0.93 <= coverage(lambda rng: (rng.gamma(4, size=80),), 4, 1000, estimate) <= 0.97


def test_paired_difference_covers_and_keeps_its_error_rate():
    def pairs(rng):
        easy = rng.normal(scale=5, size=30)
        return easy + rng.normal(size=30), easy + rng.normal(size=30)

    assert 0.93 <= coverage(pairs, 0, 3000, paired_difference) <= 0.97
    rng = np.random.default_rng(1)
    alarms = np.mean([paired_difference(*pairs(rng)).p < 0.05 for _ in range(3000)])
    assert 0.03 <= alarms <= 0.07


# ------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_must_be_a_share(level):
    for call in (mean_interval, bootstrap_interval):
        with pytest.raises(ValueError, match="level"):
            call([1.0, 2.0], level)
    with pytest.raises(ValueError, match="level"):
        paired_difference([1.0], [1.0], level)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="3 labels for 2 values"):
        mean_interval([1.0, 2.0], clusters=["a", "b", "c"])
    with pytest.raises(ValueError, match="pairs"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="one axis"):
        mean_interval([[1.0, 2.0]])
