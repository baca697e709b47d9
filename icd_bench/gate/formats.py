"""A comparison as Markdown for a pull request, as JUnit XML, and as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from icd_bench.gate.compare import Change, Comparison, CostCheck, MetricCheck

SHOWN = 8
"""Samples and notes that are listed before they are only counted."""
SAID = {
    "pass": "no worse than the baseline",
    "fail": "worse than the baseline",
    "inconclusive": "neither better nor worse can be claimed",
}


def to_markdown(comparison: Comparison, pictures: Sequence[str] = ()) -> str:
    """Return a summary for a pull request.

    Args:
        comparison: what was found.
        pictures: paths of side-by-side pictures, relative to where the text will lie.
    """
    found = comparison
    lines = [
        f"### icd-bench: {found.verdict}",
        "",
        f"{SAID[found.verdict].capitalize()}. {found.identical} of {found.pictures} pictures are "
        "the same to the byte.",
        "",
        *_table(
            ["method", "metric", "before", "now", "change", "95 % bounds", "margin", "", "why"],
            map(_metric_cells, found.metrics),
        ),
        "",
        *_table(["method", "cost", "before", "now", "", "why"], map(_cost_cells, found.costs)),
    ]
    lines += _list("Edits that fail now", found.failed)
    lines += _list("Samples that lost most", [_worst_line(change) for change in found.worst])
    lines += [f"\n![{_escape(path)}]({quote(path)})" for path in pictures]
    lines += _list("Also", found.notes)
    return "\n".join(lines) + "\n"


def to_junit(comparison: Comparison) -> str:
    """Return JUnit XML: a test case for each check; inconclusive ones are errors."""
    checks: list[MetricCheck | CostCheck] = [*comparison.metrics, *comparison.costs]
    verdicts = [check.verdict for check in checks]
    suite = ElementTree.Element(
        "testsuite",
        name="icd-bench check",
        tests=str(len(checks) + bool(comparison.failed)),
        failures=str(verdicts.count("fail") + bool(comparison.failed)),
        errors=str(verdicts.count("inconclusive")),
        skipped=str(verdicts.count("not compared")),
    )
    for check in checks:
        name = check.metric if isinstance(check, MetricCheck) else check.cost
        case = ElementTree.SubElement(suite, "testcase", classname=_xml(check.arm), name=_xml(name))
        kind = {"fail": "failure", "inconclusive": "error", "not compared": "skipped"}
        if check.verdict in kind:
            ElementTree.SubElement(case, kind[check.verdict], message=_xml(check.reason))
    if comparison.failed:
        case = ElementTree.SubElement(suite, "testcase", classname="edits", name="all succeed")
        message = ", ".join(comparison.failed)
        ElementTree.SubElement(case, "failure", message=_xml(message))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def to_dict(comparison: Comparison) -> dict[str, Any]:
    """Return JSON values; numbers that are not finite are null or the words "inf", "-inf"."""
    result: dict[str, Any] = _plain(asdict(comparison))
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *([_escape(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _metric_cells(check: MetricCheck) -> list[str]:
    unit = f" {check.unit}" if check.unit else ""
    arrow = "↑" if check.direction == "higher" else "↓"
    return [
        check.arm,
        f"{check.metric} {arrow}",
        _number(check.before),
        _number(check.now),
        _number(check.difference, sign="+"),
        f"{_number(check.low, sign='+')} to {_number(check.high, sign='+')}",
        f"{check.margin:g}{unit}",
        check.verdict,
        check.reason,
    ]


def _cost_cells(check: CostCheck) -> list[str]:
    unit = {"U-Net rows": "", "seconds": " s", "memory": " MiB"}[check.cost]
    numbers = [f"{value:.4g}{unit}" for value in (check.before, check.now)]
    if check.cost == "U-Net rows":
        numbers = [f"{value:.0f}" for value in (check.before, check.now)]
    return [check.arm, check.cost, *numbers, check.verdict, check.reason]


def _worst_line(change: Change) -> str:
    what = (
        f"{change.metric} {_number(change.before)} -> {_number(change.now)}"
        if math.isfinite(change.now)
        else f"{change.metric} is gone"
    )
    return f"{change.arm}: {change.sample_id}: {what} ({change.margins:.1f} margins)"


def _list(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    more = [f"- and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return ["", f"{title}:", "", *(f"- {_escape(line)}" for line in lines[:SHOWN]), *more]


def _number(value: float, sign: str = "") -> str:
    return "none" if math.isnan(value) else f"{value:{sign}.4g}"


def _escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    one_line = re.sub(r"[\x00-\x1f\x7f]", "", " ".join(text.split()))
    return re.sub(r"([\\`*\[\]|<>#!])", r"\\\1", one_line)


def _xml(text: str) -> str:
    """Return text without the characters that XML cannot hold."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)
