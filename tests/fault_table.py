"""Counts the faults that tests put in and the bad inputs that they try, for the page of them.

``make faults`` runs those tests with ``--fault-table docs/faults.md``. A test says which fault it
is with ``@pytest.mark.fault("...")``, or counts several with :func:`fault`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

TRIED: Final[Counter[str]] = Counter()
LOST: Final[Counter[str]] = Counter()
INPUTS: Final[Counter[str]] = Counter()
"""Kind of bad input -> how many were tried."""

_PAGE: Final = """\
# Faults

Made by `make faults`: tests break runs on purpose, and what is finished must survive. *Lost* counts
the times after which something finished was gone, or something wrong was kept: a run that goes on
must end like one that nothing happened to, to the byte apart from times.

| fault | times tried | lost |
|---|--:|--:|
{faults}

A process is killed at a call drawn from all those of a place, before or after that took effect, and
every other time the process that goes on is killed again at a random moment.
`ICD_BENCH_CRASHES=30` says how often, `ICD_BENCH_CRASH_SEED=2` draws other calls.

## Bad input

Broken on purpose or at random: each must be taken for what it is, or be refused with one line that
names file and field; never a traceback, never a wrong number. {inputs} inputs were tried:

| kind | tried |
|---|--:|
{kinds}

`ICD_BENCH_FUZZ=20 pytest tests/fuzz` tries twenty times as many.
"""


@contextmanager
def fault(name: str) -> Iterator[None]:
    """Count one fault; it is lost where what follows fails."""
    TRIED[name] += 1
    try:
        yield
    except BaseException:
        LOST[name] += 1
        raise


def note(name: str, passed: bool) -> None:
    """Count one fault that a whole test is about."""
    TRIED[name] += 1
    LOST[name] += not passed


def render() -> str:
    """Return the page."""
    faults = [f"| {name} | {count} | {LOST[name]} |" for name, count in sorted(TRIED.items())]
    kinds = [f"| {kind} | {count:,} |" for kind, count in sorted(INPUTS.items())]
    return _PAGE.format(
        faults="\n".join(faults), inputs=f"{INPUTS.total():,}", kinds="\n".join(kinds)
    )
