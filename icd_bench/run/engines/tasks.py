"""Units of work as plain data, and the worker that computes them in another process.

A worker has the backbone and the cache of inversions, and nothing else of the run: it is sent
pictures and settings, and sends back PNG files and facts. Cells are named by their content, so an
answer about a cell that was not asked for says that the worker's weights or code are others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from inspect import getsourcefile
from typing import TYPE_CHECKING, Any, NoReturn

from icd_bench import errors, registry
from icd_bench.api import BenchmarkInfo, Method, Sample, Setting
from icd_bench.errors import IcdBenchError
from icd_bench.run.caches.inversions import InversionStore
from icd_bench.run.engines.engine import Engine, FinishedCell, Job, Unit
from icd_bench.run.planning.plan import Plan, PlannedMethod
from icd_bench.run.planning.rows import Row
from icd_bench.run.planning.sources import Model
from icd_bench.run.reading.prepare import Prepared

if TYPE_CHECKING:
    from icd_bench.diffusion.backbone import Backbone


@dataclass(frozen=True)
class Post:
    """What a worker is told before its first task."""

    load_backbone: Callable[[], Backbone]
    inversions: InversionStore
    model: Model
    benchmark: BenchmarkInfo
    seed: int
    protocol: str
    timeout: float | None
    device: str
    dtype: str
    threads: int
    """Threads of torch on a processor."""

    @classmethod
    def of(cls, job: Job, threads: int) -> Post:
        """Return the post of every worker of a job."""
        plan = job.plan
        return cls(
            job.load_backbone,
            job.inversions,
            plan.model,
            plan.benchmark,
            plan.seed,
            plan.protocol,
            job.timeout,
            job.device,
            job.dtype,
            threads,
        )


@dataclass(frozen=True)
class Task:
    """One unit: every one of the samples with every one of the settings."""

    method: str
    """Its name, or ``./file.py:Class``."""
    settings: tuple[Mapping[str, Any], ...]
    rows: tuple[tuple[int, Sample, Prepared], ...]
    """Place in the benchmark, the sample without its readers, and its source picture."""

    @classmethod
    def of(cls, unit: Unit, pictures: Sequence[Prepared]) -> Task:
        """Return a unit whose samples have these pictures as a task."""
        return cls(
            reference_of(unit.method),
            tuple(setting.model_dump(mode="json") for setting in unit.settings),
            tuple(
                (row.index, _without_readers(row.sample), Prepared(prepared.source))
                for row, prepared in zip(unit.rows, pictures, strict=True)
            ),
        )


@dataclass(frozen=True)
class Ready:
    """A worker has loaded the model."""


@dataclass(frozen=True)
class Answer:
    """What came of a task."""

    cells: Mapping[str, Mapping[str, Any]]
    """Cell id -> fields of its ``FinishedCell``."""
    problems: tuple[str, ...]
    """What a person must be told."""


@dataclass(frozen=True)
class Refusal:
    """An error that no other worker would avoid."""

    type: str
    message: str

    @classmethod
    def of(cls, error: Exception) -> Refusal:
        """Describe an error for another process."""
        return cls(type(error).__name__, str(error))

    def throw(self) -> NoReturn:
        """Raise the error here.

        Raises:
            IcdBenchError: of its own type where that is one that a user can mend.
            RuntimeError: any other.
        """
        kind = getattr(errors, self.type, None)
        if isinstance(kind, type) and issubclass(kind, IcdBenchError):
            raise kind(self.message)
        raise RuntimeError(f"{self.type}: {self.message}")


class Worker:
    """Computes tasks with one backbone, in a process of its own."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._engine: Engine = registry.engines.load("inline")()
        self._backbone: Backbone | None = None

    def begin(self) -> Ready | Refusal:
        """Load the model."""
        import torch

        torch.set_num_threads(self._post.threads)
        try:
            self._backbone = self._post.load_backbone()
        except Exception as error:  # the driver decides
            return Refusal.of(error)
        return Ready()

    def compute(self, task: Task) -> Answer | Refusal:
        """Compute a task; what fails in a cell is part of the answer."""
        try:
            job = self._job(task)
            cells = {
                finished.cell.id: _facts(finished.encoded())
                for batch in self._engine.run(job)
                for finished in batch
            }
        except Exception as error:  # the driver decides
            return Refusal.of(error)
        problems = tuple(job.inversions.problems)
        job.inversions.problems.clear()
        return Answer(cells, problems)

    def _job(self, task: Task) -> Job:
        post, backbone = self._post, self._backbone
        assert backbone is not None, "begin comes first"
        method: Method = registry.methods.load(task.method)()
        settings: tuple[Setting, ...] = tuple(
            method.Setting.model_validate(values) for values in task.settings
        )
        pictures = {sample.id: prepared for _, sample, prepared in task.rows}
        plan = Plan(
            methods=(PlannedMethod(method, settings, default=settings[0]),),
            benchmark=post.benchmark,
            split="",
            model=post.model,
            rows=tuple(Row(index, sample) for index, sample, _ in task.rows),
            unusable=(),
            seed=post.seed,
            metrics=(),
            protocol=post.protocol,
        )
        return Job(
            plan=plan,
            done=frozenset(),
            load_backbone=lambda: backbone,
            read_pictures=lambda samples: [pictures[sample.id] for sample in samples],
            inversions=post.inversions,
            batch_size=len(task.rows),
            timeout=post.timeout,
            expendable=True,
            device=post.device,
            dtype=post.dtype,
        )


def reference_of(method: Method) -> str:
    """Return the name under which another process finds a method: registered, or of its file."""
    kind, name = type(method), method.info.name
    if name in registry.methods.names() and registry.methods.load(name) is kind:
        return name
    return f"{getsourcefile(kind)}:{kind.__qualname__}"


def _without_readers(sample: Sample) -> Sample:
    return replace(
        sample,
        read_image=_unread,
        read_mask=None,
        read_target=None,
        metadata=dict(sample.metadata),
    )


def _unread() -> NoReturn:
    raise RuntimeError("a worker is sent its pictures")


def _facts(finished: FinishedCell) -> dict[str, Any]:
    return {f.name: getattr(finished, f.name) for f in fields(finished) if f.name != "cell"}
