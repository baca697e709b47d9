from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from fake_runs import Run
from run_fakes import FakeBackbone, FakeModels, here

from icd_bench.run.engines.in_progress import InProgress
from icd_bench.run.engines.streams import side_by_side


@pytest.fixture(autouse=True)
def two_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_every_item_once_by_one_worker_at_a_time() -> None:
    busy: list[str] = []

    def worker(name: str) -> Callable[[int], int]:
        def work(item: int) -> int:
            assert name not in busy
            busy.append(name)
            time.sleep(0.002 * (item % 3))
            busy.remove(name)
            return item * item

        return work

    found = list(side_by_side(range(40), [worker("a"), worker("b"), worker("c")]))
    assert sorted(found) == [item * item for item in range(40)]


def test_workers_work_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=10)
    assert sorted(side_by_side(range(6), [lambda _: meeting.wait()] * 2)) == [0, 0, 0, 1, 1, 1]


def test_each_worker_has_its_share_of_the_cores() -> None:
    assert set(side_by_side(range(6), [lambda _: torch.get_num_threads()] * 2)) == {1}
    assert torch.get_num_threads() == 2


def test_what_a_worker_raises_is_raised_and_ends_the_others() -> None:
    others_end = threading.Event()

    def fail(item: int) -> int:
        if item == 0:
            raise ValueError("broken")
        try:
            while True:
                time.sleep(0.001)
        finally:
            others_end.set()

    with pytest.raises(ValueError, match="broken"):
        list(side_by_side(range(8), [fail, fail]))
    assert others_end.is_set()
    assert not [one for one in threading.enumerate() if one.name == "stream"]


def test_leaving_ends_work_that_goes_on_for_ever() -> None:
    def work(item: int) -> int:
        while item:
            time.sleep(0.001)
        return item

    found = side_by_side(range(8), [work, work])
    assert next(found) == 0
    start = time.monotonic()
    found.close()
    assert time.monotonic() - start < 10
    assert not [one for one in threading.enumerate() if one.name == "stream"]


@dataclass
class Watched(FakeBackbone):
    """A backbone that remembers which threads used it."""

    threads: set[str] = field(default_factory=set)

    def check(self, size: int) -> None:
        self.threads.add(threading.current_thread().name)


@pytest.mark.parametrize(("changes", "where"), [({}, "stream"), ({"timeout": 60}, "MainThread")])
def test_a_run_in_streams_gives_the_same_results(
    changes: dict[str, Any], where: str, run: Run, tmp_path: Path
) -> None:
    models = FakeModels(backbone=Watched())
    _, beside = run(models, batch_size=2, out=tmp_path / "beside", **changes)
    assert models.backbone.threads == {where}
    torch.set_num_threads(1)
    _, alone = run(batch_size=2, out=tmp_path / "alone")
    columns = [name for name in alone.columns if not name.startswith("seconds")]
    pd.testing.assert_frame_equal(beside[columns], alone[columns])


def test_a_short_run_has_all_cores_for_its_unit(run: Run) -> None:
    models = FakeModels(backbone=Watched())
    run(models, batch_size=4)
    assert models.backbone.threads == {"MainThread"}


def test_a_resumed_run_is_divided_as_the_whole_one(run: Run) -> None:
    models = FakeModels(backbone=Watched())
    run(models, batch_size=2, sweeps=("strength=0.2,0.8",))
    models.backbone.threads.clear()
    run(models, batch_size=2, sweeps=("strength=0.2,0.8,0.9",), limit=4)
    assert models.backbone.threads == {"MainThread"}, "a plan of two units"
    models.backbone.threads.clear()
    run(models, batch_size=2, sweeps=("strength=0.2,0.8,0.9",))
    assert models.backbone.threads == {"stream"}


@dataclass
class SlowToBegin(FakeBackbone):
    """A backbone whose first call takes long, and fails where it is told to."""

    fails: bool = False

    def check(self, size: int) -> None:
        if len(self.inverted) == 1 and not self.edited:
            time.sleep(0.3)
            if self.fails:
                raise RuntimeError("the first call fails")


SHARED = {"methods": here("Wash", "Glaze"), "sweeps": ("steps=4,6",)}
"""Four units over the same samples, two and two of which share their inversions."""


def test_streams_make_a_shared_inversion_once(run: Run, tmp_path: Path) -> None:
    models = FakeModels(backbone=SlowToBegin())
    _, beside = run(models, batch_size=10, out=tmp_path / "beside", **SHARED)
    assert [len(ids) for ids in models.backbone.inverted] == [10, 10]
    torch.set_num_threads(1)
    _, alone = run(batch_size=10, out=tmp_path / "alone", **SHARED)
    columns = [name for name in alone.columns if not name.startswith("seconds")]
    pd.testing.assert_frame_equal(beside[columns], alone[columns])


def test_who_waited_for_an_inversion_that_failed_makes_it(run: Run) -> None:
    models = FakeModels(backbone=SlowToBegin(fails=True))
    summary, results = run(models, limit=1, **SHARED)
    assert (summary.done, summary.failed) == (3, 1)
    assert list(results.loc[results["status"] == "failed", "error"]) == ["the first call fails"]
    assert len(models.backbone.inverted) == 3


def test_a_stream_that_waits_for_another_can_be_stopped() -> None:
    in_progress, held = InProgress(), threading.Event()

    def hold(item: int) -> int:
        with in_progress.holding({"a", "b"}):
            held.set()
            while item:
                time.sleep(0.001)
        return item

    def wait(item: int) -> int:
        held.wait(10)
        with in_progress.holding({"b", "c"}):
            return item

    def free(item: int) -> int:
        held.wait(10)
        with in_progress.holding({"c"}):
            return item

    found = side_by_side([1, 2, 3], [hold, wait, free])
    assert next(found) == 3
    start = time.monotonic()
    found.close()
    assert time.monotonic() - start < 10
    with in_progress.holding({"a", "b", "c"}):
        pass
