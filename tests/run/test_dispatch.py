"""Workers that end, refuse or differ; here they are objects of this process."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from fake_runs import Run
from run_fakes import FakeModel, FakeModels, here

from icd_bench.errors import MissingWeights, WorkersFailed
from icd_bench.registry import load_from_file
from icd_bench.run.engines.dispatch import STILLBORN, TRIES, Dispatcher, Ended, News
from icd_bench.run.engines.engine import FinishedCell, Job
from icd_bench.run.engines.tasks import Post, Task, Worker

Ends = Callable[[tuple[str, ...], int], bool]
TIMES = ["seconds_invert", "seconds_edit"]
ENGINE = f"{__file__}:FragileEngine"
SWEEP = ("strength=0.2,0.8",)


class FragileEngine:
    """Two workers of this process, which end where they are told to."""

    ends: ClassVar[Ends] = staticmethod(lambda names, settings: False)
    """Whether a worker ends over a task, from its samples and the number of its settings."""
    lives: ClassVar[Callable[[int], bool]] = staticmethod(lambda number: True)
    sent: ClassVar[list[tuple[tuple[str, ...], int]]] = []
    closed: ClassVar[list[int]] = []
    """Number of workers at the end of each run."""

    def run(self, job: Job) -> Iterator[tuple[FinishedCell, ...]]:
        return Dispatcher(job, FragileWorkers(self, job), 2).run()


class FragileWorkers:
    def __init__(self, engine: FragileEngine, job: Job) -> None:
        self._engine, self._job = engine, job
        self._workers: dict[int, Worker] = {}
        self._news: deque[tuple[int, News]] = deque()

    def start(self) -> int:
        number = len(self._workers) + 1
        worker = self._workers[number] = Worker(Post.of(self._job, threads=1))
        self._news.append((number, worker.begin() if self._engine.lives(number) else Ended("air")))
        return number

    def send(self, worker: int, task: Task) -> None:
        names, settings = tuple(sample.id for _, sample, _ in task.rows), len(task.settings)
        self._engine.sent.append((names, settings))
        assert worker not in dict(self._news), "a worker has one task at a time"
        ended = self._engine.ends(names, settings)
        news = Ended("a stone fell") if ended else self._workers[worker].compute(task)
        self._news.append((worker, news))

    def wait(self) -> tuple[int, News]:
        return self._news.popleft()

    def close(self) -> None:
        self._engine.closed.append(len(self._workers))


class LateEngine:
    """Three workers that begin a task only when they are waited for, the last one first."""

    sent: ClassVar[list[list[str]]] = []
    """Methods of the tasks that were sent since the last answer."""

    def run(self, job: Job) -> Iterator[tuple[FinishedCell, ...]]:
        return Dispatcher(job, LateWorkers(self, job), 3).run()


class LateWorkers:
    def __init__(self, engine: LateEngine, job: Job) -> None:
        self._engine, self._job = engine, job
        self._workers: list[Worker] = []
        self._late: list[tuple[int, Callable[[], News]]] = []

    def start(self) -> int:
        self._workers.append(Worker(Post.of(self._job, threads=1)))
        number = len(self._workers) - 1
        self._late.insert(0, (number, self._workers[number].begin))
        return number

    def send(self, worker: int, task: Task) -> None:
        self._engine.sent[-1].append(task.method.rpartition(":")[2])
        self._late.insert(0, (worker, lambda: self._workers[worker].compute(task)))

    def wait(self) -> tuple[int, News]:
        worker, begin = self._late.pop()
        news = begin()
        self._engine.sent.append([])
        return worker, news

    def close(self) -> None: ...


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the engine's class as runs load it."""
    loaded = load_from_file(ENGINE)
    for name in ("ends", "lives"):
        monkeypatch.setattr(loaded, name, staticmethod(getattr(FragileEngine, name)))
    for name in ("sent", "closed"):
        monkeypatch.setattr(loaded, name, [])
    return loaded


def outcome(results: pd.DataFrame) -> pd.DataFrame:
    return results.drop(columns=TIMES)


def test_workers_give_what_one_process_gives(run: Run, tmp_path: Path, engine: Any) -> None:
    methods = here("Tint", "Copy")
    _, alone = run(methods=methods, sweeps=SWEEP)
    summary, together = run(methods=methods, sweeps=SWEEP, engine=ENGINE, out=tmp_path / "many")
    pd.testing.assert_frame_equal(outcome(alone), outcome(together))
    assert (summary.done, summary.failed) == (30, 0)
    assert engine.closed == [2]


def test_each_trouble_is_the_same_as_in_one_process(run: Run, tmp_path: Path, engine: Any) -> None:
    bench = here("Troubled")[0]
    one, alone = run(benchmark=bench, sweeps=SWEEP)
    many, together = run(benchmark=bench, sweeps=SWEEP, engine=ENGINE, out=tmp_path / "many")
    pd.testing.assert_frame_equal(outcome(alone), outcome(together))
    assert sorted(one.problems) == sorted(many.problems)


def test_a_task_whose_worker_ended_is_tried_again_whole(
    run: Run, tmp_path: Path, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, alone = run(sweeps=SWEEP)

    def once(names: tuple[str, ...], settings: int) -> bool:
        return Counter(engine.sent)[names, settings] == 1 and "s4" in names

    monkeypatch.setattr(engine, "ends", staticmethod(once))
    _, together = run(sweeps=SWEEP, engine=ENGINE, out=tmp_path / "many", cache_size=0)
    pd.testing.assert_frame_equal(outcome(alone), outcome(together))
    assert Counter(engine.sent)[("s4", "s5", "s6", "s7"), 2] == 2
    assert engine.closed == [3]


def test_only_the_cell_that_ends_workers_is_given_up(
    run: Run, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = staticmethod(lambda names, settings: "s5" in names)
    monkeypatch.setattr(engine, "ends", deadly)
    summary, results = run(sweeps=SWEEP, engine=ENGINE)
    assert (summary.done, summary.failed) == (18, 2)
    failed = results[results["status"] == "failed"]
    assert set(failed["sample_id"]) == {"s5"}
    assert set(failed["error_type"]) == {"WorkerEnded"}
    assert set(failed["error"]) == {f"its worker ended {TRIES} times over it alone: a stone fell"}
    monkeypatch.undo()
    again, _ = run(sweeps=SWEEP)
    assert (again.done, again.failed, again.skipped) == (2, 0, 18)


def test_workers_that_cannot_begin_end_the_run(
    run: Run, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "lives", staticmethod(lambda number: False))
    with pytest.raises(WorkersFailed, match=f"{STILLBORN} workers in a row"):
        run(engine=ENGINE)
    assert len(engine.closed) == 1


def test_a_worker_that_cannot_begin_once_is_replaced(
    run: Run, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "lives", staticmethod(lambda number: number != 2))
    summary, _ = run(engine=ENGINE)
    assert (summary.done, summary.failed) == (10, 0)


def test_what_the_user_can_mend_is_raised_as_what_it_is(
    run: Run, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(self: FakeModels, *place: Any) -> Any:
        raise MissingWeights("no weights over there; get them with: magic")

    monkeypatch.setattr(FakeModels, "load", missing)
    with pytest.raises(MissingWeights, match="magic"):
        run(engine=ENGINE)


def test_a_worker_with_other_weights_is_not_believed(
    run: Run, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = Post.of

    def elsewhere(job: Job, threads: int) -> Post:
        told = post(job, threads)
        return Post(**{**vars(told), "model": FakeModel(weights="v2")})

    monkeypatch.setattr(Post, "of", elsewhere)
    with pytest.raises(WorkersFailed, match="other weights"):
        run(engine=ENGINE)


def test_damage_that_a_worker_finds_is_told(run: Run, tmp_path: Path, engine: Any) -> None:
    from icd_bench.run.caches.cache import inversions_home

    run()
    path = sorted(inversions_home().rglob("*.safetensors"))[0]
    path.write_bytes(b"")
    summary, _ = run(engine=ENGINE, out=tmp_path / "many")
    assert len(summary.problems) == 1
    assert summary.problems[0].startswith(f"{path}: damaged")


def test_workers_make_a_shared_inversion_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = f"{__file__}:LateEngine"
    monkeypatch.setattr(load_from_file(late), "sent", [[]])
    methods, models = here("Wash", "Glaze", "Copy", "Tint"), FakeModels()
    _, alone = run(methods=methods, batch_size=10, cache_size=0)
    _, together = run(models, methods=methods, batch_size=10, engine=late, out=tmp_path / "many")
    pd.testing.assert_frame_equal(outcome(alone), outcome(together))
    assert [len(ids) for ids in models.backbone.inverted] == [10, 10]
    order = [method for sent in load_from_file(late).sent for method in sent]
    assert order == ["Wash", "Copy", "Tint", "Glaze"], "who need not wait goes first"


def test_without_a_cache_nobody_waits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    late = f"{__file__}:LateEngine"
    monkeypatch.setattr(load_from_file(late), "sent", [[]])
    run(methods=here("Wash", "Glaze", "Tint"), batch_size=10, engine=late, cache_size=0)
    order = [method for sent in load_from_file(late).sent for method in sent]
    assert order == ["Wash", "Glaze", "Tint"]


def test_a_unit_waits_on_while_the_first_is_tried_again(
    run: Run, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = staticmethod(lambda names, settings: "s5" in names)
    monkeypatch.setattr(engine, "ends", deadly)
    summary, results = run(methods=here("Wash", "Glaze"), sweeps=SWEEP, engine=ENGINE)
    assert (summary.done, summary.failed) == (36, 4)
    assert set(results.loc[results["status"] == "failed", "sample_id"]) == {"s5"}
