"""A run that is killed goes on to the same bits; two processes train what one does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from forked_runs import BATCH, DIES_IN_STEP, ICD, LR, STEPS, settings
from safetensors import safe_open
from safetensors.torch import load_file

from icd_bench.errors import UsageError
from icd_bench.training.loop import CHECKPOINT, LOG
from icd_bench.training.pipelines import train_icd
from icd_bench.training.processes import Processes, buckets


@pytest.fixture(scope="module")
def runs(sd: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A killed run, one of two processes, and one that was left alone."""
    out = tmp_path_factory.mktemp("runs")
    script = Path(__file__).with_name("forked_runs.py")
    arguments = [sys.executable, str(script), str(sd), str(data), str(out)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=240)
    assert done.stdout.splitlines()[-1] == str([-signal.SIGKILL, 0, 0]), done.stderr
    train_icd(settings(str(sd), str(data), out / "whole"), ICD)
    return out


def checkpoint(out: Path) -> dict[str, Any]:
    """What the checkpoint says of the run, beside its tensors."""
    with safe_open(out / CHECKPOINT, framework="pt") as file:
        record: dict[str, Any] = json.loads(file.metadata()["training"])
    del record["seconds"]
    return record


def log(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def test_a_killed_run_goes_on_to_the_same_bits(runs: Path, sd: Path, data: Path) -> None:
    killed = runs / "killed"
    assert checkpoint(killed)["step"] == DIES_IN_STEP - 1
    assert log(killed)[-1]["step"] == DIES_IN_STEP
    train_icd(settings(str(sd), str(data), killed), ICD)
    assert checkpoint(killed) == checkpoint(runs / "whole")
    for file in (CHECKPOINT, "model/icd/forward-19-259-519-779.safetensors"):
        tensors, expected = load_file(killed / file), load_file(runs / "whole" / file)
        assert tensors.keys() == expected.keys()
        assert all(torch.equal(tensors[key], expected[key]) for key in expected), file
    assert log(killed) == log(runs / "whole")


def test_two_processes_train_what_one_does(runs: Path) -> None:
    apart, alone = load_file(runs / "ranks" / CHECKPOINT), load_file(runs / "whole" / CHECKPOINT)
    assert apart.keys() == alone.keys()
    for key, value in alone.items():
        if key.startswith("weights."):
            # AdamW's first steps have the size of the learning rate, whatever the gradient's.
            assert float((apart[key] - value).square().mean().sqrt()) < 0.1 * LR, key
    assert sum(p["used"] for p in checkpoint(runs / "ranks")["positions"]) == STEPS * BATCH
    first, expected = log(runs / "ranks")[0], log(runs / "whole")[0]
    assert first == pytest.approx(expected, rel=1e-3)


def test_another_number_of_processes_is_refused(runs: Path, sd: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="written by 2 processes, not 1"):
        train_icd(settings(str(sd), str(data), runs / "ranks"), ICD)


def test_gradients_are_summed_in_buckets_of_all() -> None:
    tensors = [torch.zeros(n) for n in (3, 3, 3, 10, 1)]
    found = buckets(tensors, 6)
    assert [t.numel() for bucket in found for t in bucket] == [3, 3, 3, 10, 1]
    assert 1 < len(found) < 5
    assert buckets([], 6) == []


def test_launchers_that_cut_models_to_pieces_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UsageError, match="ACCELERATE_USE_FSDP is set"):
        Processes(cpu=True)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
