"""One writer per run folder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from icd_bench.errors import RunLocked

LOCK_NAME = "lock"


@contextmanager
def write_lock(folder: Path) -> Iterator[None]:
    """Hold a run folder for writing; the operating system frees it when the process ends.

    Raises:
        RunLocked: another process holds it; the message says which, where and since when.
    """
    path = folder / LOCK_NAME
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise RunLocked(
                f"{folder}: {_holder(path)} is writing into this run folder; "
                "wait for it, stop it, or choose another folder with --out"
            ) from error
        file.truncate(0)
        file.write(json.dumps(_this_process()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _this_process() -> dict[str, str | int]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} (since {holder['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
