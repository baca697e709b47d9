"""Fixtures of the run tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fake_runs import Run
from run_fakes import FakeModels, here

from icd_bench.run import RunFolder, RunRequest, RunSummary, execute
from icd_bench.run.progress import QuietProgress


@pytest.fixture
def request_of(tmp_path: Path) -> Callable[..., RunRequest]:
    """Return requests for the fakes, with changes."""

    def make(**changes: Any) -> RunRequest:
        values: dict[str, Any] = {
            "methods": here("Tint"),
            "benchmark": here("Ten")[0],
            "out": tmp_path / "run",
            "device": "cpu",
            "batch_size": 4,
        }
        return RunRequest(**{**values, **changes})

    return make


@pytest.fixture
def run(request_of: Callable[..., RunRequest]) -> Run:
    """Return a function that runs the fakes and reads the results."""

    def do(models: FakeModels | None = None, **changes: Any) -> tuple[RunSummary, pd.DataFrame]:
        summary = execute(request_of(**changes), QuietProgress(), models or FakeModels())
        return summary, RunFolder.open(summary.path).read_results()

    return do
