from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from icd_bench.reports.study.coverage import GRID, Design, measure_coverage
from icd_bench.reports.study.intervals import Statistic, one_way, pigeonhole, two_way
from icd_bench.reports.study.win_rates import ONE_SIGMA, WinRate, win_rate
from icd_bench.stats.multiple import holm


def crossed_votes(seed: int, prompts: int = 40, raters: int = 10) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    prompt, rater = (part.reshape(-1) for part in np.mgrid[:prompts, :raters])
    lean = 0.6 * generator.normal(size=prompts)[prompt] + 0.4 * generator.normal(size=raters)[rater]
    draw = lean + generator.normal(size=len(prompt))
    return np.select([draw > 0.3, draw > -0.3], [1.0, 0.5], 0.0), prompt, rater


def mean_of(scores: np.ndarray) -> Statistic:
    return lambda weights: (weights @ scores[:, None]) / weights.sum(axis=1, keepdims=True)


def test_wins_ties_and_losses_are_counted_and_ties_are_half() -> None:
    rate = win_rate([1, 1, 0.5, 0], list("abcd"), list("xyxy"), draws=200)
    assert (rate.wins, rate.ties, rate.losses, rate.votes) == (2, 1, 1, 4)
    assert (rate.prompts, rate.raters) == (4, 2)
    assert rate.win_rate == 0.625
    assert 0 < rate.low < 0.625 < rate.high < 1


@pytest.mark.parametrize("scores", [[], [0.25], [1, 2], [float("nan")]])
def test_what_is_no_score_is_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match=r"score|judgement"):
        win_rate(scores, range(len(scores)), range(len(scores)))


def test_the_variance_is_that_of_the_crossed_formula() -> None:
    scores, prompt, rater = crossed_votes(0)
    errors = scores - scores.mean()

    def clustered(codes: np.ndarray) -> float:
        sums = np.bincount(codes, errors)
        return float((sums**2).sum() / len(errors) ** 2 * len(sums) / (len(sums) - 1))

    cells = np.arange(len(scores))
    exact = clustered(prompt) + clustered(rater) - clustered(cells)
    estimate = two_way(mean_of(scores), prompt, rater, draws=20_000)
    assert estimate.variance[0] == pytest.approx(exact, rel=0.05)


def test_pigeonhole_draws_spread_as_owen_says() -> None:
    scores, prompt, rater = crossed_votes(1)
    table = scores.reshape(40, 10) - scores.mean()
    weights = np.random.default_rng(0)
    direct = [
        (table * weights.multinomial(40, [1 / 40] * 40)[:, None])
        .dot(weights.multinomial(10, [0.1] * 10))
        .sum()
        / 400
        for _ in range(4000)
    ]
    draws = pigeonhole(mean_of(scores), prompt, rater, draws=4000)
    assert draws.std() == pytest.approx(np.std(direct), rel=0.06)
    two = two_way(mean_of(scores), prompt, rater, draws=4000)
    assert draws.std() > 1.1 * two.se[0]


def test_one_rater_is_taken_as_given() -> None:
    scores = np.array([1.0, 0, 1, 1, 0.5, 0, 1, 1])
    estimate = two_way(mean_of(scores), np.arange(8), np.zeros(8), draws=20_000)
    assert estimate.variance[0] == pytest.approx(scores.var(ddof=1) / 8, rel=0.05)
    assert estimate.df[0] == pytest.approx(7)


def test_the_order_of_votes_and_the_names_of_clusters_do_not_matter() -> None:
    scores, prompt, rater = crossed_votes(2)
    shuffled = np.random.default_rng(0).permutation(len(scores))
    first = win_rate(scores, prompt, rater, draws=300)
    again = win_rate(scores[shuffled], prompt[shuffled], rater[shuffled], draws=300)
    assert again.low == pytest.approx(first.low, abs=1e-12)
    assert again.high == pytest.approx(first.high, abs=1e-12)
    assert win_rate(scores, prompt, rater, draws=300, seed=1).low != first.low


def test_exchanging_the_methods_mirrors_everything() -> None:
    scores, prompt, rater = crossed_votes(3)
    one, other = (win_rate(s, prompt, rater, draws=300) for s in (scores, 1 - scores))
    assert one.win_rate == pytest.approx(1 - other.win_rate)
    assert one.low == pytest.approx(1 - other.high)
    assert one.p_value == pytest.approx(other.p_value)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_p_values_and_intervals_agree(seed: int) -> None:
    generator = np.random.default_rng(seed)
    chances = generator.dirichlet([1, 1, 1])
    scores = generator.choice([0, 0.5, 1], p=chances, size=60)
    rate = win_rate(scores, np.arange(60) // 3, np.arange(60) % 7, draws=200, seed=seed)
    assert 0 <= rate.low <= rate.win_rate <= rate.high <= 1
    assert (rate.p_value < 0.05) == (not rate.low <= 0.5 <= rate.high)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_unanimous_votes_do_not_pretend_certainty(outcome: float) -> None:
    rate = win_rate([outcome] * 60, np.arange(60) // 3, np.arange(60) % 3, draws=200)
    exact = stats.binomtest(20 * int(outcome), 20).proportion_ci(0.95, "exact")
    assert rate.low == pytest.approx(exact.low)
    assert rate.high == pytest.approx(exact.high)
    assert rate.p_value == pytest.approx(stats.binomtest(20, 20).pvalue)


def test_the_papers_interval_is_one_deviation_over_vote_subsets() -> None:
    scores = np.array([1.0] * 64 + [0.0] * 36)
    rate: WinRate = win_rate(
        scores, np.arange(100), np.arange(100) % 5, interval="vote_subsets", draws=4000
    )
    assert rate.high - rate.win_rate == pytest.approx(0.048, abs=0.002)
    assert rate.win_rate - rate.low == pytest.approx(rate.se)
    assert rate.level == ONE_SIGMA
    assert np.isnan(rate.p_value)
    smaller = win_rate(scores, scores, scores, interval="vote_subsets", subset=25, draws=4000)
    assert smaller.se == pytest.approx(0.096, abs=0.004)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.2):
        rejected: set[int] = set()
        for step, index in enumerate(np.argsort(p_values, kind="stable")):
            if p_values[index] * (len(p_values) - step) > level:
                break
            rejected.add(int(index))
        assert {int(i) for i in np.flatnonzero(adjusted <= level)} == rejected


def test_holm_leaves_missing_tests_out() -> None:
    np.testing.assert_allclose(holm([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])


def test_statistics_that_are_rarely_defined_have_no_interval() -> None:
    def fragile(weights: np.ndarray) -> np.ndarray:
        return np.where(weights[:, :1] > 0, weights.mean(axis=1, keepdims=True), np.nan) * [
            [1.0, np.nan]
        ]

    low, high = one_way(fragile, np.arange(5), draws=200)
    assert np.isfinite([low[0], high[0]]).all()
    assert np.isnan([low[1], high[1]]).all()


@pytest.mark.parametrize("design", [GRID[0], GRID[5]])
def test_two_way_intervals_cover_what_they_promise(design: Design) -> None:
    measured = measure_coverage(design, studies=500, draws=150, seed=1)
    assert 0.93 <= measured.coverage <= 0.97


def test_votes_alone_cover_too_little() -> None:
    measured = measure_coverage(GRID[0], interval="vote_subsets", studies=100, draws=200)
    assert measured.coverage < 0.6
