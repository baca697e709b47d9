"""The setting that each method would be used with: chosen on dev samples, judged on others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icd_bench.errors import UsageError
from icd_bench.stats.intervals import mean_interval

from .model import Axis, Choice
from .scores import ScoreGrid, reference_point

Floats = NDArray[np.float64]

DEV_NAMES = ("dev", "val", "validation")
FEWEST = 2
"""Samples that each half must have."""


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
) -> tuple[tuple[Choice, ...], str]:
    """Return each method's choice with its result, and the rule in words.

    Without a floor, a method's setting is the one whose point spans the largest rectangle over
    the reference point: the bargain of Nash (1950, Econometrica 18(2)), which does not depend on
    the scores' units. With a floor, it is the one with the best y among those whose x is no
    worse; a method that never keeps to the floor has no choice.

    Args:
        grid: the samples to judge on, or all there are.
        dev_grid: the samples to choose on; None: the samples of ``grid`` are cut into halves.
        axes: x and y.
        floor: worst allowed x on dev.
        reference: (x, y); None: as :func:`reference_point` makes it from the dev means.
        level: coverage of the intervals.
        seed: of the shuffle that makes halves.
    """
    if dev_grid is None:
        halves = _halves(len(grid.samples), seed)
        if min(map(len, halves)) < FEWEST:
            return (), "no setting is chosen: there are too few samples for two halves"
        dev, test = (grid.restricted(half) for half in halves)
        where = f"one half of the samples (shuffled with seed {seed}) and judged on the other"
    else:
        dev, test = dev_grid, grid
        where = "the dev split and judged on the test split"

    signs = np.array([axis.sign for axis in axes])
    goals = np.where(np.isfinite(dev.values), dev.values, np.nan).mean(axis=0) * signs
    rivals = [i for i, entry in enumerate(dev.entries) if not entry.anchor]
    base = np.array(reference_point(goals[rivals], reference, signs))
    places = {(e.method, str(e.setting)): i for i, e in enumerate(test.entries)}

    choices = []
    for method in dev.methods:
        known = [i for i in dev.of(method) if (method, str(dev.entries[i].setting)) in places]
        allowed = [i for i in known if floor is None or goals[i, 0] >= floor * axes[0].sign]
        if not allowed:
            continue
        worth = _worth(goals[allowed], base, floor)
        i = allowed[int(np.argmax(worth))]
        j = places[method, str(dev.entries[i].setting)]
        choices.append(
            Choice(
                method=method,
                setting=dev.entries[i].setting,
                label=test.entries[j].label,
                dev_x=mean_interval(dev.values[:, i, 0], level),
                dev_y=mean_interval(dev.values[:, i, 1], level),
                test_x=mean_interval(test.values[:, j, 0], level),
                test_y=mean_interval(test.values[:, j, 1], level),
            )
        )
    without = [method for method in dev.methods if method not in {c.method for c in choices}]
    none = f"; no such setting: {', '.join(without)}" if without else ""
    return tuple(choices), f"{_rule(axes, floor, base * signs)}, chosen on {where}{none}"


def _worth(goals: Floats, base: Floats, floor: float | None) -> Floats:
    if floor is not None:
        return goals[:, 1]
    worth: Floats = np.maximum(goals - base, 0).prod(axis=1)
    return worth


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
