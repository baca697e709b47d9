"""Are the data of a benchmark complete, and the ones that its card means?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from icd_bench.data.card import Card
from icd_bench.data.fetch import is_the_file
from icd_bench.data.lint import UNUSABLE, Lint


def differences(card: Card, folder: Path, found: Lint, split: str) -> Iterator[str]:
    """Yield one line for each way in which the data are not what the card says.

    Args:
        card: the benchmark's.
        folder: where its data lie.
        found: all rows of ``split``.
        split: empty for the default one.
    """
    for file in card.files:
        if not (folder / file.path).is_file():
            yield f"{folder / file.path}: is missing; {card.how_to_get}"
        elif not is_the_file(folder / file.path, file.sha256):
            yield f"{folder / file.path}: is another edition: its SHA-256 is not {file.sha256}"
    expected = card.rows.get(split)
    if expected is not None and found.rows != expected:
        yield f"{found.rows} rows, not {expected}"
    for problem in found.problems:
        if problem.kind in UNUSABLE:
            yield problem.detail
