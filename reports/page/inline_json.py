"""JSON as a page can hold it: no NaN, nothing that ends a script."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import isinf, isnan
from typing import Any

SIGNIFICANT = 5
"""Digits of a score in the page: far below what an interval can tell."""


def to_json(value: Any) -> str:
    """Return compact JSON; NaN becomes null, infinities become words that ``Number`` reads."""
    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def to_inline_json(value: Any) -> str:
    """Return JSON that can stand inside a ``<script>`` of an HTML page, whatever it says."""
    return escaped(to_json(value))


def escaped(text: str) -> str:
    """Return JSON text in which no character means anything to HTML."""
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def rounded(values: Iterable[float]) -> list[float | str | None]:
    """Return scores with ``SIGNIFICANT`` digits."""
    return [number(float(f"{value:.{SIGNIFICANT}g}")) for value in values]


def number(value: float) -> float | str | None:
    """Return a number as JSON can hold it."""
    if isnan(value):
        return None
    if isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return int(value) if value == int(value) and abs(value) < 1e15 else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return number(value) if isinstance(value, float) else value
