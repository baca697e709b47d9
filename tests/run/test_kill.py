from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from fault_table import fault

from icd_bench.run import RunFolder

PROGRAM = Path(__file__).with_name("crashing_runs.py")
TIMES = ["seconds_invert", "seconds_edit"]
CRASHES = int(os.environ.get("ICD_BENCH_CRASHES", "10"))
SECONDS = 60 + 30 * CRASHES


def files(run: Path) -> dict[str, bytes]:
    kept = [
        path
        for folder in ("images", "samples")
        for path in (run / folder).rglob("*")
        if path.is_file()
    ]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in kept}


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("seed", [int(os.environ.get("ICD_BENCH_CRASH_SEED", "1"))])
def test_runs_killed_anywhere_end_like_one_that_was_not(tmp_path: Path, seed: int) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path), str(seed), str(CRASHES)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == CRASHES
    assert all(report["killed"] for report in reports), reports
    whole_files = files(tmp_path / "whole")
    whole = RunFolder.open(tmp_path / "whole").read_results().drop(columns=TIMES)
    assert len(whole) == 18
    for report in reports:
        with fault(f"kill -9 during {report['place']}"):
            run = tmp_path / report["run"]
            assert files(run) == whole_files
            results = RunFolder.open(run).read_results().drop(columns=TIMES)
            pd.testing.assert_frame_equal(results, whole)
            assert results.attrs["metrics"] == whole.attrs["metrics"]
