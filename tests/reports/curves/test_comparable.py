"""What may be compared, and what is left out and told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from curve_runs import SAMPLES, SCORES, STRENGTHS, assert_same, mean
from report_runs import write_scores

from icd_bench.errors import SignatureMismatch, UnknownName, UsageError
from icd_bench.reports.curves import TradeOff, trade_off
from icd_bench.stats.intervals import mean_interval


def test_values_made_differently_are_refused(run: Path, tmp_path: Path) -> None:
    other = write_scores(
        tmp_path / "other", {("nti", 0.5): SCORES["npi", 0.6]}, samples=SAMPLES, version="2"
    )
    with pytest.raises(SignatureMismatch, match=r"v1 \(copy, icd, npi\); psnr\|v2 \(nti\)"):
        trade_off([run, other], "psnr", "clip_text")


def test_benchmarks_are_not_mixed(run: Path, tmp_path: Path) -> None:
    other = write_scores(tmp_path / "other", SCORES, samples=SAMPLES, benchmark="else")
    with pytest.raises(UsageError, match=r"2 benchmarks \(bench, else\)"):
        trade_off([run, other], "psnr", "clip_text")


def test_methods_under_other_conditions_are_not_compared(tmp_path: Path) -> None:
    path = write_scores(tmp_path / "run", SCORES, samples=SAMPLES)
    manifest = json.loads((path / "run.json").read_text("utf-8"))
    manifest["methods"]["npi"]["conditions"] = {"masks": "used"}
    (path / "run.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(UsageError, match=r"icd \(as published\), npi \(masks used\)"):
        trade_off([path], "psnr", "clip_text")


def test_unknown_metrics_are_refused_with_a_suggestion(run: Path) -> None:
    with pytest.raises(UnknownName, match='Did you mean "clip_text"'):
        trade_off([run], "psnr", "clip_tex")
    with pytest.raises(UsageError, match="two scores"):
        trade_off([run], "psnr", "psnr")


def test_all_methods_get_the_same_samples(tmp_path: Path) -> None:
    few = write_scores(
        tmp_path / "few", SCORES, samples=SAMPLES, failed={("icd", 0.6): 4, ("npi", 0.2): 20}
    )
    fair = trade_off([few], "psnr", "clip_text", resamples=100)
    assert (fair.samples, fair.left_out) == (SAMPLES - 4, 4)
    assert [p.setting["strength"] for p in fair.points if p.method == "npi"] == [0.6, 1.0]
    assert_same(fair.points[0].x, mean_interval(SCORES["icd", 0.2]["psnr"][:-4]))
    assert any("npi strength=0.2 is left out: it has both" in note for note in fair.notes)
    assert any("4 of 40 samples are left out" in note for note in fair.notes)


@pytest.mark.parametrize("kept", [STRENGTHS[1:], ()])
def test_settings_and_methods_that_always_failed_are_told(
    tmp_path: Path, kept: tuple[float, ...]
) -> None:
    failed = {("npi", s): SAMPLES for s in STRENGTHS if s not in kept}
    path = write_scores(tmp_path / "run", SCORES, samples=SAMPLES, failed=failed)
    rest = trade_off([path], "psnr", "clip_text", resamples=100)
    assert [p.setting["strength"] for p in rest.points if p.method == "npi"] == list(kept)
    assert (rest.samples, rest.left_out) == (SAMPLES, 0)
    for _, strength in failed:
        told = f"npi strength={strength:g} is left out: it has both values for 0 of 40 samples"
        assert told in rest.notes


def test_a_reference_line_that_always_failed_is_told(tmp_path: Path) -> None:
    scores = {**SCORES, ("copy", None): SCORES["icd", 0.2]}
    failed: Mapping[Any, int] = {("copy", None): SAMPLES}
    path = write_scores(tmp_path / "run", scores, samples=SAMPLES, failed=failed)
    rest = trade_off([path], "psnr", "clip_text", resamples=100)
    assert not any(point.anchor for point in rest.points)
    assert "copy is left out: it has both values for 0 of 40 samples" in rest.notes


@pytest.mark.parametrize("others", [{}, {("copy", None): SCORES["icd", 0.2]}])
@pytest.mark.parametrize("count", [4, 15])
def test_samples_that_always_failed_are_told_and_speak_against_nobody(
    tmp_path: Path, count: int, others: dict[Any, Any]
) -> None:
    scores = {**SCORES, **others}
    failed = dict.fromkeys(SCORES, count)
    path = write_scores(tmp_path / "run", scores, samples=SAMPLES, failed=failed)
    rest = trade_off([path], "psnr", "clip_text", resamples=100)
    assert (rest.samples, rest.left_out) == (SAMPLES - count, count)
    assert len(rest.points) == len(scores)
    assert any(f"{count} of 40 samples are left out" in note for note in rest.notes)


def test_runs_in_which_everything_failed_are_refused(tmp_path: Path) -> None:
    failed = dict.fromkeys(SCORES, SAMPLES)
    path = write_scores(tmp_path / "run", SCORES, samples=SAMPLES, failed=failed)
    with pytest.raises(UsageError, match="no setting has finite values"):
        trade_off([path], "nfe", "seconds")


def test_seeds_of_a_sample_are_averaged(run: Path, tmp_path: Path) -> None:
    shifted = {
        key: {metric: values + 1 for metric, values in scores.items()}
        for key, scores in SCORES.items()
    }
    again = write_scores(tmp_path / "again", shifted, samples=SAMPLES, seed=1)
    both = trade_off([run, again], "psnr", "clip_text", resamples=100)
    assert both.samples == SAMPLES
    assert both.points[0].x.mean == pytest.approx(mean("icd", 0.2, "psnr") + 0.5)


def test_cost_is_an_axis(run: Path) -> None:
    cost = trade_off([run], "nfe", "clip_text", resamples=100)
    assert cost.x.direction == "lower"
    assert {point.x.mean for point in cost.points} == {12}


def test_the_same_seed_gives_the_same_numbers(run: Path, found: TradeOff) -> None:
    assert repr(trade_off([run], "psnr", "clip_text", resamples=500)) == repr(found)
    other = trade_off([run], "psnr", "clip_text", resamples=500, seed=1)
    assert other.claims[0].difference.high != found.claims[0].difference.high
