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
from curve_runs import SAMPLES, SCORES, STRENGTHS, assert_same, mean
from report_runs import trade_off_scores, write_scores

from icd_bench.cli.app import main
from icd_bench.reports.curves import TradeOff, summary, trade_off, write
from icd_bench.reports.curves.drawing import draw
from icd_bench.stats.intervals import mean_interval
from icd_bench.stats.pareto import hypervolume

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
