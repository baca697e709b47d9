"""Runs that are killed with SIGKILL and begun again until they end; a program for test_kill.

Usage: ``crashing_runs.py FOLDER SEED COUNT``. It makes FOLDER/whole without a crash, then
FOLDER/0, FOLDER/1 ..: each process dies at a call drawn from all those of one place (a file of one
kind forced to the disk or renamed, an inversion, an edit, a score), before or after it took effect;
the places take turns. In every other run the process that goes on is killed as well, after a random
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
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pyarrow.parquet
import torch
from run_fakes import FakeModels, here

from icd_bench import registry
from icd_bench.run import RunRequest, execute
from icd_bench.run.caches.cache import HOME_VARIABLE
from icd_bench.run.progress import QuietProgress

Crash = Callable[[], None]


def run(folder: Path) -> None:
    """Run the fakes: 20 cells in 6 batches, 10 inversions of their own, 20 scores."""
    os.environ[HOME_VARIABLE] = f"{folder}-cache"
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


Watch = Callable[[str], None]
"""Told of a place before something happens there, or after."""


def watched(before: Watch, after: Watch) -> Crash:
    """Return what makes this process tell of each place where it may die."""

    def wrap(function: Callable[..., Any], place: Callable[..., str]) -> Callable[..., Any]:
        def wrapper(*arguments: Any) -> Any:
            where = place(*arguments)
            before(where)
            result = function(*arguments)
            after(where)
            return result

        return wrapper

    def prepare() -> None:
        os.fsync = wrap(os.fsync, lambda file: place_of(os.readlink(f"/proc/self/fd/{file}")))
        os.replace = wrap(os.replace, lambda source, target: place_of(target))
        for name, work, place in (
            ("Tint", "invert", "inversion"),
            ("Tint", "edit", "edit"),
            ("Distance", "score", "scoring"),
        ):
            owner = registry.load_from_file(here(name)[0])
            setattr(owner, work, wrap(getattr(owner, work), lambda *_, at=place: at))

    return prepare


def place_of(path: str | Path) -> str:
    """Return what is being written, from its path."""
    names = {
        "events": "event append",
        "images": "image write",
        "samples": "sample write",
        "results.parquet": "compaction",
        "run.json": "writing of run.json",
    }
    text = str(path)
    found = [name for part, name in names.items() if f"/{part}" in text]
    return found[-1] if found else "inversion kept for later" if "-cache" in text else "set-up"


def count_calls(file: Path) -> Crash:
    """Return what makes this process write down each place where it could die."""

    def count(where: str) -> None:
        with open(file, "ab", buffering=0) as calls:
            calls.write(f"{where}\n".encode())

    return watched(count, lambda where: None)


def die_at(place: str, call: int, after: bool) -> Crash:
    """Return what makes this process kill itself at its n-th call of a place."""
    calls = itertools.count(1)
    turn = threading.local()

    def before(where: str) -> None:
        turn.come = where == place and next(calls) == call
        if turn.come and not after:
            os.kill(os.getpid(), signal.SIGKILL)

    def behind(where: str) -> None:
        if where == place and turn.come:
            os.kill(os.getpid(), signal.SIGKILL)

    return watched(before, behind)


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
    calls = Counter((folder / "calls").read_text().splitlines())
    places = sorted(calls)
    for number in range(count):
        path, place = folder / str(number), places[number % len(places)]
        call = draw.randint(1, calls[place])
        killed = not in_child(path, die_at(place, call, draw.random() < 0.5))
        again = number % 2 == 1 and not in_child(path, nothing, draw.uniform(0, seconds / 2))
        assert in_child(path, nothing)
        report = {"run": path.name, "place": place, "call": call, "calls": calls[place]}
        print(json.dumps({**report, "killed": killed, "killed_again": again}), flush=True)


if __name__ == "__main__":
    main()
