"""Small fixed parts of a benchmark, for continuous integration.

A subset depends on nothing but the ids, categories and pictures of the rows: not on their order,
not on a seed. Its size is what ``docs/regression-checks.md`` finds to be enough.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import sha256
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from icd_bench.errors import UnknownName
from icd_bench.registry import suggest

if TYPE_CHECKING:
    from icd_bench.run.planning.rows import Row

SUBSETS = {"ci": 50}
"""Name -> number of rows."""


def choose_subset(rows: Sequence[Row], name: str) -> tuple[Row, ...]:
    """Return the rows of a subset in the benchmark's order.

    Every category gives the same number of rows as far as it has them; within one, pictures that
    are not taken yet come first, because edits of one picture tell less than edits of several.

    Raises:
        UnknownName: there is no such subset.
    """
    if name not in SUBSETS:
        known = ", ".join(SUBSETS)
        raise UnknownName(f'unknown subset "{name}".{suggest(name, SUBSETS)} Known: {known}.')
    by_category: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=_draw):
        by_category[row.sample.category].append(row)
    columns = [_new_pictures_first(by_category[key]) for key in sorted(by_category)]
    turns = chain.from_iterable(zip_longest(*columns))
    chosen = [row for row in turns if row is not None][: SUBSETS[name]]
    return tuple(sorted(chosen, key=lambda row: row.index))


def _draw(row: Row) -> str:
    return sha256(row.sample_id.encode()).hexdigest()


def _new_pictures_first(rows: Sequence[Row]) -> list[Row]:
    taken: Counter[str] = Counter()
    order: list[tuple[int, int, Row]] = []
    for place, row in enumerate(rows):
        picture = str(row.sample.metadata.get("image", row.sample_id))
        order.append((taken[picture], place, row))
        taken[picture] += 1
    return [row for _, _, row in sorted(order, key=lambda entry: entry[:2])]
