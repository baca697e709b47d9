"""Means by category, and by whatever else the benchmark sorts its samples by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from icd_bench.reports.table_model import Column
from icd_bench.stats.intervals import mean_interval

from .inline_json import rounded
from .items import Item, Layout

MOST_GROUPS = 12
"""A word of the samples' metadata with more values than this makes no groups."""
FEWEST_ALIKE = 3
"""Nor one that fewer samples share on average."""


def groupings(items: Sequence[Item]) -> dict[str, list[str]]:
    """Return by what items can be grouped: name -> the group of each item, "" for none."""
    names = dict.fromkeys(name for item in items for name in item.groups)
    further = {name: [item.groups.get(name, "") for item in items] for name in names}
    found = {"category": [item.category for item in items]}
    found |= {name: groups for name, groups in further.items() if _sorts(groups)}
    return {name: groups for name, groups in found.items() if len(set(groups) - {""}) > 1}


def means_by_group(columns: Sequence[Column], layout: Layout) -> list[dict[str, Any]]:
    """Return, for each grouping, its groups and for each column and row their means.

    ``means[column][row][group]`` is mean, low, high and n.
    """
    return [
        {
            "name": name,
            "groups": (labels := sorted(set(groups) - {""})),
            "means": [
                [
                    list(_means(layout, row, column, np.array(groups), labels))
                    for row in range(len(layout.rows))
                ]
                for column in columns
            ],
        }
        for name, groups in groupings(layout.items).items()
    ]


def _sorts(groups: Sequence[str]) -> bool:
    """Return whether words are kinds of samples, not descriptions of single ones."""
    kinds = len(set(groups) - {""})
    return kinds <= MOST_GROUPS and kinds * FEWEST_ALIKE <= len(groups)


def _means(
    layout: Layout, row: int, column: Column, groups: Any, labels: Sequence[str]
) -> Iterator[list[Any]]:
    values = layout.values(row, column.key)
    samples = np.array([f"{item.benchmark}\n{item.sample_id}" for item in layout.items])
    for label in labels:
        inside = groups == label
        mean = mean_interval(values[inside], clusters=samples[inside])
        yield [*rounded([mean.mean, mean.low, mean.high]), mean.n]
