"""The engine of a Ray cluster, of one machine or of many: an actor for each accelerator.

This process, the driver, reads pictures and writes the run folder; actors compute. They load the
model once, read and write the cache of inversions of their own machine, and see nothing of the run
folder. Ray is an extra: ``pip install icd-bench[ray]``.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from icd_bench.errors import UsageError, WorkersFailed
from icd_bench.run.engines.dispatch import Dispatcher, Ended, News
from icd_bench.run.engines.engine import FinishedCell, Job
from icd_bench.run.engines.processes import threads_of
from icd_bench.run.engines.tasks import Post, Task, Worker


class RayEngine:
    """Computes units in actors."""

    def run(self, job: Job) -> Generator[tuple[FinishedCell, ...], None, None]:
        """Yield finished cells, one batch a unit, in the order in which they are finished.

        Raises:
            UsageError: Ray is not installed.
            WorkersFailed: there is no cluster at the address, or it lacks accelerators.
        """
        ray = _import_ray()
        with _connected(ray, job):
            resource = "GPU" if job.device.startswith("cuda") else "CPU"
            available = int(ray.cluster_resources().get(resource, 0))
            count = workers_of(job.workers, available, resource)
            threads = max(1, available // count) if job.cluster else threads_of(count)
            share = {"num_gpus": 1} if resource == "GPU" else {"num_cpus": available // count}
            workers = RayWorkers(ray, Post.of(job, threads), share)
            yield from Dispatcher(job, workers, count).run()


def workers_of(asked: int | None, available: int, resource: str) -> int:
    """Return the number of workers, each of which takes one processor or accelerator.

    Raises:
        WorkersFailed: the cluster has fewer, or none.
    """
    count = asked or available
    if not 1 <= count <= available:
        raise WorkersFailed(
            f"--workers {count}: the cluster has {available} {resource}s; each worker takes one"
        )
    return count


class RayWorkers:
    """Actors of a cluster.

    Args:
        ray: the module, connected.
        post: what they are told.
        share: what of the cluster each one takes.
    """

    def __init__(self, ray: Any, post: Post, share: dict[str, int]) -> None:
        self._ray = ray
        self._post = ray.put(post)
        self._actor = ray.remote(Worker).options(max_restarts=0, max_task_retries=0, **share)
        self._number = 0
        self._actors: dict[int, Any] = {}
        self._pending: dict[Any, int] = {}

    def start(self) -> int:
        """Begin an actor, where the cluster has room."""
        self._number += 1
        actor = self._actor.remote(self._post)
        self._actors[self._number] = actor
        self._pending[actor.begin.remote()] = self._number
        return self._number

    def send(self, worker: int, task: Task) -> None:
        """Give a task to an actor; that it has ended is found when it is waited for."""
        self._pending[self._actors[worker].compute.remote(task)] = worker

    def wait(self) -> tuple[int, News]:
        """Wait for an actor to answer or to end."""
        (reference,), _ = self._ray.wait(list(self._pending), num_returns=1)
        worker = self._pending.pop(reference)
        try:
            news: News = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._end(worker)
            return worker, Ended(str(error).strip().partition("\n")[0])
        return worker, news

    def close(self) -> None:
        """End all actors."""
        for worker in list(self._actors):
            self._end(worker)
        self._pending.clear()

    def _end(self, worker: int) -> None:
        self._ray.kill(self._actors.pop(worker), no_restart=True)


@contextmanager
def _connected(ray: Any, job: Job) -> Iterator[None]:
    """Connect to the job's cluster, or start one of this machine's processors and accelerators.

    One that is connected already is used and left as it is.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    place: dict[str, Any] = {"address": job.cluster}
    if job.cluster is None:
        # Workers may share a processor of this machine; those of others are as their owner says.
        processors = max(os.cpu_count() or 1, job.workers or 1)
        place = {"include_dashboard": False, "num_cpus": processors}
    try:
        ray.init(logging_level="ERROR", **place)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise WorkersFailed(f"--ray-address {job.cluster or 'local'}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "--engine ray: Ray is not installed; get it with: pip install icd-bench[ray]"
        ) from error
    return ray
