"""Samples read, fitted to the model and encoded for the run folder: what of them needs a processor.

Threads do it as long as there is little to read. Pillow decodes, resizes and compresses outside
Python's lock, but the rest (opening, converting, plugins' own code) holds it, and competes with the
thread that keeps an accelerator busy. Where what is left to read costs more than processes cost to
begin, processes do it: they have locks of their own, and give the same bits.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import SimpleQueue
from subprocess import Popen

from icd_bench.api import Sample
from icd_bench.errors import BadSample
from icd_bench.protocols import NATIVE, Protocol
from icd_bench.run.reading.prepare import Prepared, prepare, to_png

READERS = 8
"""Samples that are read at once, at most."""
WORTH_PROCESSES = 20.0
"""Processor seconds of reading that are left, from which on processes are begun.

A process costs 0.4 of them and 0.6 s of waiting before it reads; up to eight are begun. What they
save was measured as between nothing and a third (``tests/performance/reading.py``).
"""


@dataclass(frozen=True)
class ReadSample:
    """The pictures of a sample, and their files."""

    pictures: Prepared
    files: Mapping[str, bytes]
    """``source``, ``target``, ``mask`` -> PNG file, of those that there are."""


@dataclass(frozen=True)
class Fit:
    """How pictures become those of a run."""

    resolution: int
    protocol: Protocol = NATIVE

    def read(self, sample: Sample) -> ReadSample | BadSample:
        """Return what a sample's pictures become, or why it cannot be used."""
        try:
            pictures = prepare(sample, self.resolution, self.protocol)
        except BadSample as error:
            return error
        arrays = {kind: array for kind, array in vars(pictures).items() if array is not None}
        return ReadSample(pictures, {kind: to_png(array) for kind, array in arrays.items()})


class SampleReader:
    """Reads samples, several at once, and begins processes for it where that pays.

    Args:
        fit: how pictures become those of the run.
        expected: samples that may be read in all; 0 where that is unknown: threads read.
        worth: see ``WORTH_PROCESSES``.
    """

    def __init__(self, fit: Fit, expected: int = 0, worth: float = WORTH_PROCESSES) -> None:
        self._fit = fit
        self._expected = expected
        self._worth = worth
        self._read = 0
        self._seconds = 0.0
        self.processes: ReaderProcesses | None = None

    def read(self, samples: Sequence[Sample]) -> list[ReadSample | BadSample]:
        """Return what each sample's pictures become, or why it cannot be used."""
        if self.processes is None and self._seconds_left() > self._worth:
            self._begin()
        if self.processes is not None:
            return self.processes.read(samples)
        with ThreadPoolExecutor(READERS) as pool:
            found = list(pool.map(self._timed, samples))
        self._read += len(found)
        self._seconds += sum(seconds for _, seconds in found)
        return [sample for sample, _ in found]

    def close(self) -> None:
        """End the processes, if there are any."""
        if self.processes is not None:
            self.processes.close()
            self.processes = None
            self._expected = 0

    def _begin(self) -> None:
        count = usable_processors()
        try:
            self.processes = ReaderProcesses(self._fit, count) if count else None
        except OSError:  # no memory for them, no rights: threads go on
            self._expected = 0

    def _seconds_left(self) -> float:
        """Return the processor seconds that the rest costs if it is like what was read."""
        if not self._read:
            return 0.0
        return (self._expected - self._read) * self._seconds / self._read

    def _timed(self, sample: Sample) -> tuple[ReadSample | BadSample, float]:
        start = time.thread_time()
        found = self._fit.read(sample)
        return found, time.thread_time() - start


@dataclass(frozen=True)
class ReaderProcess:
    """A process that reads samples one after the other, and the way to it."""

    process: Popen[bytes]
    way: Connection

    @classmethod
    def begin(cls, fit: Fit) -> ReaderProcess:
        """Begin a process in a group of its own, for Ctrl-C is not meant for it.

        It is a program of its own, which never runs the user's main module again.
        """
        ours, theirs = Pipe()
        command = [sys.executable, "-P", "-m", "icd_bench.run.reading.reader_process"]
        with theirs:
            process = Popen(
                [*command, str(theirs.fileno())], pass_fds=[theirs.fileno()], process_group=0
            )
        ours.send(fit)
        return cls(process, ours)

    def read(self, sample: Sample) -> ReadSample | BadSample | None:
        """Return what the sample's pictures become; None where only this process can tell.

        Raises:
            EOFError, OSError: the process is no more.
        """
        try:
            self.way.send(replace(sample, metadata={}))
        except OSError:
            raise
        except Exception:  # whatever a plugin's readers hold that cannot be sent
            return None
        answer: ReadSample | BadSample | None = self.way.recv()
        return answer

    def end(self) -> None:
        """End the process."""
        self.way.close()
        self.process.kill()
        self.process.wait()


class ReaderProcesses:
    """Processes that read samples; what they cannot read, and what dies with them, is read here.

    They import no torch, and end with :meth:`close` or with this process.

    Args:
        fit: how pictures become those of the run.
        count: of processes.
    """

    def __init__(self, fit: Fit, count: int) -> None:
        self._fit = fit
        self.running = [ReaderProcess.begin(fit) for _ in range(count)]
        self._threads = ThreadPoolExecutor(count, "reader")
        self._idle: SimpleQueue[ReaderProcess | None] = SimpleQueue()
        """A place for each thread; None where its process is no more."""
        for process in self.running:
            self._idle.put(process)

    def read(self, samples: Sequence[Sample]) -> list[ReadSample | BadSample]:
        """Return what each sample's pictures become, or why it cannot be used."""
        return list(self._threads.map(self._read, samples))

    def close(self) -> None:
        """End the processes."""
        self._threads.shutdown(cancel_futures=True)
        for process in self.running:
            process.end()
        self.running.clear()

    def _read(self, sample: Sample) -> ReadSample | BadSample:
        process, answer = self._idle.get(), None
        if process is not None:
            try:
                answer = process.read(sample)
            except (EOFError, OSError):  # it was killed
                self.running.remove(process)
                process.end()
                process = None
        self._idle.put(process)
        return self._fit.read(sample) if answer is None else answer


def serve(way: Connection) -> None:
    """Read the samples that come until the way to them is closed."""
    fit: Fit = way.recv()
    while True:
        try:
            answer = fit.read(way.recv())
        except (EOFError, ConnectionError):
            return
        except Exception:  # the process that asks reads it itself, and raises what there is
            answer = None
        way.send(answer)


def usable_processors() -> int:
    """Return how many processes read at once: one on each processor, none where it cannot be."""
    if os.name != "posix":
        return 0
    known = getattr(os, "sched_getaffinity", None)
    return min(READERS, len(known(0)) if known else os.cpu_count() or 1)
