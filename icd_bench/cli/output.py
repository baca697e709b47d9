"""What all commands share in speaking to the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from icd_bench.errors import UnknownName
from icd_bench.registry import suggest


def say(message: str) -> None:
    """Print one line for the person, not for the pipe."""
    print(f"icd-bench: {message}", file=sys.stderr)


def print_json(value: Any) -> None:
    """Print a value for programs to read."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def align(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Return rows of cells as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        (
            indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def check_choice(value: str, choices: Sequence[str], kind: str) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises:
        UnknownName: it is not; the message suggests the nearest one.
    """
    if value not in choices:
        known = ", ".join(choices)
        raise UnknownName(f'unknown {kind} "{value}".{suggest(value, choices)} Known: {known}.')
    return value


def split_names(values: Sequence[str]) -> tuple[str, ...]:
    """Return the names given as ``a,b`` or by repeating an option, each once, in order."""
    names = (name.strip() for value in values for name in value.split(","))
    return tuple(dict.fromkeys(name for name in names if name))
