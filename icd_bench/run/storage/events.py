"""The append-only log of a run: one JSON line an event, one file a process.

A batch of finished cells is one line, so that after a crash it is there in whole or not at all.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from icd_bench.errors import CorruptRun
from icd_bench.run.storage.files import sync_folder

Event = dict[str, Any]
EVENT_FILE = re.compile(r"\d+-[\w-]+\.jsonl", re.ASCII)


class EventWriter:
    """Appends events to a new file of this process; durable when ``append`` returns."""

    def __init__(self, folder: Path, writer: str = "main") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        numbers = [int(path.name.split("-")[0]) for path in event_files(folder)]
        self.path = folder / f"{max(numbers, default=0) + 1:06d}-{writer}.jsonl"
        self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115 - closed by close()
        sync_folder(folder)

    def append(self, event: Event) -> None:
        """Write one event; on a full disk the torn line is taken back before the error is raised.

        Raises:
            OSError: the disk is full or gone.
        """
        start = self._file.tell()
        line = json.dumps(event, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        try:
            written = 0
            while written < len(line):
                written += self._file.write(line[written:]) or 0
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(start)
            self._file.seek(start)
            raise

    def close(self) -> None:
        """Close the file; an empty one is removed."""
        self._file.close()
        if self.path.stat().st_size == 0:
            self.path.unlink()


def event_files(folder: Path) -> list[Path]:
    """Return the event files in the order in which they were begun."""
    return sorted(path for path in folder.glob("*.jsonl") if EVENT_FILE.fullmatch(path.name))


def read_events(folder: Path) -> Iterator[Event]:
    """Yield all events in the order of writing; a torn last line of a file is skipped.

    Raises:
        CorruptRun: a line that is not the last one of its file cannot be read.
    """
    for path in event_files(folder):
        lines = path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            try:
                event = json.loads(line)
                if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
                    raise ValueError("it has no kind")
            except (ValueError, RecursionError) as error:
                if number >= len(lines) - 1:
                    continue
                raise CorruptRun(
                    f"{path}: line {number}: not an event ({error}); "
                    "remove that line and run the same command again"
                ) from error
            yield event


def log_size(folder: Path) -> int:
    """Return the bytes of all event files: grows with every event, so it dates what was made."""
    return sum(path.stat().st_size for path in event_files(folder))
