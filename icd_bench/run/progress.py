"""What a person sees of a run: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """Is told of stages, of finished units of work, and of what must be said."""

    def stage(self, title: str, total: int, done: int = 0) -> None:
        """Begin a stage of ``total`` units, ``done`` of which need no work."""

    def advance(self, count: int, failed: int = 0, seconds_left: float | None = None) -> None:
        """Count finished units.

        Args:
            count: units that are finished.
            failed: how many of them failed.
            seconds_left: how long the rest of the stage takes; None: as the units so far.
        """

    def say(self, line: str) -> None:
        """Show one line."""

    def close(self) -> None:
        """End the last stage."""


class RememberingProgress:
    """Passes everything on and keeps what was said."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self.lines: list[str] = []

    def stage(self, title: str, total: int, done: int = 0) -> None:
        """Begin a stage."""
        self._shown.stage(title, total, done)

    def advance(self, count: int, failed: int = 0, seconds_left: float | None = None) -> None:
        """Count finished units."""
        self._shown.advance(count, failed, seconds_left)

    def say(self, line: str) -> None:
        """Show a line, once."""
        if line not in self.lines:
            self.lines.append(line)
            self._shown.say(line)

    def close(self) -> None:
        """End the last stage."""
        self._shown.close()


class QuietProgress:
    """Shows nothing."""

    def stage(self, title: str, total: int, done: int = 0) -> None:
        """Do nothing."""

    def advance(self, count: int, failed: int = 0, seconds_left: float | None = None) -> None:
        """Do nothing."""

    def say(self, line: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@dataclass
class _Stage:
    title: str
    total: int
    skipped: int
    start: float
    done: int = 0
    """Finished in this run, beside those skipped."""
    failed: int = 0
    seconds_left: float | None = None
    """None: as the units so far."""
    written: int = 0
    """Value of ``done`` in the last line."""

    def advance(self, count: int, failed: int, seconds_left: float | None) -> None:
        """Count finished units."""
        self.done += count
        self.failed += failed
        self.seconds_left = seconds_left

    def rate(self, now: float) -> str:
        """Return the throughput."""
        return f"{self.done / max(now - self.start, 1e-9):.3g}/s"

    def time_left(self, now: float) -> str:
        """Return the time left in words; empty when nothing is left."""
        units = self.total - self.skipped - self.done
        if not units:
            return ""
        seconds = self.seconds_left
        if seconds is None:
            seconds = (now - self.start) * units / self.done
        return f"{duration(seconds)} left"

    def line(self, now: float) -> str:
        """Return counts, throughput and time left or taken."""
        failed = f", {self.failed} failed" if self.failed else ""
        counts = f"{self.title}: {self.skipped + self.done}/{self.total}{failed}"
        left = self.time_left(now)
        told = f", {left}" if left else f" in {duration(now - self.start)}"
        return f"{counts}, {self.rate(now)}{told}"


class PlainProgress:
    """Writes a line now and then, for logs."""

    def __init__(self, stream: TextIO, interval: float = SECONDS_BETWEEN_LINES) -> None:
        self._stream = stream
        self._interval = interval
        self._stage: _Stage | None = None
        self._shown = 0.0

    def stage(self, title: str, total: int, done: int = 0) -> None:
        """Begin a stage."""
        self.close()
        self._shown = time.monotonic()
        self._stage = _Stage(title, total, done, start=self._shown)
        kept = f", {done} of them done before" if done else ""
        self.say(f"{title}: {total} cells{kept}")

    def advance(self, count: int, failed: int = 0, seconds_left: float | None = None) -> None:
        """Count, and write a line where the last one is old enough."""
        if self._stage is None:
            return
        self._stage.advance(count, failed, seconds_left)
        now = time.monotonic()
        if now - self._shown >= self._interval:
            self._write(self._stage, now)

    def say(self, line: str) -> None:
        """Write a line."""
        print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Write the last state of the stage."""
        if self._stage and self._stage.done > self._stage.written:
            self._write(self._stage, time.monotonic())
        self._stage = None

    def _write(self, stage: _Stage, now: float) -> None:
        self._shown, stage.written = now, stage.done
        self.say(stage.line(now))


class BarProgress:
    """A bar with throughput and time left."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )
        from rich.progress import Progress as RichBar

        self._bar: Bar = RichBar(
            SpinnerColumn(),
            TextColumn("{task.description:<6}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", style="cyan"),
            TextColumn("{task.fields[failed]}", style="red", markup=False),
            console=Console(file=stream),
        )
        self._stage: _Stage | None = None
        self._task: TaskID | None = None

    def stage(self, title: str, total: int, done: int = 0) -> None:
        """Begin a bar below the earlier ones."""
        self._bar.start()
        self._stage = _Stage(title, total, done, start=time.monotonic())
        self._task = self._bar.add_task(
            title, total=total, completed=done, rate="", left="", failed=""
        )

    def advance(self, count: int, failed: int = 0, seconds_left: float | None = None) -> None:
        """Move the bar."""
        if self._task is None or self._stage is None:
            return
        self._stage.advance(count, failed, seconds_left)
        now = time.monotonic()
        self._bar.update(
            self._task,
            advance=count,
            rate=self._stage.rate(now),
            left=self._stage.time_left(now),
            failed=f"{self._stage.failed} failed" if self._stage.failed else "",
        )

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        self._bar.console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the bars as they are."""
        self._bar.stop()
        self._task = None


def make_progress(quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """Return the progress that fits where it is shown (default: standard error)."""
    stream = stream or sys.stderr
    if quiet:
        return QuietProgress()
    return BarProgress(stream) if stream.isatty() else PlainProgress(stream)


def duration(seconds: float) -> str:
    """Return seconds as "42 s", "3 min 20 s" or "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
