"""The engine of several processes on this machine; one of them may crash or hang.

Workers begin anew instead of being forked: they inherit neither the run folder's lock nor threads
nor an accelerator's state.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from icd_bench.run.engines.dispatch import Dispatcher, Ended, News
from icd_bench.run.engines.engine import FinishedCell, Job
from icd_bench.run.engines.tasks import Post, Task, Worker

VISIBLE = "CUDA_VISIBLE_DEVICES"


class ProcessEngine:
    """Computes units in processes of this machine."""

    def run(self, job: Job) -> Generator[tuple[FinishedCell, ...], None, None]:
        """Yield finished cells, one batch a unit, in the order in which they are finished."""
        accelerators = visible_accelerators() if job.device.startswith("cuda") else []
        count = job.workers or len(accelerators) or 1
        threads = threads_of(count)
        workers = LocalWorkers(Post.of(job, threads), accelerators)
        yield from Dispatcher(job, workers, count).run()


class LocalWorkers:
    """Processes of this machine.

    Args:
        post: what they are told.
        accelerators: names, as in ``CUDA_VISIBLE_DEVICES``; each worker sees one, in turn.
    """

    def __init__(self, post: Post, accelerators: list[str]) -> None:
        self._post = post
        self._accelerators = accelerators
        self._context = get_context("spawn")
        self._number = 0
        self._processes: dict[int, SpawnProcess] = {}
        self._connections: dict[Connection, int] = {}

    def start(self) -> int:
        """Begin a process."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs, self._post), daemon=True)
        with seeing(self._accelerator()):
            process.start()
        theirs.close()
        self._number += 1
        self._processes[self._number] = process
        self._connections[ours] = self._number
        return self._number

    def send(self, worker: int, task: Task) -> None:
        """Give a task to a process; that it has ended is found when it is waited for."""
        ours = next(one for one, number in self._connections.items() if number == worker)
        try:
            ours.send(task)
        except (BrokenPipeError, ConnectionResetError):
            return

    def wait(self) -> tuple[int, News]:
        """Wait for a process to answer or to end."""
        ours = connection.wait(list(self._connections))[0]
        assert isinstance(ours, Connection)
        worker = self._connections[ours]
        try:
            news: News = ours.recv()
        except (EOFError, ConnectionResetError):
            del self._connections[ours]
            ours.close()
            process = self._processes.pop(worker)
            process.join()
            return worker, Ended(_reason(process.exitcode))
        return worker, news

    def close(self) -> None:
        """End all processes."""
        for ours in self._connections:
            ours.close()
        for process in self._processes.values():
            process.kill()
            process.join()
        self._connections.clear()
        self._processes.clear()

    def _accelerator(self) -> str | None:
        if not self._accelerators:
            return None
        return self._accelerators[self._number % len(self._accelerators)]


def serve(theirs: Connection, post: Post) -> None:
    """Compute what comes through a connection until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    threading.Thread(target=end_with_parent, daemon=True).start()
    worker = Worker(post)
    theirs.send(worker.begin())
    while True:
        try:
            task: Task = theirs.recv()
        except EOFError:
            return
        theirs.send(worker.compute(task))


@contextmanager
def seeing(accelerator: str | None) -> Iterator[None]:
    """Let the processes that are begun inside see one accelerator; None: what this one sees."""
    if accelerator is None:
        yield
        return
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = accelerator
    try:
        yield
    finally:
        del os.environ[VISIBLE]
        if before is not None:
            os.environ[VISIBLE] = before


def visible_accelerators() -> list[str]:
    """Return the accelerators of this machine as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    named = os.environ.get(VISIBLE)
    return named.split(",") if named else [str(n) for n in range(torch.cuda.device_count())]


def threads_of(workers: int) -> int:
    """Return the threads of torch that one of several workers of this machine may use."""
    import torch

    return max(1, torch.get_num_threads() // workers)


def end_with_parent() -> None:
    """Wait until the process that began this one is no more, and end this one too."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _reason(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"killed by {signal.Signals(-exitcode).name}"
    if exitcode == 1:
        return "it hung beyond its time limit, or crashed; see its output above"
    return f"exit code {exitcode}"
