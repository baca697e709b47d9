from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from icd_bench.reports.study.correlation import (
    grouped_spearman,
    means_spearman,
    pair_accuracy,
    paired_t,
    weighted_ranks,
    weighted_spearman,
)

Items = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def items(draw: st.DrawFn) -> Items:
    count = draw(st.integers(3, 25))
    values = st.lists(st.integers(0, 6), min_size=count, max_size=count)
    weights = st.lists(st.integers(0, 4), min_size=count, max_size=count)
    x, y, weight = (np.array(draw(part), dtype=float) for part in (values, values, weights))
    assume(len({*x[weight > 0]}) > 1)
    assume(len({*y[weight > 0]}) > 1)
    return x, y, weight


@settings(deadline=None)
@given(items())
def test_a_weight_is_a_number_of_copies(data: Items) -> None:
    x, y, weight = data
    copies = np.repeat(np.arange(len(x)), weight.astype(int))
    expected = stats.spearmanr(x[copies], y[copies]).statistic
    batch = weighted_spearman(np.stack([x, x]), y, np.stack([weight, 2 * weight]))
    np.testing.assert_allclose(batch, expected, atol=1e-12)
    ranks = weighted_ranks(x, weight[None])[0]
    np.testing.assert_allclose(ranks[copies], stats.rankdata(x[copies]))


def test_a_constant_has_no_correlation() -> None:
    assert np.isnan(weighted_spearman(np.ones((1, 4)), np.arange(4.0), np.ones((1, 4)))).all()


def test_grouped_correlations_are_averaged_through_arctanh() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 40))
    groups = np.arange(40) % 4
    x[groups == 3] = 1.0
    within = [stats.spearmanr(x[groups == g], y[groups == g]).statistic for g in range(3)]
    value = grouped_spearman(x[None], y, np.ones((1, 40)), groups)
    assert value[0] == pytest.approx(np.tanh(np.mean(np.arctanh(within))))


def test_pairs_that_people_leave_open_do_not_count_and_scorer_ties_are_half() -> None:
    people = np.array([[1.0, -1.0, 0.0, 2.0]])
    scorer = np.array([3.0, 0.0, 9.0, -1.0])
    assert pair_accuracy(people, scorer, np.ones((1, 4)))[0] == pytest.approx(0.5)
    assert pair_accuracy(people, scorer, np.array([[2.0, 0, 5, 1]]))[0] == pytest.approx(2 / 3)


def test_means_of_groups_are_ranked() -> None:
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(2, 60))
    groups = np.arange(60) % 6
    means = [[part[groups == g].mean() for g in range(6)] for part in (x, y)]
    value = means_spearman(x[None], y, np.ones((1, 60)), groups)
    assert value[0] == pytest.approx(stats.spearmanr(*means).statistic)


def test_paired_t_is_that_of_scipy_without_the_missing() -> None:
    differences = np.random.default_rng(2).normal(0.3, 1, size=(20, 3))
    differences[4:9, 1] = np.nan
    expected = [stats.ttest_1samp(d[np.isfinite(d)], 0).statistic for d in differences.T]
    np.testing.assert_allclose(paired_t(differences), expected)
    edge = paired_t(np.array([[1.0, 0.0, 1.0], [1.0, 0.0, np.nan]]))
    assert edge[0] == np.inf
    assert edge[1] == 0
    assert np.isnan(edge[2])
