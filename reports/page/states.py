"""What became of each cell, and why: the letters of the grid, and the list of troubles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from .items import WITHOUT, Layout
from .privacy import without_folders

ABSENT, FINE, WARNED, FAILED, LOST = ".", "k", "w", "f", "x"
"""Not run; with a picture; with a picture and a warning; failed; its picture is gone."""
WITH_PICTURE = (FINE, WARNED)


def cell_states(layout: Layout) -> list[str]:
    """Return a string for each row, in which each item has a letter."""
    letters = [_state(cell, layout) for cell in layout.cells.itertuples(index=False)]
    return [
        "".join(ABSENT if place == WITHOUT else letters[place] for place in places)
        for places in layout.places
    ]


def troubles(layout: Layout, states: Sequence[str]) -> list[dict[str, Any]]:
    """Return what failed and what was warned of: a reason, its row, and the items it befell."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for row, letters in enumerate(states):
        for item, letter in enumerate(letters):
            if letter not in (ABSENT, FINE):
                for reason in _reasons(layout.cells.iloc[layout.places[row, item]]):
                    found.setdefault((row, *reason), []).append(item)
    return [
        {"row": row, "kind": kind, "stage": stage, "reason": reason, "items": items}
        for (row, kind, stage, reason), items in sorted(
            found.items(), key=lambda entry: (entry[0][1], -len(entry[1]), entry[0][0])
        )
    ]


def _state(cell: Any, layout: Layout) -> str:
    if cell.status != "ok":
        return FAILED
    if cell.cell_id not in layout.images:
        return LOST
    return WARNED if len(cell.warnings) else FINE


def _reasons(cell: pd.Series[Any]) -> Iterator[tuple[str, str, str]]:
    if cell["status"] != "ok":
        reason = ": ".join(part for part in (cell["error_type"], cell["error"]) if part)
        yield ("failed", cell["failed_stage"], without_folders(reason))
    for warning in cell["warnings"]:
        yield ("warned", "", without_folders(warning))
