"""Which setting is chosen, and on which samples."""

from __future__ import annotations

from pathlib import Path

import pytest
from curve_runs import OFFSETS, SAMPLES, SCORES, STRENGTHS, assert_same, mean
from report_runs import trade_off_scores, write_scores

from icd_bench.errors import UsageError
from icd_bench.reports.curves import TradeOff, summary, trade_off
from icd_bench.reports.joined_runs import join_runs
from icd_bench.stats.intervals import mean_interval


def test_the_choice_is_made_on_one_half_and_judged_on_the_other(found: TradeOff) -> None:
    for choice in found.choices:
        assert choice.dev_x.n + choice.test_x.n == SAMPLES
        both = (choice.dev_x.mean * choice.dev_x.n + choice.test_x.mean * choice.test_x.n) / SAMPLES
        assert both == pytest.approx(mean(choice.method, choice.setting["strength"], "psnr"))
    assert "one half of the samples" in found.choice_rule


def test_a_dev_split_chooses_for_the_test_split(run: Path, tmp_path: Path) -> None:
    worse_on_dev = {
        key: {**scores, "clip_text": scores["clip_text"] - 0.3 * (key == ("icd", 0.6))}
        for key, scores in SCORES.items()
    }
    dev = write_scores(tmp_path / "dev", worse_on_dev, samples=SAMPLES, split="dev")
    split = trade_off([dev, run], "psnr", "clip_text", resamples=100)
    assert split.split == ""
    assert split.samples == SAMPLES
    chosen = {choice.method: choice for choice in split.choices}
    assert chosen["npi"].setting["strength"] == 0.6
    assert chosen["icd"].setting["strength"] != 0.6
    assert_same(chosen["npi"].test_y, mean_interval(SCORES["npi", 0.6]["clip_text"]))
    assert "the dev split" in split.choice_rule


def test_a_floor_limits_the_choice(run: Path) -> None:
    high = trade_off([run], "psnr", "clip_text", floor=25, resamples=100)
    assert {choice.setting["strength"] for choice in high.choices} == {0.2}
    none = trade_off([run], "psnr", "clip_text", floor=99, resamples=100)
    assert none.choices == ()
    for method in ("icd", "npi"):
        told = f"no setting is chosen for {method}: none has psnr no worse than 99"
        assert told in none.notes


def test_where_one_score_is_the_same_everywhere_the_other_decides(run: Path) -> None:
    cheap = trade_off([run], "nfe", "clip_text", resamples=100)
    assert [choice.setting["strength"] for choice in cheap.choices] == [1.0, 1.0]
    areas = {curve.method: curve.hypervolume.value for curve in cheap.curves}
    assert areas["icd"] > areas["npi"] > 0
    assert any("all settings have the same nfe: clip_text alone" in note for note in cheap.notes)
    kept = trade_off([run], "psnr", "nfe", resamples=100)
    assert [choice.setting["strength"] for choice in kept.choices] == [0.2, 0.2]


def test_of_settings_with_equal_y_the_one_with_the_best_x_is_chosen(run: Path) -> None:
    equal = trade_off([run], "clip_text", "nfe", floor=0, resamples=100)
    assert [choice.setting["strength"] for choice in equal.choices] == [1.0, 1.0]


def test_no_setting_is_chosen_where_none_beats_the_reference(run: Path) -> None:
    far = trade_off([run], "psnr", "clip_text", reference=(99, 0.1), resamples=100)
    assert far.choices == ()
    for method in ("icd", "npi"):
        told = f"{method}: none is better than (99, 0.1) in both psnr and clip_text"
        assert f"no setting is chosen for {told}" in summary(far)


def test_too_few_samples_for_two_halves_are_told(tmp_path: Path) -> None:
    few = write_scores(tmp_path / "few", trade_off_scores(3, OFFSETS, STRENGTHS), samples=3)
    tiny = trade_off([few], "psnr", "clip_text", resamples=100)
    assert (tiny.choices, tiny.choice_rule) == ((), "")
    assert "no setting is chosen: there are too few samples for two halves" in tiny.notes


@pytest.mark.parametrize("shared", [1, SAMPLES])
def test_no_setting_is_chosen_on_samples_that_judge_it(
    run: Path, tmp_path: Path, shared: int
) -> None:
    dev = write_scores(tmp_path / "dev", SCORES, samples=SAMPLES, split="dev")
    joined = join_runs([dev, run])
    again = joined.cells["sample_index"] < shared
    joined.cells.loc[again, "sample_digest"] = joined.cells.loc[again, "sample_id"]
    leaky = trade_off(joined, "psnr", "clip_text", resamples=100)
    assert (leaky.choices, leaky.choice_rule) == ((), "")
    told = f"{shared} of {SAMPLES} samples to judge on are in the split to choose on too"
    assert f"no setting is chosen: {told}" in summary(leaky)
    assert leaky.claims[0].better(leaky.y, 0.95) == "icd"


@pytest.mark.parametrize("column", ["model", "method_version", "model_digest"])
def test_what_is_chosen_with_other_weights_is_not_judged(
    run: Path, tmp_path: Path, column: str
) -> None:
    dev = write_scores(tmp_path / "dev", SCORES, samples=SAMPLES, split="dev")
    joined = join_runs([dev, run])
    joined.cells.loc[joined.cells["split"] == "dev", column] = "8"
    other = trade_off(joined, "psnr", "clip_text", resamples=100)
    assert other.choices == ()
    name = {"model": "icd on 8", "method_version": "icd v8", "model_digest": "icd @8"}[column]
    told = f"{name}: the splits share none of one version, model and weights"
    assert f"no setting is chosen for {told}" in other.notes
    assert len([note for note in other.notes if "is chosen" in note]) == 4


def test_a_method_finds_its_dev_cells_among_those_of_other_models(
    run: Path, tmp_path: Path
) -> None:
    misleading = {
        key: {**scores, "clip_text": scores["clip_text"] - 0.9 * (key[1] != 1.0)}
        for key, scores in SCORES.items()
    }
    dev = write_scores(tmp_path / "dev", SCORES, samples=SAMPLES, split="dev")
    other = write_scores(tmp_path / "other", misleading, samples=SAMPLES, split="dev", seed=1)
    joined = join_runs([other, dev, run])
    joined.cells.loc[joined.cells["seed"] == 1, "model"] = "a"
    found = trade_off(joined, "psnr", "clip_text", resamples=100)
    chosen = {choice.method: choice.setting["strength"] for choice in found.choices}
    assert chosen == {"icd on m": 0.6, "npi on m": 0.6}
    assert [p.setting["strength"] for p in found.points if found.is_chosen(p)] == [0.6, 0.6]


def test_splits_without_a_setting_in_common_are_told(run: Path, tmp_path: Path) -> None:
    elsewhere = {(m, s if m == "npi" else s + 0.05): SCORES[m, s] for m, s in SCORES}
    dev = write_scores(tmp_path / "dev", elsewhere, samples=SAMPLES, split="dev")
    apart = trade_off([dev, run], "psnr", "clip_text", floor=1, resamples=100)
    assert [choice.method for choice in apart.choices] == ["npi"]
    assert any("no setting is chosen for icd: the splits share none" in n for n in apart.notes)


def test_what_is_left_out_of_the_dev_split_is_told(run: Path, tmp_path: Path) -> None:
    failed = {("icd", 0.6): SAMPLES}
    dev = write_scores(tmp_path / "dev", SCORES, samples=SAMPLES, split="dev", failed=failed)
    found = trade_off([dev, run], "psnr", "clip_text", resamples=100)
    told = f"icd strength=0.6 is left out: it has both values for 0 of {SAMPLES} samples"
    assert f"on the split to choose on, {told}" in found.notes


def test_splits_that_say_nothing_are_refused(run: Path, tmp_path: Path) -> None:
    other = write_scores(tmp_path / "other", SCORES, samples=SAMPLES, split="more")
    with pytest.raises(UsageError, match="choose settings on with --dev"):
        trade_off([run, other], "psnr", "clip_text")
    assert trade_off([run, other], "psnr", "clip_text", dev="more", resamples=100).split == ""
    with pytest.raises(UsageError, match='split "dev" to choose on'):
        trade_off([run], "psnr", "clip_text", dev="dev")
