"""The numbers that the paper prints for the rows of an experiment."""

from __future__ import annotations

from icd_bench.paper.results import Result
from icd_bench.reports.published.numbers import PublishedNumber, published_numbers

PAPER = "2406.14539"


def printed_numbers(result: Result) -> dict[tuple[str, str], PublishedNumber]:
    """Return the published numbers by (title of the row, name of the metric)."""
    if not result.published:
        return {}
    titles = {row.title for row in result.rows}
    return {
        (number.title, number.column.metric): number
        for number in published_numbers()
        if PAPER in number.paper
        and number.table.startswith(f"{result.published},")
        and number.title in titles
    }


def printed_metrics(result: Result) -> tuple[str, ...]:
    """Return the metrics that are printed for some row, in the paper's order."""
    return tuple(dict.fromkeys(metric for _, metric in printed_numbers(result)))
