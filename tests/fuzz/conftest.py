"""Counts the bad inputs that were tried, and says how many at the end of the tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fault_table import INPUTS


@pytest.fixture
def tried() -> Callable[[str], None]:
    """Return what counts one input of a kind."""
    return lambda kind: INPUTS.update([kind])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if INPUTS:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(INPUTS.items()))
        terminalreporter.write_line(f"bad inputs tried: {INPUTS.total()} ({kinds})")
