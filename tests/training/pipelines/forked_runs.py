"""Trainings in processes forked off one that has imported everything once.

``python forked_runs.py MODEL DATA OUT`` leaves OUT/killed, a run that died of SIGKILL within its
fourth step, and OUT/ranks, a run of two processes over gloo.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
from pathlib import Path

import torch

from icd_bench.training.batch import Examples
from icd_bench.training.pipelines import DataSettings, IcdSettings, RunSettings, train_icd
from icd_bench.training.pipelines.session import Session

ICD = IcdSettings(rank=4)
STEPS, BATCH, LR = 4, 4, 1e-3
DIES_IN_STEP = 3


def settings(model: str, data: str, out: Path) -> RunSettings:
    return RunSettings(
        model, DataSettings(data), out, steps=STEPS, batch_size=BATCH, lr=LR, cpu=True, watched=2,
        log_every=1, checkpoint_every=2, validate_every=10,
    )  # fmt: skip


def die(run: RunSettings) -> None:
    """Train until the process is killed, halfway between two checkpoints."""
    examples = Session.examples

    def fatal(self: Session, step: int) -> Examples:
        if step == DIES_IN_STEP:
            os.kill(os.getpid(), signal.SIGKILL)
        return examples(self, step)

    Session.examples = fatal
    train_icd(run, ICD)


def rank(index: int, port: int, run: RunSettings) -> None:
    """Train as one of two processes, told as ``accelerate launch`` tells its own."""
    os.environ |= {
        "RANK": str(index),
        "LOCAL_RANK": str(index),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
    }
    train_icd(run, ICD)


def main(model: str, data: str, out: Path) -> None:
    torch.set_num_threads(1)
    fork = multiprocessing.get_context("fork")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    runs = [fork.Process(target=die, args=(settings(model, data, out / "killed"),))]
    runs += [
        fork.Process(target=rank, args=(index, port, settings(model, data, out / "ranks")))
        for index in range(2)
    ]
    for process in runs:
        process.start()
    for process in runs:
        process.join()
    print([process.exitcode for process in runs])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
