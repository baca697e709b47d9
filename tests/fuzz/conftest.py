"""Counts the bad inputs that were tried, and says how many at the end of the tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

TRIED: Counter[str] = Counter()


@pytest.fixture
def tried() -> Callable[[str], None]:
    """Return what counts one input of a kind."""
    return lambda kind: TRIED.update([kind])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TRIED:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(TRIED.items()))
        terminalreporter.write_line(f"bad inputs tried: {TRIED.total()} ({kinds})")
