"""Runs of the fakes, as tests see them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from icd_bench.run import RunSummary

Run = Callable[..., tuple[RunSummary, pd.DataFrame]]
"""Runs the fakes and reads the results."""


def images(path: Path) -> dict[str, bytes]:
    """Return the edits of a run folder: name -> file."""
    return {p.name: p.read_bytes() for p in sorted((path / "images").rglob("*.png"))}
