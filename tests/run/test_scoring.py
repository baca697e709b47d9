"""Scores of stored edits: added later, made anew, missing with a reason."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from fake_runs import Run
from run_fakes import FakeModels, here

from icd_bench.errors import UsageError
from icd_bench.registry import load_from_file


def test_metrics_can_be_added_later_without_a_model(run: Run) -> None:
    run(metrics=here("Distance"))
    models = FakeModels()
    _, results = run(models, metrics=here("Offset"))
    assert models.loads == 0
    assert results[["distance", "offset"]].notna().all().all()


def test_a_new_signature_replaces_the_column(run: Run) -> None:
    _, old = run(metrics=here("Distance"))
    _, new = run(metrics=here("Distance2"))
    assert new.attrs["metrics"]["distance"]["signature"] == "distance|v2"
    assert np.allclose(new["distance"], 2 * old["distance"])


def test_missing_metric_weights_cost_one_column(run: Run) -> None:
    summary, results = run(metrics=here("Weightless", "Distance"))
    assert summary.problems == (
        "weightless is not computed: no weights here; get them with: magic",
    )
    assert "weightless" not in results
    assert results["distance"].notna().all()


def test_a_score_that_fails_is_missing_for_its_sample_only(run: Run) -> None:
    summary, results = run(metrics=here("Moody"))
    assert list(results.loc[results["moody"].isna(), "sample_id"]) == ["s1"]
    assert summary.problems == ("moody: no score for s1: RuntimeError: not in the mood",)


def test_a_sample_without_the_needed_parts_gets_no_number(run: Run) -> None:
    _, results = run(benchmark=here("Troubled")[0])
    last = results[results["sample_id"] == "s10"].iloc[0]
    assert math.isnan(last["offset"])
    assert math.isfinite(last["distance"])


def test_a_metric_named_like_a_column_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = load_from_file(here("Distance")[0])
    monkeypatch.setattr(metric, "info", dataclasses.replace(metric.info, name="seed"))
    with pytest.raises(UsageError, match='metric "seed"'):
        run(metrics=here("Distance"))


def test_an_unknown_metric_is_found_before_any_edit(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown metric"):
        run(metrics=("no_such_metric",))
    assert not (tmp_path / "run").exists()
