"""How far the metrics are from the libraries that define them, as the tests found it."""

from __future__ import annotations

from typing import Any

import numpy as np

_found: dict[tuple[str, str], tuple[float, float]] = {}


def agree(metric: str, library: str, values: Any, expected: Any, tolerance: float) -> None:
    """Fail where values differ by more than the tolerance; note the largest difference."""
    difference = float(np.nanmax(np.abs(np.asarray(values) - np.asarray(expected))))
    _found[metric, library] = max((difference, tolerance), _found.get((metric, library), (0, 0)))
    np.testing.assert_allclose(values, expected, atol=tolerance, rtol=0, err_msg=metric)


def render() -> str:
    """Return what was found as a Markdown table."""
    rows = [
        f"| {metric} | {library} | {difference:.1e} | {tolerance:g} |"
        for (metric, library), (difference, tolerance) in sorted(_found.items())
    ]
    head = ["| metric | compared with | largest difference | allowed |", "|---|---|--:|--:|"]
    return "\n".join([*head, *rows]) + "\n"
