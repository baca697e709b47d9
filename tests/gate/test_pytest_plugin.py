from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gate_runs import plain_scores, write_run

TEST = """
import sys

def test_no_worse(icd_bench_check):
    found = icd_bench_check("base.json", run={run!r})
    assert found is None or found.verdict == "pass"
    assert "torch" not in sys.modules
"""


def pytest_in(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a repository of its own, with no plugin but this one."""
    plugins = ["-p", "icd_bench.gate.pytest_plugin", "-p", "no:xdist"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, *options, "--rootdir", "."],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.timeout(600)
def test_a_repository_checks_its_own_method(tmp_path: Path) -> None:
    write_run(tmp_path / "before", samples=12)
    (tmp_path / "test_mine.py").write_text(TEST.format(run="before"))
    made = pytest_in(tmp_path, "--icd-bench-update")
    assert made.returncode == 0, made.stdout
    assert (tmp_path / "base.json").is_file()
    assert pytest_in(tmp_path).returncode == 0
    write_run(
        tmp_path / "now",
        samples=12,
        scores=lambda *key: (plain_scores(*key)[0] - 3.0, plain_scores(*key)[1]),
    )
    (tmp_path / "test_mine.py").write_text(TEST.format(run="now"))
    worse = pytest_in(tmp_path)
    assert worse.returncode == 1
    assert "icd-bench: fail" in worse.stdout
