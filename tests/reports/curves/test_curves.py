from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from report_runs import trade_off_scores, write_scores

from icd_bench.cli.app import main
from icd_bench.errors import SignatureMismatch, UnknownName, UsageError
from icd_bench.reports.curves import TradeOff, summary, trade_off, write
from icd_bench.reports.curves.drawing import draw
from icd_bench.reports.joined_runs import join_runs
from icd_bench.stats.intervals import MeanInterval, mean_interval
from icd_bench.stats.pareto import hypervolume

SAMPLES = 40
OFFSETS = {"icd": 0.06, "npi": 0.0}
STRENGTHS = (0.2, 0.6, 1.0)
SCORES = trade_off_scores(SAMPLES, OFFSETS, STRENGTHS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = {"psnr": [math.inf] * SAMPLES, "clip_text": [0.3] * SAMPLES}
    scores = {**SCORES, ("copy", None): copy}
    return write_scores(tmp_path_factory.mktemp("runs") / "run", scores, samples=SAMPLES)


@pytest.fixture(scope="module")
def found(run: Path) -> TradeOff:
    return trade_off([run], "psnr", "clip_text", resamples=500)


def assert_same(found: MeanInterval, expected: MeanInterval) -> None:
    assert found.n == expected.n
    ends = [expected.low, expected.mean, expected.high]
    assert [found.low, found.mean, found.high] == pytest.approx(ends)


def mean(method: str, strength: float, metric: str) -> float:
    return float(SCORES[method, strength][metric].mean())


# --------------------------------------------------------------------------------- points


def test_points_have_the_means_and_intervals_of_the_table(found: TradeOff) -> None:
    points = {(p.method, p.setting.get("strength")): p for p in found.points}
    assert list(points) == [*SCORES, ("copy", None)]
    for key, scores in SCORES.items():
        assert_same(points[key].x, mean_interval(scores["psnr"]))
        assert_same(points[key].y, mean_interval(scores["clip_text"]))
        assert points[key].correlation == pytest.approx(np.corrcoef(*scores.values())[0, 1])
    assert (points["icd", 0.2].nfe, points["icd", 0.2].seconds) == (12, 0.75)
    assert found.samples == SAMPLES


def test_names_of_anchors_at_one_place_are_one_list(found: TradeOff) -> None:
    (copy,) = (point for point in found.points if point.anchor)
    here = replace(copy, y=found.points[0].y)
    others = [point for point in found.points if not point.anchor]
    twins = replace(found, points=(*others, here, replace(here, method="twin")))
    texts = [text.get_text() for text in draw(twins).axes[0].texts]
    assert "copy, twin" in texts
    assert "twin" not in texts


def test_anchors_are_shown_and_not_compared(found: TradeOff) -> None:
    (copy,) = (point for point in found.points if point.anchor)
    assert (copy.method, copy.on_front, copy.x.mean) == ("copy", False, math.inf)
    assert math.isnan(copy.p_front)
    assert found.methods == ("icd", "npi")
    assert any("copy (reference line) has no finite value" in note for note in found.notes)


def test_the_better_method_is_on_the_front(found: TradeOff) -> None:
    points = {(p.method, p.setting.get("strength")): p for p in found.points}
    assert points["icd", 0.6].on_front
    assert points["icd", 0.6].p_front > 0.9
    assert points["npi", 0.6].p_front < points["icd", 0.6].p_front
    assert all(0 <= p.p_front <= 1 for p in found.points if not p.anchor)


# --------------------------------------------------------------------------------- curves


def test_curves_go_through_their_points(found: TradeOff) -> None:
    for curve in found.curves:
        x = [mean(curve.method, s, "psnr") for s in STRENGTHS]
        y = [mean(curve.method, s, "clip_text") for s in STRENGTHS]
        assert [curve.x[0], curve.x[-1]] == pytest.approx([min(x), max(x)])
        assert np.interp(x, curve.x, curve.y) == pytest.approx(y, abs=1e-3)
        assert list(curve.y) == sorted(curve.y, reverse=True)
        inside = list(zip(curve.low, curve.y, curve.high, strict=True))[5:-5]
        assert all(low < value < high for low, value, high in inside)


def test_bands_and_axes_hold_only_values_that_a_score_can_have(tmp_path: Path) -> None:
    scores = {
        ("icd", strength): {
            "psnr": SCORES["icd", strength]["psnr"],
            "attribute_edited": (np.arange(SAMPLES) % 20 >= 3 - i).astype(float),
        }
        for i, strength in enumerate(STRENGTHS)
    }
    path = write_scores(tmp_path / "run", scores, samples=SAMPLES)
    shares = trade_off([path], "psnr", "attribute_edited", resamples=500)
    (curve,) = shares.curves
    assert max(high for high in curve.high if not math.isnan(high)) == 1
    assert max(point.y.high for point in shares.points) > 1
    (axes,) = draw(shares).axes
    assert axes.get_ylim()[1] < 1.02


def test_long_names_fit_into_the_figure(tmp_path: Path) -> None:
    names = {f"a-rather-long-name-{i}" for i in range(6)}
    scores = {(name, s): SCORES["icd", s] for name in sorted(names) for s in STRENGTHS}
    path = write_scores(tmp_path / "run", scores, samples=SAMPLES)
    figure = draw(trade_off([path], "psnr", "clip_text", resamples=100))
    (legend,) = figure.legends
    assert {text.get_text().split(" ")[0] for text in legend.get_texts()} == names
    assert legend.get_window_extent().x0 >= 0
    assert legend.get_window_extent().x1 <= figure.bbox.width


def test_hypervolume_is_the_area_over_the_reference(run: Path, found: TradeOff) -> None:
    points = np.array([[mean("icd", s, "psnr"), mean("icd", s, "clip_text")] for s in STRENGTHS])
    area = found.curves[0].hypervolume
    assert area.value == pytest.approx(float(hypervolume(points, found.reference)))
    assert 0 < area.low < area.value < area.high
    given = trade_off([run], "psnr", "clip_text", reference=(10, 0.1), resamples=100)
    assert given.reference == (10, 0.1)
    assert given.curves[0].hypervolume.value == pytest.approx(float(hypervolume(points, (10, 0.1))))


def test_less_can_be_better(tmp_path: Path) -> None:
    mirrored = {
        key: {"lpips": 50 - scores["psnr"], "clip_text": scores["clip_text"]}
        for key, scores in SCORES.items()
    }
    path = write_scores(tmp_path / "run", mirrored, samples=SAMPLES)
    flipped = trade_off([path], "lpips", "clip_text", resamples=300)
    plain = trade_off(
        [write_scores(tmp_path / "plain", SCORES, samples=SAMPLES)],
        "psnr",
        "clip_text",
        resamples=300,
    )
    for a, b in zip(flipped.curves, plain.curves, strict=True):
        assert a.x == pytest.approx([50 - x for x in reversed(b.x)])
        assert a.y == pytest.approx(list(reversed(b.y)))
        np.testing.assert_allclose(a.low, b.low[::-1], atol=1e-9)
        assert a.hypervolume.value == pytest.approx(b.hypervolume.value)
    assert [p.p_front for p in flipped.points] == [p.p_front for p in plain.points]
    assert [c.difference.value for c in flipped.claims] == pytest.approx(
        [c.difference.value for c in plain.claims]
    )
    shared = [50 - x for x in plain.claims[0].shared[::-1]]
    assert flipped.claims[0].shared == pytest.approx(shared)
    swapped = trade_off([path], "clip_text", "lpips", resamples=300)
    assert swapped.claims[0].difference.value < 0
    assert swapped.claims[0].better(swapped.y, 0.95) == "icd"
    curve = swapped.curves[0]
    inside = list(zip(curve.low, curve.y, curve.high, strict=True))[9:-9]
    assert all(low <= value <= high for low, value, high in inside)


# --------------------------------------------------------------------------------- claims


def test_the_claim_finds_the_true_difference(found: TradeOff) -> None:
    (claim,) = found.claims
    assert (claim.a, claim.b, claim.at, claim.refused) == ("icd", "npi", None, "")
    assert claim.difference.low < 0.06 < claim.difference.high
    assert claim.p_holm < 0.001
    assert claim.better(found.y, 0.95) == "icd"


def test_levels_can_be_named_and_nothing_is_extrapolated(run: Path) -> None:
    named = trade_off([run], "psnr", "clip_text", at=(20, 25, 31), resamples=300)
    inside, also, outside = named.claims
    assert inside.difference.value == pytest.approx(0.06, abs=0.03)
    assert inside.p_holm == pytest.approx(min(2 * inside.difference.p, 1)) or (
        inside.p_holm == pytest.approx(max(inside.difference.p, 2 * also.difference.p))
    )
    assert math.isnan(outside.difference.value)
    assert math.isnan(outside.p_holm)
    assert "31 would be extrapolated" in outside.refused
    assert outside.better(named.y, 0.95) == ""


def test_a_level_at_the_edge_has_a_value_and_no_test(run: Path, found: TradeOff) -> None:
    edge = max(curve.x[0] for curve in found.curves) + 0.01
    (claim,) = trade_off([run], "psnr", "clip_text", at=(edge,), resamples=300).claims
    assert math.isfinite(claim.difference.value)
    assert math.isnan(claim.difference.p)
    assert "of the draws reach it" in claim.refused


def test_one_setting_is_no_curve(tmp_path: Path) -> None:
    one = {key: scores for key, scores in SCORES.items() if key[1] == 0.6 or key[0] == "icd"}
    single = trade_off(
        [write_scores(tmp_path / "one", one, samples=SAMPLES)], "psnr", "clip_text", resamples=100
    )
    assert single.curves[1].x == ()
    assert "npi has one level of psnr, no curve" in single.claims[0].refused


def test_equal_methods_are_not_told_apart(tmp_path: Path) -> None:
    equal = trade_off_scores(SAMPLES, {"icd": 0, "npi": 0, "nti": 0}, STRENGTHS, seed=5)
    path = write_scores(tmp_path / "equal", equal, samples=SAMPLES)
    same = trade_off([path], "psnr", "clip_text", resamples=300)
    assert [claim.better(same.y, 0.95) for claim in same.claims] == ["", "", ""]
    assert all(claim.p_holm >= claim.difference.p for claim in same.claims)


# --------------------------------------------------------------------------------- choices


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


# ---------------------------------------------------------------------- what is comparable


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


# --------------------------------------------------------------------------------- output


def test_files_hold_all_numbers(found: TradeOff, tmp_path: Path) -> None:
    paths = {path.name: path for path in write(found, tmp_path)}
    stem = "curve_psnr_clip_text"
    frames = ("points", "curves", "hypervolumes", "claims", "choices")
    assert set(paths) == {
        *(f"{stem}.{form}" for form in ("svg", "pdf", "png", "json")),
        *(f"{stem}_{name}.{form}" for name in frames for form in ("csv", "parquet")),
    }
    points = pd.read_parquet(paths[f"{stem}_points.parquet"])
    assert list(points["x"])[:6] == [point.x.mean for point in found.points][:6]
    assert json.loads(points["setting"][0]) == found.points[0].setting
    claims = pd.read_csv(paths[f"{stem}_claims.csv"])
    assert claims.loc[0, "difference"] == found.claims[0].difference.value
    assert claims.loc[0, "better"] == "icd"

    def refuse(word: str) -> Any:
        raise AssertionError(word)

    whole: Mapping[str, Any] = json.loads(
        paths[f"{stem}.json"].read_text("utf-8"), parse_constant=refuse
    )
    assert whole["points"][-1]["x"]["mean"] == "inf"
    assert whole["reference"] == list(found.reference)
    assert ElementTree.parse(paths[f"{stem}.svg"]).getroot().tag.endswith("svg")
    assert paths[f"{stem}.pdf"].read_bytes().startswith(b"%PDF")


def test_figures_are_the_same_to_the_byte(found: TradeOff, tmp_path: Path) -> None:
    (first,) = write(found, tmp_path / "a", ["svg"])
    (second,) = write(found, tmp_path / "b", ["svg"])
    assert first.read_bytes() == second.read_bytes()


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    hostile = {("$x_{$", s): SCORES["icd", s] for s in STRENGTHS}
    path = write_scores(tmp_path / "run", hostile, samples=SAMPLES)
    (figure,) = write(trade_off([path], "psnr", "clip_text", resamples=100), tmp_path, ["png"])
    assert figure.stat().st_size > 10_000


def test_the_summary_says_it_in_words(found: TradeOff) -> None:
    text = summary(found)
    for word in ("Hypervolume over", "matched psnr", "icd - npi", "<0.0001", "chosen on one half"):
        assert word in text
    assert max(map(len, text.splitlines())) < 200


def test_p_values_are_adjusted_over_the_claims_that_are_tested(run: Path) -> None:
    def header(*at: float) -> str:
        text = summary(trade_off([run], "psnr", "clip_text", at=at, resamples=300))
        return next(line for line in text.splitlines() if "matched psnr" in line)

    assert header(20, 25, 31).endswith("(p after Holm over 2 comparisons)")
    assert header(25, 31).endswith("(p after Holm over 1 comparison)")
    assert header(31).endswith("(none can be tested)")


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--reference", "nan,1", "reference nan,1: give finite numbers"),
        ("--reference", "1,inf", "reference 1,inf: give finite numbers"),
        ("--reference", "", '--reference "": give two numbers'),
        ("--at", "nan", "at nan: give finite numbers"),
        ("--floor", "-inf", "floor -inf: give finite numbers"),
    ],
)
def test_numbers_that_are_none_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, told: str
) -> None:
    words = ["curve", str(run), "--x", "psnr", "--y", "clip_text", f"{option}={value}"]
    assert main(words) == 2
    assert told in capsys.readouterr().err


def test_curves_need_no_torch(run: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from icd_bench.reports.curves import trade_off\n"
        f"trade_off([Path({str(run)!r})], 'psnr', 'clip_text', resamples=10)\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
