"""Which run folders a command reads, and where its figures go."""

from __future__ import annotations

from pathlib import Path


def named_or_newest(runs: list[Path] | None) -> list[Path]:
    """Return the run folders that are named, or the newest one.

    Raises:
        UsageError: none is named and there is none.
    """
    if runs:
        return runs
    from icd_bench.run import latest_run

    return [latest_run()]


def figures_folder(runs: list[Path]) -> Path:
    """Return where figures go: into the run, or beside several."""
    return runs[0] / "figures" if len(runs) == 1 else Path("figures")
