from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from report_runs import trade_off_scores, write_scores

from icd_bench.errors import SignatureMismatch, UsageError
from icd_bench.reports.diff import diff_runs, render
from icd_bench.stats.intervals import paired_difference

SAMPLES = 20
SCORES = trade_off_scores(SAMPLES, {"icd": 0.06, "npi": 0.0}, (0.2, 0.6))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Run B: icd 0.2 gains half a decibel on average, and sample s3 of npi 0.6 is lost."""
    folder = tmp_path_factory.mktemp("diff")
    changed = {
        key: {name: values.copy() for name, values in s.items()} for key, s in SCORES.items()
    }
    changed["icd", 0.2]["psnr"] += 0.5 + 0.1 * np.random.default_rng(0).normal(size=SAMPLES)
    changed["npi", 0.6]["clip_text"][3] -= 5
    return (
        write_scores(folder / "before", SCORES, samples=SAMPLES),
        write_scores(folder / "after", changed, samples=SAMPLES),
    )


def test_differences_are_paired(runs: tuple[Path, Path]) -> None:
    found = diff_runs(*runs)
    assert (found.a, found.b) == ("before", "after")
    rows = {(row.method, row.setting["strength"]): row for row in found.rows}
    assert list(rows) == list(SCORES)
    gained = rows["icd", 0.2].values["psnr"]
    assert gained.paired.mean == pytest.approx(0.5, abs=0.1)
    assert gained.paired.n == SAMPLES
    assert gained.better is True
    assert gained.p_holm >= gained.paired.p
    assert rows["icd", 0.6].values["psnr"].paired == paired_difference([0] * SAMPLES, [0] * SAMPLES)
    assert rows["icd", 0.6].values["psnr"].better is None


def test_the_direction_of_a_metric_decides_what_is_better(tmp_path: Path) -> None:
    more = {("icd", 0.5): {"lpips": np.linspace(0.2, 0.3, SAMPLES)}}
    less = {("icd", 0.5): {"lpips": np.linspace(0.1, 0.21, SAMPLES)}}
    a = write_scores(tmp_path / "a", more, samples=SAMPLES)
    b = write_scores(tmp_path / "b", less, samples=SAMPLES)
    assert diff_runs(a, b).rows[0].values["lpips"].better is True
    assert diff_runs(b, a).rows[0].values["lpips"].better is False


def test_the_most_changed_samples_come_first(runs: tuple[Path, Path]) -> None:
    found = diff_runs(*runs, most=3)
    first, *others = found.most_changed
    assert (first.sample_id, first.method, first.setting["strength"]) == ("s3", "npi", 0.6)
    before, after = first.scores["clip_text"]
    assert before - after == pytest.approx(5)
    assert [change.method for change in others] == ["icd", "icd"]
    sizes = [change.size for change in found.most_changed]
    assert sizes == sorted(sizes, reverse=True)


def test_a_run_does_not_differ_from_itself(runs: tuple[Path, Path]) -> None:
    found = diff_runs(runs[0], runs[0])
    assert found.most_changed == ()
    assert all(row.identical == row.pairs == SAMPLES for row in found.rows)
    assert all(d.better is None for row in found.rows for d in row.values.values())


def test_edits_without_a_partner_are_told(runs: tuple[Path, Path], tmp_path: Path) -> None:
    part = {("icd", 0.2): SCORES["icd", 0.2]}
    other = write_scores(tmp_path / "part", part, samples=SAMPLES, failed={("icd", 0.2): 5})
    found = diff_runs(runs[0], other)
    (row,) = found.rows
    assert (row.pairs, row.only_a, row.only_b) == (15, 5, 0)
    assert any("without a finished partner: 65 in A, 0 in B" in note for note in found.notes)


def test_values_made_differently_are_not_compared(tmp_path: Path) -> None:
    one = {("icd", 0.5): SCORES["icd", 0.2]}
    a = write_scores(tmp_path / "a", one, samples=SAMPLES)
    b = write_scores(tmp_path / "b", one, samples=SAMPLES, version="2")
    with pytest.raises(SignatureMismatch, match=r"psnr: psnr\|v1 and psnr\|v2"):
        diff_runs(a, b)


def test_runs_of_other_things_have_nothing_to_compare(runs: tuple[Path, Path], tmp_path: Path):
    other = write_scores(tmp_path / "o", {("nti", 0.5): SCORES["npi", 0.2]}, samples=SAMPLES)
    with pytest.raises(UsageError, match="no edit in common"):
        diff_runs(runs[0], other)


def test_text_and_json(runs: tuple[Path, Path]) -> None:
    found = diff_runs(*runs)
    text = render(found, "text")
    assert "icd strength=0.2: 20 pairs" in text
    assert "better" in text
    assert json.loads(render(found, "json"))["rows"][0]["values"]["psnr"]["better"] is True
    with pytest.raises(UsageError, match="unknown format"):
        render(found, "xml")
