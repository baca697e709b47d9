"""A package of a third party, installed: its method, benchmark and metric are known by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from icd_bench.run import RunFolder

PACKAGE = Path(__file__).with_name("plugin")
COMMAND = [sys.executable, "-m", "icd_bench"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of processes in which the package is installed."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(PACKAGE, folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(folder / "site")]
    subprocess.run([*pip, *options, str(source)], check=True)
    return {**os.environ, "PYTHONPATH": str(folder / "site")}


@pytest.mark.parametrize(
    ("kind", "name"), [("methods", "push"), ("benchmarks", "squares"), ("metrics", "mean_colour")]
)
def test_it_is_listed(kind: str, name: str, installed: dict[str, str]) -> None:
    command = [*COMMAND, "list", kind, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=installed, check=True)
    assert name in [row["name"] for row in json.loads(done.stdout)]


def test_it_runs(installed: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    fast = ["--set", "push.steps=4", "--set", "push.noised=2", "--limit", "2"]
    command = [*COMMAND, "run", "--no-anchors", "--method", "push,identity", "--bench", "squares"]
    done = subprocess.run(
        [*command, *fast, "--out", str(out)],
        capture_output=True,
        text=True,
        env=installed,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = RunFolder.open(out).read_results()
    assert sorted(set(results["method"])) == ["identity", "push"]
    assert results["mean_colour"].notna().all()
    copied = results[results["method"] == "identity"]
    assert (copied["mean_colour"] > 0.1).all()
