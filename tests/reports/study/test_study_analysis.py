from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_votes import table, vote

from icd_bench.errors import UsageError
from icd_bench.reports.study.analysis import APPLIED, NOT_APPLIED, StudyResult, analyse
from icd_bench.reports.study.plan import Exclusions, PlannedPair, StudyPlan, read_plan, write_plan
from icd_bench.reports.study.raters import apply_exclusions, check_results, describe_raters
from icd_bench.reports.study.rows import BadVotes
from icd_bench.reports.study.simulate import World, simulate_study
from icd_bench.reports.study.tables import SIMULATED_WARNING, render_study, write_study

STRENGTH = {"icd": 1.5, "npi": 0.0, "sdedit": -0.8}
PLAN = StudyPlan(draws=150, exclusions=Exclusions(min_check_pass_rate=0.8, min_seconds=1))


@pytest.fixture(scope="module")
def votes() -> pd.DataFrame:
    world = World({}, prompt_sd=0.3, rater_sd=0.1, careless=0.3, skip=0.05)
    votes: pd.DataFrame = simulate_study(
        STRENGTH, samples=40, raters=10, votes_per_pair=5, world=world, seed=4
    )
    return votes.assign(category=np.where(votes["sample"] < "sample-021", "colour", "object"))


@pytest.fixture(scope="module")
def result(votes: pd.DataFrame) -> StudyResult:
    edits = pd.DataFrame(
        [(s, m) for s in sorted({*votes["sample"]}) for m in STRENGTH],
        columns=["sample", "method"],
    )
    scores = edits.assign(scorer="clip", value=edits["method"].map(STRENGTH))
    return analyse(votes, PLAN, scores)


def test_careless_raters_are_excluded_and_both_versions_reported(
    votes: pd.DataFrame, result: StudyResult
) -> None:
    counts = result.counts.set_index("exclusions")
    out = set(result.raters.loc[result.raters["excluded"] != "", "rater"])
    assert 0 < len(out) < 10
    assert counts.loc[APPLIED, "excluded_raters"] == len(out)
    assert counts.loc[APPLIED, "raters"] == 10 - len(out)
    assert counts.loc[NOT_APPLIED, "raters"] == 10
    assert counts.loc[NOT_APPLIED, "votes"] == len(votes)
    kept = votes[~votes["rater"].isin(out)]
    fast = kept["seconds"] < 1
    assert counts.loc[APPLIED, "votes"] == (~fast).sum()
    assert counts.loc[APPLIED, "fast_votes"] == fast.sum()
    rates = result.win_rates.query("category == '' and method_b == 'npi'").set_index("exclusions")
    assert rates.loc[APPLIED, "win_rate"] > rates.loc[NOT_APPLIED, "win_rate"]


def test_votes_add_up(result: StudyResult) -> None:
    for _, count in result.counts.iterrows():
        parts = count[["judgements", "skips", "checks", "repeats"]]
        assert parts.sum() == count["votes"]
    whole = result.win_rates.query("category == ''").groupby("exclusions")["votes"].sum()
    parts = result.win_rates.query("category != ''").groupby("exclusions")["votes"].sum()
    judged = result.counts.set_index("exclusions")["judgements"]
    pd.testing.assert_series_equal(whole, parts)
    assert whole.to_dict() == judged.to_dict()


def test_the_best_method_wins_its_pairs_and_the_ranking(result: StudyResult) -> None:
    kept = result.rankings[result.rankings["exclusions"] == APPLIED]
    assert kept["method"].tolist() == ["icd", "npi", "sdedit"]
    assert kept["best_rank"].iloc[0] == kept["worst_rank"].iloc[0] == 1
    pairs = result.win_rates.query(
        "category == '' and exclusions == @APPLIED and method_a == 'icd'"
    )
    assert (pairs["low"] > 0.5).all()
    assert (pairs["p_holm"] < 0.05).all()
    assert (pairs["p_holm"] >= pairs["p_value"]).all()
    metric = result.metrics["overall"].statistics.set_index(["scorer", "statistic"])
    assert metric.loc[("clip", "method_rank_spearman"), "estimate"] == 1


def test_files_round_trip_and_say_that_raters_were_simulated(
    result: StudyResult, tmp_path: Path
) -> None:
    files = write_study(result, tmp_path / "study")
    assert all(file.is_file() for file in files)
    for file in files[:-1]:
        assert pd.read_parquet(file)["simulated"].all(), file.name
    again = pd.read_parquet(tmp_path / "study" / "win_rates.parquet").drop(columns="simulated")
    pd.testing.assert_frame_equal(again, result.win_rates)
    text = files[-1].read_text(encoding="utf-8")
    assert text == render_study(result)
    assert SIMULATED_WARNING in text
    for heading in ("Preferences", "By category", "Ranking", "Agreement", "Attention checks"):
        assert f"\n## {heading}\n" in text


def real_votes(rater: str = "ann", samples: int = 4) -> list[dict[str, str]]:
    return [
        vote(vote_id=f"{rater}{n}", pair_id=f"p{n}", sample=f"s{n}", rater=rater)
        for n in range(samples)
    ]


def test_names_of_people_cannot_break_the_page() -> None:
    votes = table(*real_votes("<img src=x onerror=alert(1)>|"), *real_votes("bob\nline"))
    text = render_study(analyse(votes, PLAN.model_copy(update={"title": "<script>"})))
    assert "<img" not in text
    assert "<script" not in text
    assert "&lt;img src=x onerror=alert(1)>\\|" in text
    assert "bob line" in text
    assert SIMULATED_WARNING not in text
    assert "never lost to others" in text


def test_nothing_left_to_analyse_is_said() -> None:
    with pytest.raises(UsageError, match="no judgement among the votes"):
        analyse(table(vote(outcome="skip")), PLAN)
    strict = PLAN.model_copy(update={"exclusions": Exclusions(min_votes=9)})
    with pytest.raises(UsageError, match="left by the exclusion rules"):
        analyse(table(*real_votes()), strict)


def test_votes_must_fit_the_plan() -> None:
    plan = StudyPlan(questions=("beauty",))
    with pytest.raises(BadVotes, match="votes:1: the plan has no question 'overall'"):
        analyse(table(vote()), plan)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (Exclusions(min_check_pass_rate=0.6), "check pass rate"),
        (Exclusions(min_self_consistency=0.6), "self-consistency"),
        (Exclusions(min_votes=3), "few votes"),
        (Exclusions(min_median_seconds=3), "median time"),
        (Exclusions(max_one_side_share=0.9), "one side"),
    ],
)
def test_each_rule_excludes_the_rater_who_breaks_it(rules: Exclusions, reason: str) -> None:
    careless = [
        *real_votes("bad", 2),
        vote(
            vote_id="b3",
            rater="bad",
            pair_id="p0",
            sample="s0",
            check="repeat",
            repeat_of="bad0",
            outcome="right",
        ),
        vote(vote_id="b4", rater="bad", pair_id="c1", method_left="corrupted", check="corrupted"),
        vote(
            vote_id="b5",
            rater="bad",
            pair_id="c2",
            method_right="icd",
            check="identical",
            outcome="tie",
        ),
    ]
    for row in careless:
        row["seconds"] = "1"
    careful = real_votes("good", 4)
    careful[1]["outcome"] = "right"
    kept = apply_exclusions(table(*careless, *careful), rules)
    assert kept.excluded == ("bad",)
    assert kept.raters.set_index("rater")["excluded"].to_dict() == {"bad": reason, "good": ""}
    assert set(kept.votes["rater"]) == {"good"}


def test_no_rule_excludes_nobody_and_single_fast_votes_can_go() -> None:
    votes = table(
        *real_votes(),
        vote(vote_id="x", pair_id="px", sample="sx", seconds="0.2"),
        vote(vote_id="y", pair_id="py", sample="sy", seconds=""),
    )
    assert len(apply_exclusions(votes, Exclusions()).votes) == 6
    kept = apply_exclusions(votes, Exclusions(min_seconds=1))
    assert kept.fast_votes == 1
    assert "x" not in set(kept.votes["vote_id"])
    assert "y" in set(kept.votes["vote_id"])


def test_a_skipped_check_does_not_pass() -> None:
    votes = table(
        vote(method_right="corrupted", check="corrupted"),
        vote(vote_id="v2", pair_id="p2", method_right="icd", check="identical", outcome="skip"),
        vote(vote_id="v3", pair_id="p3", method_left="corrupted", check="corrupted", outcome="tie"),
    )
    assert check_results(votes)["passed"].tolist() == [True, False, False]
    assert check_results(votes)["answered"].tolist() == [True, False, True]
    record = describe_raters(votes).iloc[0]
    assert record["check_pass_rate"] == pytest.approx(1 / 3)
    assert record["votes"] == 0
    assert np.isnan(record["left_share"])


def test_plans_round_trip_and_reject_what_they_do_not_know(tmp_path: Path) -> None:
    pair = PlannedPair(pair_id="p", sample="s", methods=("a", "b"))
    plan = PLAN.model_copy(update={"pairs": (pair,)})
    path = tmp_path / "plan.json"
    write_plan(plan, path)
    assert read_plan(path) == plan
    path.write_text('{"exclusions": {"min_vote": 3}}')
    with pytest.raises(UsageError, match=r"plan\.json: exclusions\.min_vote: Extra inputs"):
        read_plan(path)
    path.write_text('{"draws": 5}')
    with pytest.raises(UsageError, match="draws: Input should be greater"):
        read_plan(path)
    path.write_text(plan.model_copy(update={"pairs": (pair, pair)}).model_dump_json())
    with pytest.raises(UsageError, match="pair 'p' is planned twice"):
        read_plan(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_plan(tmp_path / "absent.json")
