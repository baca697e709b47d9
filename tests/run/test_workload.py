"""The work that is left, by what the edits of each method cost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from run_fakes import FakeModels, here

from icd_bench.run import Plan, RunRequest, make_plan
from icd_bench.run.caches.measurements import Measurement, Measurements, measurement_key
from icd_bench.run.engines.engine import Failure, FinishedCell
from icd_bench.run.workload import Workload


@pytest.fixture
def plan(request_of: Callable[..., RunRequest]) -> Plan:
    """Two methods with ten cells each."""
    return make_plan(request_of(methods=here("Tint", "Copy")), FakeModels())


def finish(work: Workload, plan: Plan, seconds: dict[str, float], count: int) -> None:
    for name, each in seconds.items():
        cells = [cell for cell in plan.cells if cell.group.method.info.name == name]
        work.finish(FinishedCell(cell, seconds_edit=each) for cell in cells[:count])


def remember(plan: Plan, name: str, seconds: float) -> None:
    (group,) = (group for group in plan.groups if group.method.info.name == name)
    key = measurement_key(plan, group.method, group.settings[0], "cpu", "float32")
    Measurements().add({key: Measurement(name, 1, 0, 0, 1, 0.0, seconds, 1, 1)})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_nothing_is_known_before_anything_is_timed(plan: Plan) -> None:
    work = Workload(plan, (), "cpu", "float32")
    assert work.seconds_left() is None
    failed = FinishedCell(plan.cells[0], failure=Failure("sample", "BadSample", "cut short"))
    work.finish([failed])
    assert work.seconds_left() is None


def test_cells_count_as_those_of_their_method(plan: Plan, clock: list[float]) -> None:
    work = Workload(plan, (), "cpu", "float32")
    finish(work, plan, {"copy": 0.1, "tint": 2.0}, 5)
    clock[0] += 10.5
    assert work.seconds_left() == pytest.approx(10.5)
    finish(work, plan, {"copy": 0.1}, 5)
    clock[0] += 0.5
    assert work.seconds_left() == pytest.approx(10)


def test_edits_side_by_side_are_done_sooner(plan: Plan, clock: list[float]) -> None:
    work = Workload(plan, (), "cpu", "float32")
    finish(work, plan, {"copy": 100, "tint": 100}, 5)
    clock[0] += 500
    assert work.seconds_left() == pytest.approx(1000 * 510 / 1010)


def test_a_method_to_come_counts_as_it_was_measured_before(plan: Plan, clock: list[float]) -> None:
    remember(plan, "tint", 3.0)
    work = Workload(plan, (), "cpu", "float32")
    finish(work, plan, {"copy": 0.0001}, 10)
    clock[0] += 5
    assert work.seconds_left() == pytest.approx(30 * 1.5, rel=0.001)


def test_an_unknown_method_counts_as_the_mean_of_the_others(plan: Plan, clock: list[float]) -> None:
    work = Workload(plan, (), "cpu", "float32")
    finish(work, plan, {"copy": 0.5}, 5)
    clock[0] += 2.5
    assert work.seconds_left() == pytest.approx(7.5)


def test_what_was_done_before_is_not_left(plan: Plan, clock: list[float]) -> None:
    finished = {cell.id for cell in plan.cells[:5]}
    work = Workload(plan, finished, "cpu", "float32")
    for cell in plan.cells[5:]:
        work.finish([FinishedCell(cell, seconds_edit=1.0)])
    assert work.seconds_left() == 0
