"""What a run would take, told before it is begun."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_runs import Run
from run_fakes import FakeModels, here

from icd_bench.run import RunRequest, make_plan
from icd_bench.run.caches.cache import inversions_home
from icd_bench.run.caches.measurements import EditCost, Measurements, average
from icd_bench.run.estimate import (
    BYTES_OF_A_RECORD,
    Estimate,
    MethodEstimate,
    estimate,
    measure,
)

SWEEP = ("strength=0.2,0.8",)


@pytest.fixture
def told(request_of: Callable[..., RunRequest]) -> Callable[..., Estimate]:
    """Return a function that estimates a run of the fakes."""

    def do(**changes: Any) -> Estimate:
        request = request_of(**changes)
        return estimate(make_plan(request, FakeModels()), request)

    return do


def only(found: Estimate) -> MethodEstimate:
    (one,) = found.methods
    return one


def test_what_was_never_measured_is_unknown(told: Callable[..., Estimate]) -> None:
    found = told(sweeps=SWEEP)
    one = only(found)
    assert (found.cells, found.done, one.inversions, one.cached) == (20, 0, 10, 0)
    assert (one.rows_invert, one.rows_edit, one.seconds) == (None, None, None)
    assert found.unmeasured == ("tint",)
    assert found.peak_memory is None


def test_rows_are_those_that_the_run_then_evaluates(
    told: Callable[..., Estimate], run: Run, tmp_path: Path
) -> None:
    run(limit=2, sweeps=SWEEP, out=tmp_path / "small")
    one = only(told(sweeps=SWEEP))
    assert (one.inversions, one.cached) == (8, 2)
    _, results = run(sweeps=SWEEP)
    by_sample = results.groupby("sample_id")
    assert one.rows_invert == by_sample["nfe_invert"].first()[2:].sum() == 8 * 5
    shared = by_sample["nfe_source"].first().sum()
    assert one.rows_edit == shared + results["nfe_edit"].sum() == 10 * (3 + 2 * 2)
    assert one.seconds is not None
    assert one.seconds > 0
    size = sum(p.stat().st_size for p in (tmp_path / "run" / "images").rglob("*.png"))
    assert one.bytes_pictures == pytest.approx(size, rel=0.1)


def test_what_is_done_costs_nothing(told: Callable[..., Estimate], run: Run) -> None:
    run(sweeps=("strength=0.2",))
    one = only(told(sweeps=SWEEP))
    assert (one.cells, one.done, one.inversions, one.cached) == (20, 10, 0, 10)
    assert (one.rows_invert, one.rows_edit) == (0, 10 * (3 + 2))
    done = only(told(sweeps=("strength=0.2",)))
    assert (done.done, done.rows_invert, done.rows_edit, done.seconds) == (10, 0, 0, 0.0)


def test_a_cell_without_its_picture_is_not_done(
    told: Callable[..., Estimate], run: Run, tmp_path: Path
) -> None:
    run(limit=3)
    next((tmp_path / "run" / "images").rglob("*.png")).unlink()
    assert told(limit=3).done == 2
    summary, _ = run(limit=3)
    assert (summary.done, summary.skipped) == (1, 2)


def test_the_disk_is_told_before_it_is_taken(
    told: Callable[..., Estimate], request_of: Callable[..., RunRequest], run: Run, tmp_path: Path
) -> None:
    request = request_of(sweeps=SWEEP)
    measure(make_plan(request, FakeModels()), request, FakeModels(), lambda line: None)
    found = told(sweeps=SWEEP)
    run(sweeps=SWEEP)

    def taken(folder: Path) -> int:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    assert only(found).bytes_inversions == pytest.approx(taken(inversions_home()), rel=0.2)
    pictures = taken(tmp_path / "run" / "images") + taken(tmp_path / "run" / "samples")
    assert found.bytes_folder - 20 * BYTES_OF_A_RECORD == pytest.approx(pictures, rel=0.2)
    assert found.bytes == found.bytes_folder + (only(found).bytes_inversions or 0)
    assert told(sweeps=SWEEP).bytes == 0
    other = {"sweeps": SWEEP, "seed": 1, "out": tmp_path / "other"}
    assert told(**other, cache_size=7).bytes == told(**other, cache_size=0).bytes + 7


def test_inversions_whose_size_nobody_recorded_are_named(
    told: Callable[..., Estimate], run: Run
) -> None:
    run(cache_size=0)
    memory = Measurements()
    before = json.loads(memory.path.read_text())
    for one in before["measurements"].values():
        del one["bytes_inversion"]
    memory.path.write_text(json.dumps(before))
    found = told(seed=1)
    assert (only(found).bytes_inversions, found.without_inversions) == (None, ("tint",))
    assert found.bytes == found.bytes_folder > 0
    run(seed=2)
    assert told(seed=1).without_inversions == ()


def test_inversions_that_are_gone_are_counted_again(
    told: Callable[..., Estimate], run: Run
) -> None:
    run(sweeps=("strength=0.2",))
    for path in inversions_home().rglob("*.safetensors"):
        path.unlink()
    one = only(told(sweeps=SWEEP))
    assert (one.inversions, one.cached, one.rows_invert) == (10, 0, 50)


def test_a_short_measurement_is_remembered(
    told: Callable[..., Estimate], request_of: Callable[..., RunRequest], tmp_path: Path
) -> None:
    request = request_of(sweeps=SWEEP)
    plan, models, said = make_plan(request, FakeModels()), FakeModels(), []
    for _ in range(2):
        measure(plan, request, models, said.append)
    assert said == ["measuring tint with 2 settings"]
    assert models.loads == 1
    assert [len(ids) for ids, _ in models.backbone.edited] == [1, 4]
    one = only(told(sweeps=SWEEP))
    assert (one.rows_invert, one.rows_edit) == (50, 70)
    assert only(told(sweeps=("strength=0.2,0.4,0.8",))).rows_edit == 90
    assert not (tmp_path / "run").exists()
    assert not inversions_home().exists()


def test_a_sample_that_fails_is_no_measurement(request_of: Callable[..., RunRequest]) -> None:
    request = request_of(benchmark=here("Troubled")[0])
    plan = make_plan(request, FakeModels())
    said: list[str] = []
    measure(replace(plan, rows=plan.rows[1:2]), request, FakeModels(), said.append)
    assert said[-1] == "tint: not measured: the first sample failed or took too long"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"measurements": {"a": 1}}', "[" * 10**5])
def test_a_damaged_memory_is_begun_anew(tmp_path: Path, content: str) -> None:
    memory = Measurements(tmp_path / "measurements.json")
    memory.path.write_text(content)
    assert memory.load() == {}
    cost = EditCost("key", "tint", 5, 3, 2, 0.5, 0.25, 100, 64)
    memory.add(average([cost, replace(cost, rows_edit=4)], peak_memory=7))
    (one,) = memory.load().values()
    assert (one.method, one.pictures, one.rows_edit, one.peak_memory) == ("tint", 2, 3.0, 7)
    assert one.bytes_inversion == 64
    memory.add(average([cost], peak_memory=7))
    assert memory.load() == {"key": one}
    assert list(json.loads(memory.path.read_text())) == ["measurements"]
