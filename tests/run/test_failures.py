"""A cell that fails is a row with its reason, and harms no other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import Run, images
from run_fakes import FILE, FakeBackbone, FakeModels, here

from icd_bench.errors import MissingWeights
from icd_bench.registry import load_from_file


@pytest.mark.fault("edits that are black, constant, not numbers, or raise: failed cells")
def test_each_trouble_fails_alone_and_says_why(run: Run) -> None:
    summary, results = run(benchmark=here("Troubled")[0], sweeps=("strength=0.2,0.8",))
    rows = results.set_index(
        ["sample_id", results["setting"].map(lambda s: json.loads(s)["strength"])]
    )
    failed = results[results["status"] == "failed"]
    assert summary.failed == len(failed) == 15
    assert failed["image"].eq("").all()
    assert failed["distance"].isna().all()
    assert rows.loc[("s9", 0.2), "status"] == "ok"
    assert rows.loc[("s9", 0.8), "failed_stage"] == "edit"
    stages = {
        "rows.csv, row 2": ("benchmark", "BadSample"),
        "ten row 9": ("benchmark", "BadSample"),
        "s2": ("edit", "RuntimeError"),
        "s3": ("image", "NotFinite"),
        "s4": ("image", "ConstantImage"),
        "s5": ("invert", "RuntimeError"),
        "s6": ("sample", "BadSample"),
    }
    for sample_id, expected in stages.items():
        row = rows.loc[(sample_id, 0.2)]
        assert (row["failed_stage"], row["error_type"]) == expected
    assert rows.loc[("s2", 0.2), "error"] == "this one cannot be edited"
    assert list(rows.loc[("s7", 0.2), "warnings"]) == ["steep"]
    assert "s6.png: image: the file is cut short (copy it again)" in summary.problems
    assert len(summary.problems) == len(set(summary.problems)) == 8


def test_failed_cells_are_tried_again(run: Run) -> None:
    first, _ = run(benchmark=here("Troubled")[0])
    models = FakeModels()
    again, _ = run(models, benchmark=here("Troubled")[0])
    assert (again.done, again.failed, again.skipped) == (0, first.failed, first.done)
    tried = {sample for ids, _ in models.backbone.edited for sample in ids}
    assert tried == {"s2", "s3", "s4"}


@pytest.mark.fault("out of memory: the batch is halved")
@pytest.mark.parametrize("fits", [1, 2, 5, 7])
def test_out_of_memory_halves_the_batch_and_changes_nothing_else(
    run: Run, tmp_path: Path, fits: int
) -> None:
    summary, _ = run(sweeps=("strength=0.1,0.2,0.3",))
    models = FakeModels(backbone=FakeBackbone(fits=fits))
    tight, results = run(
        models, sweeps=("strength=0.1,0.2,0.3",), out=tmp_path / "tight", cache_size=0
    )
    assert tight.failed == 0
    assert images(tight.path) == images(summary.path)
    too_large = [ids for ids, count in models.backbone.edited if len(ids) * count > fits]
    assert len(too_large) <= 4
    assert len(results) == 30


def test_a_constant_source_may_stay_constant(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = load_from_file(here("Ten")[0])
    fakes = load_from_file(f"{FILE}:make_sample")
    blank = [
        fakes(
            0,
            read_image=lambda: np.full((16, 16, 3), 7, np.uint8),
            read_mask=None,
            read_target=None,
        )
    ]
    monkeypatch.setattr(bench, "samples", lambda self: iter(blank))
    summary, _ = run(methods=here("Copy"))
    assert (summary.done, summary.failed) == (1, 0)


def test_missing_model_weights_stop_before_a_folder_is_made(run: Run, tmp_path: Path) -> None:
    with pytest.raises(MissingWeights):
        run(methods=here("Moonlit"))
    assert not (tmp_path / "run").exists()


def test_a_method_that_returns_nonsense_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    method = load_from_file(here("Tint")[0])
    edit = method.edit

    def narrow(*arguments: Any) -> Any:
        edits = edit(*arguments)
        return dataclasses.replace(edits, images=edits.images[..., :8])

    monkeypatch.setattr(method, "edit", narrow)
    summary, results = run(limit=1)
    assert summary.failed == 1
    assert "returned images (1, 1, 3, 16, 8), not (1, 1, 3, 16, 16)" in results.loc[0, "error"]
