"""Hands units to workers, takes their answers, and outlives the workers.

Each worker has one task at a time, and as many as there are workers lie prepared, so memory is
bounded. A worker that ends (killed, out of memory, crashed or hanging in native code) is replaced,
and its task is tried again: whole, so that its bits stay those of any other run, then in parts,
so that only a cell that ends its worker by itself is given up.

Units of several methods may share inversions. While one of them is computed the others wait, and
units after them go first, so that each inversion is made once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, replace
from typing import Protocol

from icd_bench.errors import BadSample, WorkersFailed
from icd_bench.run.engines.engine import Failure, FinishedCell, Job, Unit
from icd_bench.run.engines.tasks import Answer, Ready, Refusal, Task
from icd_bench.run.reading.prepare import Prepared

TRIES = 2
"""How often a task may end its worker before it is taken apart or given up."""
STILLBORN = 3
"""Workers in a row that end before they have loaded the model: then the run ends."""


@dataclass(frozen=True)
class Ended:
    """A worker is no more."""

    reason: str


News = Ready | Answer | Refusal | Ended


class Workers(Protocol):
    """Processes that compute, here or elsewhere."""

    def start(self) -> int:
        """Begin a worker and return its number; its news will be that it is ready."""

    def send(self, worker: int, task: Task) -> None:
        """Give a task to a worker that has none."""

    def wait(self) -> tuple[int, News]:
        """Wait for news and return them with the number of the worker."""

    def close(self) -> None:
        """End all workers."""


@dataclass(frozen=True)
class Attempt:
    """A unit with its pictures, and how often it ended its worker."""

    unit: Unit
    pictures: tuple[Prepared, ...]
    inversions: frozenset[str]
    """Keys of its rows' inversions."""
    ends: int = 0

    @classmethod
    def of(cls, job: Job, unit: Unit, pictures: tuple[Prepared, ...]) -> Attempt:
        """Return the first attempt at a unit."""
        return cls(unit, pictures, keys_of(job, unit))

    def parts(self, job: Job) -> list[Attempt]:
        """Return an attempt for each sample, or for each setting of one sample."""
        unit = self.unit
        if len(unit.rows) > 1:
            return [
                Attempt.of(job, replace(unit, rows=(row,)), (prepared,))
                for row, prepared in zip(unit.rows, self.pictures, strict=True)
            ]
        units = [replace(unit, settings=(one,)) for one in unit.settings]
        return [Attempt.of(job, one, self.pictures) for one in units]


def keys_of(job: Job, unit: Unit) -> frozenset[str]:
    """Return the keys of the inversions of a unit's rows."""
    return frozenset(job.inversion_key(unit.group, row) for row in unit.rows)


class Dispatcher:
    """One job and its workers.

    Args:
        job: what to compute.
        workers: where; closed at the end.
        count: how many of them.
    """

    def __init__(self, job: Job, workers: Workers, count: int) -> None:
        self._job = job
        self._workers = workers
        self._count = count
        self._units = job.units()
        self._passed: deque[tuple[Unit, frozenset[str]]] = deque()
        """Units that wait for inversions, and the keys of theirs."""
        self._made: set[str] = set()
        """Inversions of units that were computed: whoever needs one finds it, or never will."""
        self._prepared: deque[Attempt] = deque()
        self._busy: dict[int, Attempt | None] = {}
        """Worker -> its task; None while it loads the model."""
        self._idle: list[int] = []
        self._stillborn = 0

    def run(self) -> Iterator[tuple[FinishedCell, ...]]:
        """Yield finished cells, a task's at once; every missing cell exactly once.

        Raises:
            WorkersFailed: workers end before they can begin, or have other weights or code.
            IcdBenchError: what a worker found that the user can mend.
        """
        try:
            while True:
                yield from self._prepare()
                self._hand_out()
                if not self._prepared and not any(self._busy.values()):
                    return
                worker, news = self._workers.wait()
                yield from self._take(worker, news)
        finally:
            self._workers.close()

    def _prepare(self) -> Iterator[tuple[FinishedCell, ...]]:
        """Read pictures ahead; samples that cannot be read are finished cells already."""
        while len(self._prepared) < self._count:
            unit = self._next_unit()
            if unit is None:
                return
            found = self._job.read_pictures([row.sample for row in unit.rows])
            usable = []
            for row, pictures in zip(unit.rows, found, strict=True):
                if isinstance(pictures, BadSample):
                    yield self._failed(replace(unit, rows=(row,)), Failure.of("sample", pictures))
                else:
                    usable.append((row, pictures))
            if usable:
                rows, pictures_of = zip(*usable, strict=True)
                attempt = Attempt.of(self._job, replace(unit, rows=rows), pictures_of)
                self._prepared.append(attempt)

    def _next_unit(self) -> Unit | None:
        """Return the next unit that waits for no inversion; None where there is none now."""
        begun = [attempt for attempt in self._busy.values() if attempt]
        taken = self._taken([*begun, *self._prepared])
        for place, (unit, keys) in enumerate(self._passed):
            if not self._waits(keys, taken):
                del self._passed[place]
                return unit
        for unit in self._units:
            keys = keys_of(self._job, unit)
            if not self._waits(keys, taken):
                return unit
            self._passed.append((unit, keys))
        return None

    def _taken(self, attempts: Iterable[Attempt]) -> set[str]:
        return {key for attempt in attempts for key in attempt.inversions}

    def _waits(self, keys: Set[str], taken: Set[str]) -> bool:
        """Return whether some inversions are about to be made by those who have taken them."""
        return bool(self._job.inversions.lacking((keys & taken) - self._made))

    def _hand_out(self) -> None:
        to_do = len(self._prepared) + len(self._passed) + sum(map(bool, self._busy.values()))
        while len(self._busy) + len(self._idle) < min(self._count, to_do):
            self._busy[self._workers.start()] = None
        while self._idle and (attempt := self._next_attempt()):
            worker = self._idle.pop()
            self._busy[worker] = attempt
            self._workers.send(worker, Task.of(attempt.unit, attempt.pictures))

    def _next_attempt(self) -> Attempt | None:
        """Return the first prepared attempt that waits for no inversion; None: all do."""
        taken = self._taken(attempt for attempt in self._busy.values() if attempt)
        for place, attempt in enumerate(self._prepared):
            if not self._waits(attempt.inversions, taken):
                del self._prepared[place]
                return attempt
        return None

    def _take(self, worker: int, news: News) -> Iterator[tuple[FinishedCell, ...]]:
        attempt = self._busy.pop(worker, None)
        match news:
            case Refusal():
                news.throw()
            case Ready():
                self._stillborn = 0
                self._idle.append(worker)
            case Answer():
                assert attempt is not None, "an answer has its question"
                self._idle.append(worker)
                self._made |= attempt.inversions
                self._job.inversions.problems.extend(news.problems)
                yield self._finished(attempt.unit, news)
            case Ended():
                if worker in self._idle:
                    self._idle.remove(worker)
                elif attempt is None:
                    self._count_stillborn(news)
                else:
                    yield from self._again(replace(attempt, ends=attempt.ends + 1), news)

    def _count_stillborn(self, ended: Ended) -> None:
        self._stillborn += 1
        if self._stillborn == STILLBORN:
            raise WorkersFailed(
                f"{STILLBORN} workers in a row ended before they had loaded the model: "
                f"{ended.reason}; give fewer --workers, or look at their output"
            )

    def _again(self, attempt: Attempt, ended: Ended) -> Iterator[tuple[FinishedCell, ...]]:
        unit = attempt.unit
        if attempt.ends < TRIES:
            self._prepared.appendleft(attempt)
        elif len(unit.rows) * len(unit.settings) > 1:
            self._prepared.extendleft(reversed(attempt.parts(self._job)))
        else:
            message = f"its worker ended {TRIES} times over it alone: {ended.reason}"
            yield self._failed(unit, Failure("edit", "WorkerEnded", message))

    def _finished(self, unit: Unit, answer: Answer) -> tuple[FinishedCell, ...]:
        cells = {cell.id: cell for cell in unit.cells(self._job.plan)}
        if set(answer.cells) != set(cells):
            raise WorkersFailed(
                f"a worker computed other cells of {unit.method.info.name} than it was asked for: "
                "it has other weights or another version; make all machines alike"
            )
        return tuple(FinishedCell(cells[i], **facts) for i, facts in answer.cells.items())

    def _failed(self, unit: Unit, failure: Failure) -> tuple[FinishedCell, ...]:
        return tuple(FinishedCell(cell, failure=failure) for cell in unit.cells(self._job.plan))
