from __future__ import annotations

import evalica
import krippendorff
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from study_votes import table, vote

from icd_bench.reports.study.agreement import Metric, agreement, self_consistency, vote_agreement
from icd_bench.reports.study.votes import judgements


def answers(seed: int, raters: int = 4, units: int = 30, missing: float = 0.3) -> np.ndarray:
    generator = np.random.default_rng(seed)
    truth = generator.integers(3, size=units)
    table = np.where(
        generator.random((raters, units)) < 0.6, truth, generator.integers(3, size=(raters, units))
    )
    return np.where(generator.random((raters, units)) < missing, np.nan, table)


def long(table: np.ndarray) -> dict[str, np.ndarray]:
    rater, unit = np.nonzero(np.isfinite(table))
    return {"units": unit, "raters": rater, "answers": table[rater, unit], "samples": unit}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    raters=st.integers(2, 6),
    missing=st.floats(0, 0.7),
    metric=st.sampled_from(["nominal", "interval"]),
)
def test_alpha_is_that_of_krippendorff_and_evalica(
    seed: int, raters: int, missing: float, metric: Metric
) -> None:
    data = answers(seed, raters, 20, missing)
    paired = data[:, np.isfinite(data).sum(axis=0) > 1]
    assume(len(np.unique(paired[np.isfinite(paired)])) > 1)
    ours = agreement(**long(data), metric=metric, draws=100).alpha
    assert ours == pytest.approx(krippendorff.alpha(data, level_of_measurement=metric))
    assert ours == pytest.approx(evalica.alpha(pd.DataFrame(data), distance=metric).alpha)


def test_raw_agreement_counts_pairs_of_raters() -> None:
    data = np.array([[1, 1, 0], [1, 0, np.nan], [1, 1, np.nan]])
    result = agreement(**long(data), draws=100)
    assert result.raw == pytest.approx(4 / 6)
    assert (result.units, result.answers, result.raters) == (2, 6, 3)


def test_the_interval_holds_alpha_and_narrows_with_samples() -> None:
    few, many = (agreement(**long(answers(0, units=units)), draws=500) for units in (30, 300))
    for result in (few, many):
        assert result.alpha_low < result.alpha < result.alpha_high
        assert result.raw_low < result.raw < result.raw_high
    assert many.alpha_high - many.alpha_low < (few.alpha_high - few.alpha_low) / 2


def test_units_of_one_sample_are_resampled_together() -> None:
    data = long(answers(1, units=30, missing=0))
    doubled = {name: np.concatenate([values, values]) for name, values in data.items()}
    doubled["units"] = np.concatenate([data["units"], data["units"] + 30])
    one, two = (agreement(**part, draws=2000) for part in (data, doubled))
    assert two.raw == pytest.approx(one.raw)
    assert two.raw_high - two.raw_low == pytest.approx(one.raw_high - one.raw_low, rel=0.1)


def test_leaving_a_rater_out_shows_who_disagrees() -> None:
    data = answers(2, raters=4, units=60, missing=0)
    data[:3] = data[0]
    data[3] = (data[0] + 1) % 3
    without = dict(agreement(**long(data), draws=100).alpha_without)
    assert without["3"] == pytest.approx(1)
    assert max(without[name] for name in "012") < 0.5


def test_nothing_to_compare_is_undefined_and_same_answers_have_no_alpha() -> None:
    single = agreement([0, 1], [0, 0], [1, 2], [0, 1], draws=100)
    assert np.isnan([single.alpha, single.alpha_low, single.raw]).all()
    assert single.units == 0
    same = agreement([0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 1], [0, 0, 1, 1], draws=100)
    assert np.isnan(same.alpha)
    assert same.raw == 1


def test_a_rater_answers_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        agreement([0, 0], [0, 0], [1, 1], [0, 0])


def renamed(votes: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    return votes.assign(
        **{side: votes[side].replace(names) for side in ("method_left", "method_right")}
    )


def test_which_method_comes_first_by_name_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    rows = []
    for number, (left, right) in enumerate([("a", "b"), ("b", "c"), ("a", "c")] * 8):
        for rater in "xyz":
            outcome = generator.choice(["left", "right", "tie"], p=[0.6, 0.3, 0.1])
            rows.append(
                vote(
                    vote_id=f"{number}{rater}",
                    pair_id=f"p{number}",
                    sample=f"s{number}",
                    rater=rater,
                    method_left=left,
                    method_right=right,
                    outcome=outcome,
                )
            )
    votes = table(*rows)
    other = renamed(votes, {"a": "z", "b": "y", "c": "x"})
    first, second = (vote_agreement(judgements(v), draws=100) for v in (votes, other))
    assert second.alpha == pytest.approx(first.alpha)
    assert second.raw == pytest.approx(first.raw)


def test_a_swapped_repeat_is_the_same_answer_on_the_other_side() -> None:
    again = {"check": "repeat"}
    swapped = again | {"method_left": "npi", "method_right": "icd"}
    votes = table(
        vote(),
        vote(vote_id="v2", repeat_of="v1", outcome="right", **swapped),
        vote(vote_id="w1", rater="bob", outcome="tie"),
        vote(vote_id="w2", rater="bob", repeat_of="w1", outcome="left", **swapped),
        vote(vote_id="x1", rater="eve", outcome="skip"),
        vote(vote_id="x2", rater="eve", repeat_of="x1", outcome="skip", **again),
    )
    result = self_consistency(votes, draws=500)
    assert (result.repeats, result.same, result.skipped) == (2, 1, 1)
    assert result.rate == 0.5
    assert (result.low, result.high) == (0, 1)
    assert np.isnan(self_consistency(table(vote()), draws=100).rate)
