"""Collects how far the methods are from the official implementations, and writes the page of it.

``make parity`` runs the parity tests with ``--parity-table docs/parity.md``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_CURRENT: Final = re.compile(
    r"test_parity_(?P<file>\w+)\.py::test_(?P<test>\w+)(\[(?P<case>.+)\])?"
)

_HEAD: Final = """\
# Parity with the official implementations

Largest absolute difference, over all compared tensors, between this package and recorded tensors
of the official implementations on tiny models (fp32, CPU), and of identities that the papers state
(rows without a case). "Used" is the worst share of its
tolerance that a comparison took: 100 % would be the limit. Made by `make parity`.

| method | test | case | comparisons | largest error | its tolerance | used |
|---|---|---|--:|--:|--:|--:|
"""


@dataclass(frozen=True)
class Comparison:
    """One comparison of two tensors within a test."""

    test: str
    error: float
    tolerance: float

    @property
    def used(self) -> float:
        """Share of the tolerance."""
        return self.error / self.tolerance if self.tolerance else float(self.error > 0)


_made: list[Comparison] = []


def note(error: float, tolerance: float) -> None:
    """Remember a comparison of the test that runs."""
    _made.append(Comparison(os.environ.get("PYTEST_CURRENT_TEST", ""), error, tolerance))


def render() -> str:
    """Return the page: a row for each test case that compared tensors of a golden case."""
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in sorted(_rows()))


def _rows() -> Iterator[tuple[str, ...]]:
    of_case: dict[tuple[str, str, str], list[Comparison]] = {}
    for comparison in _made:
        if found := _CURRENT.search(comparison.test):
            key = (found["file"], found["test"].replace("_", " "), found["case"] or "")
            of_case.setdefault(key, []).append(comparison)
    for key, comparisons in of_case.items():
        worst = max(comparisons, key=lambda c: c.used)
        figures = (f"{worst.error:.1e}", f"{worst.tolerance:.0e}", f"{worst.used:.1%}")
        yield (*key, str(len(comparisons)), *figures)
