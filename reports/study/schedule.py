"""Who sees which pair when: even loads, counterbalanced sides, spaced sources, hidden checks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from icd_bench.errors import UsageError
from icd_bench.reports.study.plan import PlannedPair
from icd_bench.reports.study.sides import balance_sides
from icd_bench.reports.study.votes import CHECKS, CORRUPTED

QUIET_START = 3
"""Showings at the start of a list without a check: first, people learn the task."""


@dataclass(frozen=True)
class Item:
    """A pair as one rater sees it."""

    pair: PlannedPair
    flipped: bool
    """The pair's second method stands left."""
    repeat: bool = False


@dataclass(frozen=True)
class Schedule:
    """A list for each rater, in order, and the pairs of the checks in them."""

    lists: dict[str, list[Item]]
    checks: tuple[PlannedPair, ...]


def balanced_samples(categories: dict[str, str], count: int | None, seed: int = 0) -> list[str]:
    """Draw ``count`` samples, as evenly from the categories as they allow; None takes all.

    Raises:
        UsageError: there are fewer samples.
    """
    if count is None:
        return list(categories)
    if not 0 < count <= len(categories):
        raise UsageError(f"{count} samples wanted; the methods share {len(categories)}")
    generator = np.random.default_rng([seed, 11])
    ids = [list(categories)[index] for index in generator.permutation(len(categories))]
    turn: Counter[str] = Counter()
    places: dict[str, tuple[int, float]] = {}
    first = {category: float(generator.random()) for category in sorted(set(categories.values()))}
    for sample in ids:
        category = categories[sample]
        places[sample] = (turn[category], first[category])
        turn[category] += 1
    chosen = set(sorted(ids, key=places.__getitem__)[:count])
    return [sample for sample in categories if sample in chosen]


def planned_pairs(categories: dict[str, str], methods: Sequence[str]) -> list[PlannedPair]:
    """Return every pair of methods on every sample."""
    return [
        PlannedPair(
            pair_id=f"{sample}/{first}/{second}",
            sample=sample,
            category=category,
            methods=(first, second),
        )
        for sample, category in categories.items()
        for first, second in combinations(sorted(methods), 2)
    ]


def make_schedule(
    pairs: Sequence[PlannedPair],
    raters: Sequence[str],
    *,
    votes_per_pair: int,
    check_share: float = 0.09,
    spacing: int = 5,
    seed: int = 0,
) -> Schedule:
    """Give each pair to ``votes_per_pair`` raters.

    Loads differ by at most one pair, and within a category as little as that allows. Sides are
    even within each pair of methods: overall, for each sample's pair, and for each rater. Checks
    of the three kinds take turns and are ``check_share`` of all showings; repeats come at least
    half a list after the first showing. Between two showings of one source there are at least
    ``spacing`` others, or as many as the list allows.

    Raises:
        UsageError: fewer raters than votes per pair.
    """
    if votes_per_pair > len(raters):
        raise UsageError(
            f"{votes_per_pair} votes a pair need at least {votes_per_pair} raters, "
            f"not {len(raters)}"
        )
    shown = _allot(pairs, raters, votes_per_pair, seed)
    flipped: dict[tuple[str, str], bool] = {}
    by_methods: dict[tuple[str, str], list[tuple[PlannedPair, str]]] = defaultdict(list)
    for pair, rater in shown:
        by_methods[pair.methods].append((pair, rater))
    for number, group in enumerate(by_methods.values()):
        lefts = balance_sides(
            [pair.pair_id for pair, _ in group], [rater for _, rater in group], seed + number
        )
        for (pair, rater), left in zip(group, lefts, strict=True):
            flipped[pair.pair_id, rater] = not left
    lists: dict[str, list[Item]] = {}
    checks: list[PlannedPair] = []
    for number, rater in enumerate(raters):
        generator = np.random.default_rng([seed, 13, number])
        own = [Item(pair, flipped[pair.pair_id, rater]) for pair, name in shown if name == rater]
        ordered = _spaced(own, spacing, generator)
        lists[rater] = _with_checks(ordered, rater, check_share, number, spacing, generator)
        checks += [item.pair for item in lists[rater] if item.pair.pair_id.startswith("check/")]
    return Schedule(lists, tuple(checks))


def _allot(
    pairs: Sequence[PlannedPair], raters: Sequence[str], votes: int, seed: int
) -> list[tuple[PlannedPair, str]]:
    generator = np.random.default_rng([seed, 12])
    load: Counter[str] = Counter()
    category_load: Counter[tuple[str, str]] = Counter()
    shown = []
    for index in generator.permutation(len(pairs)).tolist():
        pair = pairs[index]
        chance = generator.random(len(raters)).tolist()
        burdens = [
            (load[rater], category_load[rater, pair.category], chance[place], rater)
            for place, rater in enumerate(raters)
        ]
        for *_, rater in sorted(burdens)[:votes]:
            load[rater] += 1
            category_load[rater, pair.category] += 1
            shown.append((pair, rater))
    return shown


def _spaced(items: Sequence[Item], spacing: int, generator: np.random.Generator) -> list[Item]:
    """Order items at random so that one source rests for ``spacing`` showings where it can."""
    waiting: dict[str, list[Item]] = defaultdict(list)
    for index in generator.permutation(len(items)).tolist():
        waiting[items[index].pair.sample].append(items[index])
    last: dict[str, int] = {}
    ordered: list[Item] = []
    while waiting:
        rested = [s for s in waiting if len(ordered) - last.get(s, -spacing - 1) > spacing]
        if rested:
            most = max(len(waiting[sample]) for sample in rested)
            fullest = [sample for sample in rested if len(waiting[sample]) == most]
            sample = fullest[int(generator.integers(len(fullest)))]
        else:
            sample = min(waiting, key=lambda name: last.get(name, -1))
        last[sample] = len(ordered)
        ordered.append(waiting[sample].pop())
        if not waiting[sample]:
            del waiting[sample]
    return ordered


def _with_checks(
    items: list[Item],
    rater: str,
    share: float,
    turn: int,
    spacing: int,
    generator: np.random.Generator,
) -> list[Item]:
    if not items:
        return []
    count = round(len(items) * share / (1 - share))
    half = len(items) // 2
    repeatable = generator.permutation(max(half, 1)).tolist()
    added: list[tuple[int, Item]] = []
    for number in range(count):
        kind = CHECKS[(turn + number) % len(CHECKS)]
        slot = (number + 0.2 + 0.6 * generator.random()) / count
        place = int(QUIET_START + slot * max(len(items) - QUIET_START, 0))
        if kind == "repeat":
            first = repeatable[number % len(repeatable)]
            again = replace(items[first], flipped=not items[first].flipped, repeat=True)
            earliest = min(first + max(half, 1), len(items))
            place = _rested_place(items, again, max(place, earliest), earliest, spacing)
            added.append((place, again))
        else:
            pair = _check_pair(
                items, f"check/{rater or 'crowd'}/{number + 1}", kind, place, spacing, generator
            )
            added.append((place, Item(pair, bool((turn + number) % 2))))
    # An added item stands before the item at its place.
    keyed = [(index, 1, item) for index, item in enumerate(items)]
    keyed += [(place, 0, item) for place, item in added]
    return [item for _, _, item in sorted(keyed, key=lambda entry: entry[:2])]


def _rested_place(
    items: Sequence[Item], item: Item, wanted: int, earliest: int, spacing: int
) -> int:
    """Return the place nearest to ``wanted`` around which the item's source rests, if any."""
    rested = [
        place
        for place in range(earliest, len(items) + 1)
        if all(
            other.pair.sample != item.pair.sample
            for other in items[max(0, place - spacing) : place + spacing]
        )
    ]
    return min(rested, key=lambda place: abs(place - wanted), default=wanted)


def _check_pair(
    items: Sequence[Item],
    name: str,
    kind: str,
    place: int,
    spacing: int,
    generator: np.random.Generator,
) -> PlannedPair:
    """Make a pair whose answer is known, of a source that nobody sees around ``place``."""
    near = items[max(0, place - spacing) : place + spacing]
    tired = {item.pair.sample for item in near}
    rested = [item.pair for item in items if item.pair.sample not in tired]
    choice = rested or [item.pair for item in items]
    like = choice[int(generator.integers(len(choice)))]
    method = like.methods[int(generator.integers(2))]
    return PlannedPair(
        pair_id=name,
        sample=like.sample,
        category=like.category,
        methods=(method, CORRUPTED if kind == CORRUPTED else method),
    )
