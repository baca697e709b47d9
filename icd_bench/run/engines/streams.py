"""Several units at once on one processor, each in a thread with a share of the cores.

A network's call over all cores waits at the end of every layer for the slowest of them; calls side
by side do not wait for each other.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from icd_bench.run.engines.engine import Job

T = TypeVar("T")
R = TypeVar("R")

MOST_STREAMS = 4
"""Each holds the activations of a batch in memory."""
LEAST_UNITS = 2
"""Units for each stream of a run that is worth dividing; a shorter one would end on one core."""

PATIENCE_SECONDS = 1.0

_END: Final[Any] = object()


def count_streams(job: Job) -> int:
    """Return how many units of a job are computed at once in this process.

    It depends on the whole plan and not on what is done already, so that a run that goes on makes
    the bits of one that was not interrupted. An accelerator computes one unit after the other, and
    so does a job with a time limit: only the main thread can be interrupted wherever it hangs.
    """
    if job.device != "cpu" or job.timeout is not None:
        return 1
    import torch

    streams = min(MOST_STREAMS, torch.get_num_threads())
    return streams if job.units_in_all >= LEAST_UNITS * streams else 1


def side_by_side(items: Iterable[T], workers: Sequence[Callable[[T], R]]) -> Iterator[R]:
    """Yield what workers make of items, in the order in which they finish.

    Each worker has a thread and its share of this process's cores. Leaving early, as Ctrl-C does,
    stops the workers at their next line of Python.

    Args:
        items: iterated in the thread of the caller.
        workers: called with one item at a time; what one raises is raised here.
    """
    import torch

    cores = torch.get_num_threads()
    finished: SimpleQueue[tuple[_Stream[T, R], R | _Raised]] = SimpleQueue()
    streams = [_Stream(worker, finished, max(1, cores // len(workers))) for worker in workers]
    source = iter(items)
    try:
        busy = sum(stream.give(next(source, _END)) for stream in streams)
        while busy:
            stream, result = finished.get()
            if isinstance(result, _Raised):
                raise result.error
            busy += stream.give(next(source, _END)) - 1
            yield result
    finally:
        for stream in streams:
            stream.close()
        torch.set_num_threads(cores)  # it is that of threads to come, too


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Stopped(BaseException):
    """Raised in the thread of a stream whose work nobody wants any more."""


class _Stream(Generic[T, R]):
    """A thread that hands items to a worker."""

    def __init__(
        self,
        worker: Callable[[T], R],
        finished: SimpleQueue[tuple[_Stream[T, R], R | _Raised]],
        cores: int,
    ) -> None:
        self._worker, self._finished, self._cores = worker, finished, cores
        self._items: SimpleQueue[T] = SimpleQueue()
        self._working = False
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._thread.start()

    def give(self, item: T) -> bool:
        """Hand over an item, or the end; return whether it is to be worked on."""
        self._items.put(item)
        return item is not _END

    def close(self) -> None:
        """End the thread, also amid its work."""
        if self._working:
            self._interrupt()
        self._items.put(_END)
        while self._thread.is_alive():
            self._thread.join(PATIENCE_SECONDS)
            if self._working:  # somebody's code swallowed the interrupt
                self._interrupt()

    def _interrupt(self) -> None:
        number, error = ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(_Stopped)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(number, error)

    def _run(self) -> None:
        import torch

        try:
            torch.set_num_threads(self._cores)
            while (item := self._items.get()) is not _END:
                self._working = True
                result = self._attempt(item)
                self._working = False
                self._finished.put((self, result))
        except _Stopped:
            self._working = False

    def _attempt(self, item: T) -> R | _Raised:
        try:
            return self._worker(item)
        except _Stopped:
            raise
        except BaseException as error:  # raised again in the thread of the caller
            return _Raised(error)
