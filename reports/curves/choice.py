"""The setting that each method would be used with: chosen on dev samples, judged on others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icd_bench.errors import UsageError
from icd_bench.run.cells import canonical_json
from icd_bench.stats.intervals import mean_interval

from .model import Axis, Choice
from .scores import Entry, ScoreGrid, reference_point

Floats = NDArray[np.float64]
Pair = tuple[int, int]
"""Where a setting is among those to choose on, and among those to judge."""

DEV_NAMES = ("dev", "val", "validation")
FEWEST = 2
"""Samples that each half must have."""


@dataclass(frozen=True)
class Chosen:
    """What is chosen, how, and what a reader must know of what is not."""

    choices: tuple[Choice, ...] = ()
    rule: str = ""
    notes: tuple[str, ...] = ()


def split_cells(cells: pd.DataFrame, dev: str | None) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the cells to report on, and those to choose on where they are a split of their own.

    Raises:
        UsageError: there are several benchmarks, protocols or resolutions, or splits of which it
            is not clear which one is for choosing.
    """
    for column in ("benchmark", "protocol", "resolution"):
        found = [str(value) for value in sorted(cells[column].unique())]
        if len(found) > 1:
            raise UsageError(
                f"these runs have {len(found)} {column}s ({', '.join(found)}), which are not "
                "comparable: name the runs of one"
            )
    splits = sorted(cells["split"].unique())
    named = [split or "the default" for split in splits]
    if dev is not None and (dev not in splits or len(splits) < 2):
        raise UsageError(
            f'split "{dev}" to choose on: these runs have {" and ".join(named)}; '
            "name a run of each of two splits"
        )
    if len(splits) == 1:
        return cells, None
    chosen_on = dev if dev is not None else next((s for s in splits if s in DEV_NAMES), None)
    if len(splits) > 2 or chosen_on is None:
        raise UsageError(
            f"these runs have the splits {', '.join(named)}: name runs of two, and the one to "
            "choose settings on with --dev"
        )
    return cells[cells["split"] != chosen_on], cells[cells["split"] == chosen_on]


def choose(
    grid: ScoreGrid,
    dev_grid: ScoreGrid | None,
    axes: tuple[Axis, Axis],
    *,
    floor: float | None,
    reference: tuple[float, float] | None,
    level: float,
    seed: int,
) -> Chosen:
    """Return each method's choice with its result, and the rule in words.

    Without a floor, a method's setting is the one whose point spans the largest rectangle over
    the reference point: the bargain of Nash (1950, Econometrica 18(2)), which does not depend on
    the scores' units. With a floor, it is the one with the best y among those whose x is no
    worse. A method has no choice where none of its settings is better than the reference point in
    both or keeps to the floor, where none was run on both sides, and where both splits have the
    same samples: a setting would be judged on what it was chosen for. The notes say which.

    Args:
        grid: the samples to judge on, or all there are.
        dev_grid: the samples to choose on; None: the samples of ``grid`` are cut into halves.
        axes: x and y.
        floor: worst allowed x on dev.
        reference: (x, y); None: as :func:`reference_point` makes it from the dev means of the
            settings that both sides have.
        level: coverage of the intervals.
        seed: of the shuffle that makes halves.
    """
    if why := _objection(grid, dev_grid):
        return Chosen(notes=(f"no setting is chosen: {why}",))
    dev, test, where = _sides(grid, dev_grid, seed)
    methods = dict.fromkeys((*test.methods, *dev.methods))
    pairs = {method: found for method in methods if (found := _pairs(dev, test, method))}
    apart = _not_chosen(
        [method for method in methods if method not in pairs],
        "the splits share none of one version, model and weights",
    )
    if not pairs:
        return Chosen(notes=apart)
    best, rule, unfit = _decide(dev, pairs, axes, floor, reference)
    return Chosen(
        choices=tuple(_choice(dev, test, pair, level) for pair in best),
        rule=f"{rule}, chosen on {where}",
        notes=apart + unfit,
    )


def _decide(
    dev: ScoreGrid,
    pairs: Mapping[str, list[Pair]],
    axes: tuple[Axis, Axis],
    floor: float | None,
    reference: tuple[float, float] | None,
) -> tuple[list[Pair], str, tuple[str, ...]]:
    """Return the best pair of each method that has one, the rule, and notes on the others."""
    signs = np.array([axis.sign for axis in axes])
    goals = np.where(np.isfinite(dev.values), dev.values, np.nan).mean(axis=0) * signs
    rivals = [i for found in pairs.values() for i, _ in found]
    base = np.array(reference_point(goals[rivals], reference, signs))
    limit = None if floor is None else floor * axes[0].sign
    best = {m: _best([i for i, _ in found], goals, base, limit) for m, found in pairs.items()}
    unfit = [method for method, place in best.items() if place is None]
    return (
        [pairs[method][place] for method, place in best.items() if place is not None],
        _rule(axes, floor, base * signs),
        _not_chosen(unfit, _nothing_fit(axes, floor, base * signs)),
    )


def _objection(grid: ScoreGrid, dev_grid: ScoreGrid | None) -> str:
    """Return why nothing can be chosen on some samples and judged on others, if so."""
    if dev_grid is None:
        few = len(grid.samples) // 2 < FEWEST
        return "there are too few samples for two halves" if few else ""
    again = len(set(grid.samples) & set(dev_grid.samples))
    told = f"{again} of {len(grid.samples)} samples to judge on are in the split to choose on too"
    return told if again else ""


def _sides(
    grid: ScoreGrid, dev_grid: ScoreGrid | None, seed: int
) -> tuple[ScoreGrid, ScoreGrid, str]:
    """Return what to choose on, what to judge on, and how they came about."""
    if dev_grid is not None:
        return dev_grid, grid, "the dev split and judged on the test split"
    dev, test = (grid.restricted(half) for half in _halves(len(grid.samples), seed))
    return dev, test, f"one half of the samples (shuffled with seed {seed}) and judged on the other"


def _pairs(dev: ScoreGrid, test: ScoreGrid, method: str) -> list[Pair]:
    """Return where dev and test have the same settings of a method.

    The same is one version, model and weights too. What a method is called does not matter: the
    name tells only what differs among the runs at hand.
    """
    places = {_identity(entry): i for i, entry in enumerate(dev.entries)}
    found = ((places.get(_identity(test.entries[j])), j) for j in test.of(method))
    return [(i, j) for i, j in found if i is not None]


def _identity(entry: Entry) -> tuple[str, ...]:
    return (*entry.cells.values(), canonical_json(dict(entry.setting)))


def _best(settings: list[int], goals: Floats, base: Floats, limit: float | None) -> int | None:
    """Return the place of the best setting in a list; of equal ones that with the best x.

    None: no setting spans a rectangle over the base, or keeps to the limit.
    """
    x, y = goals[settings].T
    if limit is None:
        worth = np.maximum(goals[settings] - base, 0).prod(axis=1)
        fit = worth > 0
    else:
        worth, fit = y, x >= limit
    places = (int(i) for i in np.flatnonzero(fit))
    return max(places, key=lambda i: (worth[i], x[i]), default=None)


def _choice(dev: ScoreGrid, test: ScoreGrid, pair: Pair, level: float) -> Choice:
    i, j = pair
    entry = test.entries[j]
    return Choice(
        method=entry.method,
        setting=entry.setting,
        label=entry.label,
        dev_x=mean_interval(dev.values[:, i, 0], level),
        dev_y=mean_interval(dev.values[:, i, 1], level),
        test_x=mean_interval(test.values[:, j, 0], level),
        test_y=mean_interval(test.values[:, j, 1], level),
    )


def _not_chosen(methods: Iterable[str], why: str) -> tuple[str, ...]:
    return tuple(f"no setting is chosen for {method}: {why}" for method in methods)


def _nothing_fit(axes: tuple[Axis, Axis], floor: float | None, base: Any) -> str:
    x, y = axes
    if floor is not None:
        return f"none has {x.metric} no worse than {floor:g}"
    return f"none is better than ({base[0]:.4g}, {base[1]:.4g}) in both {x.metric} and {y.metric}"


def _rule(axes: tuple[Axis, Axis], floor: float | None, base: Any) -> str:
    x, y = axes
    if floor is not None:
        return f"best {y.metric} with {x.metric} no worse than {floor:g}"
    return (
        f"largest gain in {x.metric} times gain in {y.metric} over ({base[0]:.4g}, {base[1]:.4g})"
    )


def _halves(samples: int, seed: int) -> tuple[list[int], list[int]]:
    """Return the samples to choose on and those to judge on, both in order."""
    shuffled = np.random.default_rng([seed, samples]).permutation(samples)
    middle = samples // 2
    return sorted(shuffled[:middle].tolist()), sorted(shuffled[middle:].tolist())
