"""Where the data of benchmarks lie: ``$ICD_BENCH_DATA/<benchmark>``."""

from __future__ import annotations

import os
from pathlib import Path

from icd_bench.data.card import Card
from icd_bench.errors import UsageError

HOME_VARIABLE = "ICD_BENCH_DATA"


def data_home() -> Path:
    """Return the folder of all data sets (default: below the user's cache folder)."""
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "icd-bench" / "data"


def default_folder(name: str) -> Path:
    """Return the folder of a benchmark's data, whether it is there or not."""
    return data_home() / name


def open_folder(card: Card, location: str | None) -> Path:
    """Return the folder of a benchmark's data.

    Args:
        card: the benchmark's.
        location: as the user gave it; None for the default folder.

    Raises:
        UsageError: there is no such folder; the message says how to get the data.
    """
    folder = Path(location).expanduser() if location else default_folder(card.name)
    if not folder.is_dir():
        raise UsageError(f"{card.name}: there is no folder {folder}; {card.how_to_get}")
    return folder.resolve()
