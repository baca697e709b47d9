"""Runs that are killed with SIGKILL and begun again until they end; a program for test_kill.

Usage: ``crashing_runs.py FOLDER SEED COUNT``. It makes FOLDER/whole without a crash, then
FOLDER/0, FOLDER/1 ..: each process dies at a chosen system call (a file forced to the disk, a file
renamed), before or after it took effect; the calls are spread over the whole run, from the first
file to the last. In every other run the process that goes on is killed as well, after a random
time, if it lives that long. Each prints one JSON line. Processes are forked from this one, so that
what takes long to import is imported once.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pyarrow.parquet
import torch
from run_fakes import FakeModels, here

from icd_bench import registry
from icd_bench.run import RunRequest, execute
from icd_bench.run.progress import QuietProgress

Crash = Callable[[], None]


def run(folder: Path) -> None:
    """Run the fakes: 20 cells in 6 batches, 10 inversions, 20 scores."""
    request = RunRequest(
        methods=here("Tint", "Copy"),
        benchmark=here("Ten")[0],
        sweeps=("strength=0.2,0.8",),
        limit=6,
        metrics=here("Distance", "Offset"),
        out=folder,
        device="cpu",
        batch_size=3,
    )
    execute(request, QuietProgress(), FakeModels())


def in_child(folder: Path, prepare: Crash, kill_after: float | None = None) -> bool:
    """Run in a forked process; return whether it lived to the end."""
    child = os.fork()
    if child == 0:
        prepare()
        run(folder)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{folder}: the run failed")
    return True


def count_calls(file: Path) -> Crash:
    """Return what makes this process write down each of its fsyncs and renames."""

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any) -> Any:
            with open(file, "ab", buffering=0) as calls:
                calls.write(b"x")
            return function(*arguments)

        return wrapper

    def prepare() -> None:
        os.fsync, os.replace = counted(os.fsync), counted(os.replace)

    return prepare


def die_at(call: int, after: bool) -> Crash:
    """Return what makes this process kill itself at its n-th fsync or rename."""
    calls = itertools.count(1)

    def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any) -> Any:
            now = next(calls) == call
            if now and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*arguments)
            if now:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapper

    def prepare() -> None:
        os.fsync, os.replace = deadly(os.fsync), deadly(os.replace)

    return prepare


def nothing() -> None:
    """Let the process live."""


def main() -> None:
    folder, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    registry.load_from_file(here("Tint")[0])
    assert pandas.__version__
    assert pyarrow.__version__
    draw = random.Random(seed)
    start = time.monotonic()
    assert in_child(folder / "whole", count_calls(folder / "calls"))
    seconds = time.monotonic() - start
    calls = (folder / "calls").stat().st_size
    for number in range(count):
        path = folder / str(number)
        call = 1 + int(calls * (number + draw.random()) / count)
        killed = not in_child(path, die_at(call, draw.random() < 0.5))
        again = number % 2 == 1 and not in_child(path, nothing, draw.uniform(0, seconds / 2))
        assert in_child(path, nothing)
        report = {"run": path.name, "call": call, "calls": calls}
        print(json.dumps({**report, "killed": killed, "killed_again": again}), flush=True)


if __name__ == "__main__":
    main()
