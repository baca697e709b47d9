from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from icd_bench.reports.study.simulate import (
    World,
    assign,
    cast_votes,
    expected_win_rate,
    preferences,
    simulate_study,
)
from icd_bench.reports.study.votes import oriented

WORLD = World({"a": 0.8, "b": 0.0}, prompt_sd=0.9, rater_sd=0.6, side=0.4, tie=0.7)


def test_every_vote_is_labelled_as_simulated() -> None:
    votes = simulate_study({"a": 1.0, "b": 0.0}, samples=10, raters=5)
    assert votes["simulated"].all()
    assert simulate_study({"a": 1.0, "b": 0.0}, samples=10, raters=5).equals(votes)
    assert {*votes["check"]} == {"", "corrupted", "identical", "repeat"}


def test_pairs_raters_and_sides_are_balanced() -> None:
    samples = [f"s{n}" for n in range(30)]
    shown = assign(samples, ["a", "b", "c"], 9, votes_per_pair=4, questions=("x", "y"), seed=3)
    asked = shown[shown["question"] == "x"]
    assert len(asked) == 30 * 3 * 4
    assert (asked.groupby("pair_id")["rater"].nunique() == 4).all()
    loads = asked.groupby("rater").size()
    assert loads.max() - loads.min() <= 1
    for a, b in combinations("abc", 2):
        assert len(asked[(asked["method_left"] == a) & (asked["method_right"] == b)]) == 60
    with pytest.raises(ValueError, match="5 votes a pair need as many raters"):
        assign(samples, ["a", "b"], 3)


def test_the_expected_win_rate_is_the_mean_over_many_votes() -> None:
    samples = [f"s{n}" for n in range(4000)]
    shown = assign(samples, ["a", "b"], 400, votes_per_pair=4)
    scores = oriented(shown.assign(outcome=preferences(shown, WORLD, seed=1)))["score"]
    assert scores.mean() == pytest.approx(expected_win_rate(WORLD, "a", "b"), abs=0.02)
    assert expected_win_rate(WORLD, "b", "a") == pytest.approx(
        1 - expected_win_rate(WORLD, "a", "b")
    )


def test_effects_make_votes_on_one_prompt_and_of_one_rater_go_together() -> None:
    shown = assign([f"s{n}" for n in range(300)], ["a", "b"], 12, votes_per_pair=6)

    def spread(world: World, by: str) -> float:
        scores = oriented(shown.assign(outcome=preferences(shown, world, seed=2)))
        return float(scores.groupby(by)["score"].mean().var())

    flat = World({"a": 0.0, "b": 0.0}, prompt_sd=0, rater_sd=0)
    assert spread(World(flat.strength, 1.5, 0), "sample") > 1.5 * spread(flat, "sample")
    assert spread(World(flat.strength, 0, 1.5), "rater") > 5 * spread(flat, "rater")


def test_the_left_side_gains_by_the_side_bias() -> None:
    shown = assign([f"s{n}" for n in range(500)], ["a", "b"], 10, votes_per_pair=6)
    world = World({"a": 0.0, "b": 0.0}, prompt_sd=0, rater_sd=0, side=1.0, tie=0.0)
    share = np.mean(preferences(shown, world) == "left")
    assert share == pytest.approx(1 / (1 + np.exp(-1)), abs=0.02)


def test_careless_raters_fail_checks_and_hurry() -> None:
    shown = assign([f"s{n}" for n in range(60)], ["a", "b"], 20, checks=0.4)
    votes = cast_votes(shown, World(WORLD.strength, careless=0.5, lapse=0.0, skip=0.1), seed=1)
    fast = votes.groupby("rater")["seconds"].median() < 4
    assert 0 < fast.sum() < 20
    damaged = votes[votes["check"] == "corrupted"]
    passed = np.where(
        damaged["method_left"] == "corrupted",
        damaged["outcome"] == "right",
        damaged["outcome"] == "left",
    )
    hurried = damaged["rater"].map(fast).to_numpy()
    assert passed[~hurried].all()
    assert passed[hurried].mean() < 0.6
    assert (votes["outcome"] == "skip").mean() == pytest.approx(0.07, abs=0.04)
