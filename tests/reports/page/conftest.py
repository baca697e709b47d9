"""Fixtures of the page's tests: a small run with every kind of trouble, and its report."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import browser, chromium
from page_runs import write_run

from icd_bench.reports.page.build import build_report

__all__ = ["browser", "chromium"]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "trial")


@pytest.fixture(scope="session")
def page(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``index.html`` of the run's report, in a folder of its own."""
    return build_report([run], tmp_path_factory.mktemp("reports") / "trial").page
