"""Scores of whole sets of edits: stored, shown with n, and never of other edits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_fakes import here

from icd_bench.api import MetricInfo
from icd_bench.errors import UsageError
from icd_bench.reports.table import build_table, render
from icd_bench.run import RunFolder
from icd_bench.run.progress import QuietProgress
from icd_bench.run.scoring.outside import OutsideRequest, score_outside
from icd_bench.run.scoring.rescore import score_run


class Brightness:
    """Distance of mean brightness."""

    info = MetricInfo("brightness", "Brightness", "lower", "", "test", group="quality")
    enough = 50

    def load(self, device="cpu"):
        self.seen = 0

    def signature(self):
        return "brightness|v1"

    def features(self, images):
        return images.mean(dim=(2, 3)).double().numpy()

    def distance(self, edited, sources):
        return float(abs(edited.mean() - sources.mean()))


class Fussy(Brightness):
    """Refuses every set."""

    info = MetricInfo("fussy", "Fussy", "lower", "", "test", group="quality")

    def distance(self, edited, sources):
        raise UsageError("the file does not fit")


PLACE = f"{Path(__file__)}:Brightness"


def test_a_set_has_one_value_with_its_number_of_edits(run):
    summary, _ = run(metrics=here("Distance"))
    said = score_run(summary.path, [PLACE])
    (told,) = [line for line in said if "brightness" in line]
    assert "edits are few: at least 50 are needed" in told
    sets = RunFolder.open(summary.path).read_results().attrs["sets"]
    assert {score["metric"] for score in sets} == {"brightness"}
    table = build_table([summary.path])
    assert [column.key for column in table.columns] == ["distance", "brightness"]
    for row in table.rows:
        assert row.values["brightness"].n == row.n
        assert np.isnan(row.values["brightness"].low)
    assert "brightness" in render(table, "md")


def test_a_value_is_not_computed_twice(run, monkeypatch):
    summary, _ = run(metrics=())
    score_run(summary.path, [PLACE])
    before = build_table([summary.path]).rows[0].values["brightness"].mean
    asked = []
    monkeypatch.setattr(Brightness, "features", lambda *_: asked.append(1))
    score_run(summary.path, [PLACE])
    assert not asked
    assert build_table([summary.path]).rows[0].values["brightness"].mean == before


def test_sources_of_one_size_are_not_taken_for_those_of_another(tmp_path):
    edits = tmp_path / "edits"
    edits.mkdir()
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(edits / "a.png")
    row = {"id": "a", "image": "a.png", "source": "noise", "target": "more noise"}
    (edits / "prompts.jsonl").write_text(json.dumps(row))
    for side in (16, 64):
        request = OutsideRequest(
            place=edits, benchmark=str(edits), name="mine", model=f"model-{side}", resolution=side,
            size_policy="resize", metrics=(), out=tmp_path / "run", device="cpu",
        )  # fmt: skip
        path = score_outside(request, QuietProgress()).path
    score_run(path, [PLACE])
    copies = [row for row in build_table([path]).rows if row.method == "identity"]
    assert {row.resolution for row in copies} == {"16", "64"}
    assert [row.values["brightness"].mean for row in copies] == [0.0, 0.0]


def test_other_edits_have_no_value_until_they_are_scored(run):
    summary, _ = run(metrics=(), limit=2)
    score_run(summary.path, [PLACE])
    run(metrics=(), out=summary.path)
    table = build_table([summary.path])
    assert "brightness" not in [column.key for column in table.columns]
    score_run(summary.path, [PLACE])
    (row, *_) = build_table([summary.path]).rows
    assert row.values["brightness"].n == row.n > 2


def test_a_set_without_a_value_says_why(run):
    summary, _ = run(metrics=())
    said = score_run(summary.path, [PLACE.replace("Brightness", "Fussy")])
    assert any("no value: the file does not fit" in line for line in said)
    with pytest.raises(KeyError):
        build_table([summary.path]).rows[0].values["fussy"]


class Spread(Brightness):
    """Knows how sure it is."""

    info = MetricInfo("spread", "Spread", "lower", "", "test", group="quality")

    def interval(self, edited, sources):
        return 0.25, 4.0


def test_an_interval_is_stored_and_shown(run):
    summary, _ = run(metrics=())
    score_run(summary.path, [PLACE.replace("Brightness", "Spread")])
    (row, *_) = build_table([summary.path]).rows
    assert (row.values["spread"].low, row.values["spread"].high) == (0.25, 4.0)
