from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from study_votes import table, vote

from icd_bench.errors import UnknownName, UsageError
from icd_bench.reports.study.agreement import agreement
from icd_bench.reports.study.ratings import (
    read_ratings,
    read_scores,
    with_joint_scores,
    with_overall,
)
from icd_bench.reports.study.rows import BadVotes
from icd_bench.reports.study.simulate import World, simulate_study
from icd_bench.reports.study.tables import render_validation, write_validation
from icd_bench.reports.study.validate import CEILING, STATISTICS, ValidationResult, validate
from icd_bench.reports.study.votes import judgements

STRENGTH = {"a": 1.5, "b": 0.5, "c": -1.0}


@pytest.fixture(scope="module")
def ratings(imagenhub: Path) -> pd.DataFrame:
    rated = read_ratings(imagenhub / "ratings.csv")
    overall: pd.DataFrame = with_overall(rated, ("semantic", "quality"))
    return overall


@pytest.fixture(scope="module")
def scores(imagenhub: Path) -> pd.DataFrame:
    joint: pd.DataFrame = with_joint_scores(read_scores(imagenhub / "scores.csv"))
    return joint


@pytest.fixture(scope="module")
def expected(imagenhub: Path) -> dict[str, dict[str, dict[str, float]]]:
    values = json.loads((imagenhub / "expected.json").read_text())
    return {key: values[key] for key in ("alpha_interval", "method_means", "scorers")}


@pytest.fixture(scope="module")
def result(ratings: pd.DataFrame, scores: pd.DataFrame) -> ValidationResult:
    return validate(ratings, scores, lower_is_better={"LPIPS"}, draws=60)


def test_real_ratings_give_the_published_figures(
    result: ValidationResult, expected: dict[str, dict[str, dict[str, float]]]
) -> None:
    found = result.statistics.set_index(["scorer", "statistic"])
    names = {
        "pooled_spearman": "pooled_spearman",
        "per_method_spearman": "per_method_spearman_fisher",
        "within_image_pair_accuracy": "within_image_pair_accuracy",
        "method_rank_spearman": "method_rank_spearman",
    }
    assert {*result.coverage["scorer"]} == {*expected["scorers"]}
    for scorer, published in expected["scorers"].items():
        for ours, theirs in names.items():
            row = found.loc[(scorer, ours)]
            assert row["estimate"] == pytest.approx(published[theirs], abs=6e-5), (scorer, ours)
            assert row["items"] == published["n"]
            assert row["pairs"] == published["pairs"]
            assert row["low"] <= row["estimate"] <= row["high"]
        verdicts = result.method_pairs.query("scorer == @scorer")["verdict"]
        assert (verdicts != "undecided").sum() == published["method_pairs_humans_decide"]
        assert (verdicts == "wrong").sum() == published["of_these_significantly_wrong"]


def test_real_ratings_give_the_published_agreement_and_means(
    ratings: pd.DataFrame, expected: dict[str, dict[str, dict[str, float]]]
) -> None:
    for question, alpha in expected["alpha_interval"].items():
        asked = ratings[ratings["question"] == question]
        units = (asked["sample"] + "/" + asked["method"]).to_numpy()
        columns = (asked[name].to_numpy() for name in ("rater", "value", "sample"))
        measured = agreement(units, *columns, metric="interval", draws=100)
        assert measured.alpha == pytest.approx(alpha, abs=6e-5)
        means = asked.groupby("method")["value"].mean()
        for method, mean in expected["method_means"][question].items():
            assert means[method] == pytest.approx(mean, abs=6e-5)


def test_the_ceiling_is_each_rater_against_the_mean_of_the_others(
    ratings: pd.DataFrame, scores: pd.DataFrame, result: ValidationResult
) -> None:
    overall = ratings[ratings["question"] == "overall"]
    wide = overall.pivot(index=["sample", "method"], columns="rater", values="value")
    wide = wide[wide.index.get_level_values("method") != "Imagic"]
    lpips = scores[scores["scorer"] == "LPIPS"].set_index(["sample", "method"])["value"]
    others = {rater: wide.drop(columns=rater).mean(axis=1).round(9) for rater in wide}
    ceiling = np.mean([stats.spearmanr(wide[r], others[r]).statistic for r in wide])
    against = np.mean([stats.spearmanr(-lpips[wide.index], others[r]).statistic for r in wide])
    found = result.statistics.set_index(["scorer", "statistic"])
    assert found.loc[(CEILING, "pooled_spearman"), "estimate"] == pytest.approx(ceiling)
    assert found.loc[("LPIPS", "pooled_spearman"), "against_others"] == pytest.approx(against)
    own = found.loc[CEILING]
    np.testing.assert_allclose(own["estimate"], own["against_others"])
    assert own["items"].unique().tolist() == [1432]


def test_edits_without_a_partner_are_counted(result: ValidationResult) -> None:
    coverage = result.coverage.set_index("scorer")
    assert coverage.loc["LPIPS"].tolist() == [1432, 179, 0]
    assert coverage.loc["gpt4v_0shot"].tolist() == [1383, 228, 0]


def test_bootstrap_over_images_is_that_of_copied_images(
    ratings: pd.DataFrame, scores: pd.DataFrame
) -> None:
    asked = ratings[(ratings["question"] == "overall") & (ratings["method"] != "Imagic")]
    chosen = scores[scores["scorer"] == "gpt4o_0shot"]
    found = validate(asked, chosen, draws=300).statistics.set_index("statistic")
    joined = chosen.set_index(["sample", "method"])[["value"]].rename(columns={"value": "score"})
    joined["people"] = asked.groupby(["sample", "method"])["value"].mean().round(9)
    groups = [group.to_numpy() for _, group in joined.groupby("sample")]
    generator = np.random.default_rng(0)
    draws = []
    for _ in range(300):
        copy = np.concatenate([groups[i] for i in generator.integers(len(groups), size=179)])
        draws.append(stats.spearmanr(copy[:, 0], copy[:, 1]).statistic)
    row = found.loc["pooled_spearman"].iloc[0]
    low, high = np.quantile(draws, [0.025, 0.975])
    assert row["image_low"] == pytest.approx(low, abs=0.012)
    assert row["image_high"] == pytest.approx(high, abs=0.012)


def simulated_scores(votes: pd.DataFrame, noise: float, sign: float = 1.0) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    edits = [(s, m) for s in sorted({*votes["sample"]}) for m in STRENGTH]
    values = [sign * STRENGTH[m] + noise * generator.normal() for _, m in edits]
    return pd.DataFrame(edits, columns=["sample", "method"]).assign(scorer="good", value=values)


def test_votes_are_accepted_as_ratings_are() -> None:
    votes = simulate_study(STRENGTH, samples=40, raters=6, votes_per_pair=4, world=World({}))
    scores = simulated_scores(votes, noise=0.3)
    result = validate(votes, scores, draws=100)
    assert result.simulated
    assert (result.images, result.methods, result.raters) == (40, 3, 6)
    found = result.statistics[result.statistics["scorer"] == "good"].set_index("statistic")
    judged = judgements(votes)
    lead = judged.groupby(["sample", "method_a", "method_b"])["score"].mean() - 0.5
    value = scores.set_index(["sample", "method"])["value"]
    decided = lead[lead != 0]
    right = [np.sign(value[s, a] - value[s, b]) == np.sign(d) for (s, a, b), d in decided.items()]
    assert found.loc["within_image_pair_accuracy", "estimate"] == pytest.approx(np.mean(right))
    assert found.loc["within_image_pair_accuracy", "pairs"] == len(decided)
    won = pd.concat(
        [
            judged[["sample", "method_a", "score"]].set_axis(["sample", "method", "won"], axis=1),
            judged.assign(won=1 - judged["score"])[["sample", "method_b", "won"]].set_axis(
                ["sample", "method", "won"], axis=1
            ),
        ]
    )
    share = won.groupby(["sample", "method"])["won"].mean().round(9)
    pooled = stats.spearmanr(share, value[share.index]).statistic
    assert found.loc["pooled_spearman", "estimate"] == pytest.approx(pooled)
    assert found.loc["method_rank_spearman", "estimate"] == pytest.approx(1)
    assert (result.method_pairs["verdict"] == "right").all()


def test_a_scorer_that_is_upside_down_is_found_wrong() -> None:
    votes = simulate_study(STRENGTH, samples=40, raters=6, votes_per_pair=4)
    scores = simulated_scores(votes, noise=0.3, sign=-1.0)
    wrong = validate(votes, scores, draws=100).method_pairs
    assert (wrong["verdict"] == "wrong").all()
    assert wrong["wrong_holm"].all()
    turned = validate(votes, scores, lower_is_better={"good"}, draws=100).method_pairs
    assert (turned["verdict"] == "right").all()
    assert not turned["wrong_holm"].any()


def test_checks_repeats_and_skips_do_not_enter() -> None:
    votes = simulate_study(STRENGTH, samples=20, raters=5, votes_per_pair=3)
    scores = simulated_scores(votes, noise=0.3)
    bare = votes[votes["check"] == ""]
    full, plain = (validate(part, scores, draws=100).statistics for part in (votes, bare))
    pd.testing.assert_frame_equal(full, plain)


def test_one_rater_has_no_ceiling() -> None:
    votes = simulate_study(STRENGTH, samples=20, raters=1, votes_per_pair=1)
    result = validate(votes, simulated_scores(votes, noise=0.3), draws=100)
    assert CEILING not in set(result.statistics["scorer"])
    assert result.statistics["against_others"].isna().all()
    assert len(result.statistics) == len(STATISTICS)


def test_impossible_comparisons_are_refused() -> None:
    votes = table(vote(), vote(vote_id="v2", rater="bob"))
    one = pd.DataFrame([{"sample": "s1", "method": "icd", "scorer": "x", "value": 1.0}])
    with pytest.raises(UsageError, match="no answers to question 'beauty'; there are overall"):
        validate(votes, one, question="beauty")
    with pytest.raises(UsageError, match="two values for one edit"):
        validate(votes, pd.concat([one, one]))
    with pytest.raises(UsageError, match="'x' scores no edit that people answered on"):
        validate(votes, one.assign(sample="s9"))
    with pytest.raises(UnknownName, match="no scorer y; there are x"):
        validate(votes, one, lower_is_better={"y"})
    with pytest.raises(UsageError, match="no judgements among the votes"):
        validate(table(vote(outcome="skip")), one)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("image,sample,method,rater,q\na,b,m,r,1\n", 2, "sample is empty (give one of"),
        ("method,rater,q\nm,r,1\n", 2, "sample is empty (give one of"),
        ("image,method,rater,q\na,m,r,good\n", 2, "q 'good' is not a finite number"),
        ("image,method,rater,q\na,m,r,inf\n", 2, "q 'inf' is not a finite number"),
        ("image,method,rater,q\na,m,r,1\na,m,r,2\n", 3, "a, m, r is already in line 2"),
        ("image,method,q\na,m,1\n", 1, "lacks rater"),
    ],
)
def test_bad_ratings_are_named_with_their_line(
    tmp_path: Path, text: str, line: int, problem: str
) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(text)
    with pytest.raises(BadVotes) as caught:
        read_ratings(path)
    assert any(at == line and problem in said for at, said in caught.value.problems)


def test_bad_scores_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("image,method,scorer,value\na,m,x,\na,m,x,1\n")
    with pytest.raises(BadVotes) as caught:
        read_scores(path)
    assert [line for line, _ in caught.value.problems] == [2, 3]


def test_an_open_question_is_no_rating_and_has_no_overall(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("image,method,rater,p,q\na,m,r,0.25,1\nb,m,r,0.5,\n")
    ratings = with_overall(read_ratings(path), ("p", "q"))
    overall = ratings[ratings["question"] == "overall"]
    assert overall[["sample", "value"]].to_numpy().tolist() == [["a", 0.5]]
    assert len(ratings) == 4
    with pytest.raises(UnknownName, match="no question z; there are p, q"):
        with_overall(read_ratings(path), ("p", "z"))


def test_results_are_written_for_programs_and_for_people(
    tmp_path: Path, result: ValidationResult
) -> None:
    files = write_validation(result, tmp_path)
    names = [file.name for file in files]
    assert names == [
        *("statistics.parquet", "method_pairs.parquet", "coverage.parquet", "validation.md")
    ]
    again = pd.read_parquet(files[0])
    assert not again.pop("simulated").any()
    pd.testing.assert_frame_equal(again, result.statistics)
    text = render_validation(result)
    assert "9 of 23" in text
    assert "Simulated" not in text
