"""Which rows are as good as the best one, as far as the samples can tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from icd_bench.reports.table_model import Column, Row
from icd_bench.stats.intervals import paired_difference

from .items import Layout

LEVEL = 0.95


def tied_with_best(column: Column, rows: Sequence[Row], layout: Layout) -> set[int]:
    """Return which of the layout's rows are not shown to be worse than the best of their rivals.

    A row is tied where the 95 % interval of its paired difference to the best row, over the edits
    that both have, clustered by sample, holds 0. The best rows themselves are not in it.
    """
    clusters = [(item.benchmark, item.sample_id) for item in layout.items]
    labels = np.unique([f"{name}\n{sample}" for name, sample in clusters], return_inverse=True)[1]
    tied: set[int] = set()
    for alike in {row.rivals for row in rows}:
        rivals = [i for i, row in enumerate(rows) if row.rivals == alike and not row.anchor]
        best = [index for index in rivals if column.key in rows[index].best]
        if best:
            reference = layout.values(best[0], column.key)
            tied |= {
                index
                for index in rivals
                if index not in best
                and _undecided(reference, layout.values(index, column.key), labels)
            }
    return tied


def _undecided(
    best: NDArray[np.float64], other: NDArray[np.float64], clusters: NDArray[np.int64]
) -> bool:
    difference = paired_difference(best, other, level=LEVEL, clusters=clusters)
    return bool(difference.low <= 0 <= difference.high)


def swept_field(row: Row, rows: Sequence[Row]) -> str:
    """Return the field of the setting that varies most among a method's rows, "" for none."""
    alike = [other for other in rows if other.method == row.method and other.block == row.block]
    values = {
        field: len({repr(other.setting.get(field)) for other in alike}) for field in row.setting
    }
    field = max(values, key=lambda name: values[name], default="")
    return field if field and values[field] > 1 else ""
