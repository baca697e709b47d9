"""Settings in few words, and in an order that a reader expects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def setting_label(
    setting: Mapping[str, Any], default: Mapping[str, Any], others: Iterable[Mapping[str, Any]]
) -> str:
    """Return ``field=value`` for each field that is not at its default or differs among rows.

    Args:
        setting: to be named.
        default: the method's setting where nobody sets anything.
        others: the settings of the method's rows in the same table.
    """
    rows = list(others)
    told = [
        field
        for field, value in setting.items()
        if value != default.get(field) or any(row.get(field) != value for row in rows)
    ]
    return " ".join(f"{field}={short(setting[field])}" for field in told)


def setting_order(setting: Mapping[str, Any]) -> tuple[tuple[int, float, str], ...]:
    """Return a key that sorts settings by value: numbers as numbers, the rest as text."""
    return tuple(_value_order(setting[field]) for field in sorted(setting))


def short(value: Any) -> str:
    """Return a value without what is not needed to read it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "[" + ",".join(short(item) for item in value) + "]"
    return str(value)


def _value_order(value: Any) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, short(value))
