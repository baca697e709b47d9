from __future__ import annotations

import evalica
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from icd_bench.reports.study.ranking import Ranking, fit_davidson, rank_methods

Votes = tuple[list[str], list[str], list[str]]


def simulated(
    seed: int, votes: int = 600, methods: int = 4, side: float = 0.3, tie: float = 0.6
) -> tuple[Votes, np.ndarray]:
    generator = np.random.default_rng(seed)
    strength = np.linspace(1, -1, methods)
    left = generator.integers(methods, size=votes)
    right = (left + generator.integers(1, methods, size=votes)) % methods
    gap = strength[left] - strength[right] + side
    odds = np.stack([np.exp(gap / 2), np.exp(-gap / 2), np.full(votes, tie)], axis=1)
    upto = np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)
    answer = (generator.random((votes, 1)) > upto[:, :2]).sum(axis=1)
    names = np.array([f"m{index}" for index in range(methods)])
    outcomes = np.array(["left", "right", "tie"])[answer].tolist()
    return (names[left].tolist(), names[right].tolist(), outcomes), strength


def rank(votes: Votes, ridge: float = 0.1, draws: int = 200) -> Ranking:
    count = len(votes[0])
    prompts = [str(index // 5) for index in range(count)]
    raters = [str(index % 7) for index in range(count)]
    return rank_methods(*votes, prompts, raters, ridge=ridge, draws=draws)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ridge", [1e-3, 0.1, 5.0])
def test_the_fit_is_that_of_an_independent_optimiser(seed: int, ridge: float) -> None:
    (left, right, outcomes), _ = simulated(seed, votes=150)
    methods = sorted({*left, *right})

    def loss(parameters: np.ndarray) -> float:
        strength = dict(zip(methods, parameters, strict=False))
        side, log_tie = parameters[-2:]
        total = ridge / 2 * float(parameters @ parameters)
        for a, b, outcome in zip(left, right, outcomes, strict=True):
            first, second = strength[a] + side, strength[b]
            log_odds = {"left": first, "right": second, "tie": log_tie + (first + second) / 2}
            total -= log_odds[outcome] - np.logaddexp.reduce(list(log_odds.values()))
        return total

    best = minimize(loss, np.zeros(len(methods) + 2), method="BFGS", options={"gtol": 1e-7})
    fitted = rank((left, right, outcomes), ridge=ridge)
    expected = dict(zip(methods, best.x, strict=False))
    for method, strength in zip(fitted.methods, fitted.strength, strict=True):
        assert strength == pytest.approx(expected[method], abs=1e-4)
    assert fitted.side == pytest.approx(best.x[-2], abs=1e-4)
    assert np.log(fitted.tie) == pytest.approx(best.x[-1], abs=1e-4)


def test_without_ties_or_ridge_it_is_bradley_terry_as_evalica_has_it() -> None:
    (left, right, outcomes), _ = simulated(5, votes=500, side=0.0, tie=1e-9)
    # Each vote also with the sides exchanged, so that no side bias can be estimated.
    winners = [outcome == "left" for outcome in outcomes]
    mirrored = ["left" if not won else "right" for won in winners]
    fitted = rank((left + right, right + left, outcomes + mirrored), ridge=1e-6)
    wins = [evalica.Winner.X if won else evalica.Winner.Y for won in winners]
    theirs = np.log(evalica.bradley_terry(left, right, wins, tolerance=1e-12, limit=10_000).scores)
    ours = dict(zip(fitted.methods, fitted.strength, strict=True))
    for method, score in (theirs - theirs.mean()).items():
        assert ours[method] == pytest.approx(score, abs=1e-3)
    assert fitted.side == pytest.approx(0, abs=1e-8)
    assert fitted.tie < 1e-3


def test_it_finds_strengths_side_and_ties() -> None:
    votes, strength = simulated(1, votes=20_000)
    fitted = rank(votes)
    assert fitted.methods == ("m0", "m1", "m2", "m3")
    np.testing.assert_allclose(fitted.strength, strength, atol=0.1)
    assert fitted.side == pytest.approx(0.3, abs=0.05)
    assert fitted.tie == pytest.approx(0.6, abs=0.05)
    assert fitted.side_low > 0
    assert list(fitted.best_rank) == list(fitted.worst_rank) == [1, 2, 3, 4]
    assert fitted.connected
    assert not fitted.separable


def test_separable_votes_have_finite_strengths_and_say_so() -> None:
    wins: Votes = (["a"] * 40 + ["b"] * 40, ["b"] * 40 + ["c"] * 40, ["left"] * 80)
    fitted = rank(wins)
    assert fitted.methods == ("a", "b", "c")
    assert np.isfinite(fitted.strength).all()
    assert np.isfinite(fitted.low).all()
    assert fitted.separable
    assert fitted.connected


def test_groups_that_never_met_are_named() -> None:
    votes: Votes = (["a", "b"] * 20 + ["c", "d"] * 20, ["b", "a"] * 20 + ["d", "c"] * 20, [])
    outcomes = ["left", "left", "tie", "left"] * 20
    fitted = rank((*votes[:2], outcomes))
    assert fitted.components == (("a", "b"), ("c", "d"))
    assert not fitted.connected
    assert not fitted.separable


def test_undecided_methods_share_their_ranks() -> None:
    votes: Votes = (["a", "b"] * 30, ["b", "a"] * 30, ["left"] * 60)
    fitted = rank(votes)
    assert fitted.strength == pytest.approx([0, 0], abs=1e-9)
    assert fitted.side > 2
    assert list(fitted.best_rank) == [1, 1]
    assert list(fitted.worst_rank) == [2, 2]


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(
        st.lists(st.integers(0, 10_000), min_size=3, max_size=3), min_size=6, max_size=6
    ),
    ridge=st.sampled_from([1e-3, 0.1, 1.0]),
)
def test_every_table_has_a_finite_fit_that_sides_mirror(
    counts: list[list[int]], ridge: float
) -> None:
    shown = np.array([(a, b) for a in range(3) for b in range(3) if a != b])
    table = np.array([counts], dtype=float)
    fit = fit_davidson(shown, table, 3, ridge)
    assert np.isfinite(fit.strength).all()
    assert fit.strength.sum() == pytest.approx(0, abs=1e-5)
    mirrored = fit_davidson(shown[:, ::-1], table[:, :, [1, 0, 2]], 3, ridge)
    np.testing.assert_allclose(mirrored.strength, fit.strength, atol=1e-4)
    np.testing.assert_allclose(mirrored.side, -fit.side, atol=1e-4)
    np.testing.assert_allclose(mirrored.log_tie, fit.log_tie, atol=1e-4)


@pytest.mark.parametrize(
    ("left", "right", "outcome", "text"),
    [([], [], [], "two methods"), (["a"], ["b"], ["skip"], "'skip' are no judgements")],
)
def test_what_cannot_be_ranked_is_refused(
    left: list[str], right: list[str], outcome: list[str], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        rank((left, right, outcome))
