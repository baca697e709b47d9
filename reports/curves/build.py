"""From runs to a trade-off: points, curves, claims and chosen settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from icd_bench.errors import UsageError
from icd_bench.reports.joined_runs import JoinedRuns, join_runs
from icd_bench.stats.intervals import mean_interval
from icd_bench.stats.joint import Estimate, estimate, joint_means, simultaneous_band
from icd_bench.stats.multiple import holm
from icd_bench.stats.pareto import hypervolume, on_front
from icd_bench.stats.trade_off import Fronts, mean_difference, shared_range

from .choice import Chosen, choose, split_cells
from .model import Axis, Claim, Curve, Point, TradeOff
from .scores import ScoreGrid, all_alike, find_axis, reference_point, score_grid

Floats = NDArray[np.float64]

PLACES = 65
"""Levels of x at which a curve is computed."""

ENOUGH = 0.95
"""Share of the draws that must reach a level before a claim is made there."""

FEW_SAMPLES = 20

NO_AREA = Estimate(value=np.nan, low=np.nan, high=np.nan, p=np.nan, defined=0.0)


def trade_off(
    runs: Sequence[Path] | JoinedRuns,
    x: str,
    y: str,
    *,
    at: Sequence[float] = (),
    floor: float | None = None,
    reference: tuple[float, float] | None = None,
    dev: str | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> TradeOff:
    """Return the trade-off between two scores of all settings of some runs.

    Samples are the unit: seeds of a sample are averaged, and every bootstrap draw takes the same
    samples for both scores and all settings.

    Where neither end of a score is better, there are points alone.

    The runs have to be of one benchmark, protocol and resolution, and their methods must have been
    given the same beyond the samples. If they have a dev split beside another
    one, settings are chosen on it and everything is computed on the other. If they have one split,
    everything is computed on all of its samples, and for the choice alone they are cut into two
    halves by a seeded shuffle: a separate dev split is better, for it costs no test samples. Where
    both splits have the same samples, no setting is chosen. Whatever is left out or not chosen is
    told in the notes.

    Args:
        runs: run folders, or runs that are joined already.
        x: metric that is held equal, or ``nfe`` or ``seconds``.
        y: metric that is compared, likewise.
        at: levels of x at which methods are compared; none: the mean over all levels that both
            methods of a pair reach.
        floor: worst x that a chosen setting may have on dev; None: the choice weighs x against y.
        reference: (x, y) that hypervolumes and the choice are measured from; None: a tenth of the
            range of all points below the worst of each score.
        dev: name of the split to choose on; None: "dev", "val" or "validation" where there is one.
        level: coverage of intervals and bands.
        resamples: number of bootstrap draws.
        seed: of the bootstrap, and of the halves.

    Raises:
        UsageError: a path is not a run folder; the runs have several benchmarks, protocols,
            resolutions, conditions or splits; nothing can be compared; ``dev`` names no split of
            theirs; or ``at``, ``floor`` or ``reference`` is not finite.
        UnknownName: no run has such a metric.
        SignatureMismatch: the runs made a metric in different ways.
        CorruptRun: a run cannot be read.
    """
    if x == y:
        raise UsageError(f"x and y are both {x}: a trade-off needs two scores")
    _check_finite(at, floor, reference)
    joined = runs if isinstance(runs, JoinedRuns) else join_runs(runs)
    axes = find_axis(joined, x), find_axis(joined, y)
    _check_conditions(joined)
    test_cells, dev_cells = split_cells(joined.cells, dev)
    grid = score_grid(joined, test_cells, x, y)
    signs = np.array([axis.sign for axis in axes])

    rivals = [i for i, entry in enumerate(grid.entries) if not entry.anchor]
    values = np.where(np.isfinite(grid.values), grid.values, np.nan) * signs
    means = values.mean(axis=0)
    draws = joint_means(values, resamples, seed)
    first = test_cells.iloc[0]
    shown = TradeOff(
        benchmark=str(first["benchmark"]),
        split=str(first["split"]),
        protocol=str(first["protocol"]),
        x=axes[0],
        y=axes[1],
        points=_points(grid, level),
        curves=tuple(Curve(method, (), (), (), (), NO_AREA) for method in grid.methods),
        claims=(),
        choices=(),
        choice_rule="",
        reference=(np.nan, np.nan),
        samples=len(grid.samples),
        left_out=grid.left_out,
        level=level,
        resamples=resamples,
        seed=seed,
        notes=_notes(grid),
    )
    if unranked := [axis.metric for axis in axes if axis.direction == "neither"]:
        note = f"neither more nor less {unranked[0]} is better: no fronts, no comparisons"
        return replace(shown, notes=(*shown.notes, note))
    zero = reference_point(means[rivals], reference, signs)
    dev_grid = score_grid(joined, dev_cells, x, y) if dev_cells is not None else None
    chosen = choose(
        grid,
        dev_grid,
        axes,
        floor=floor,
        reference=reference,
        level=level,
        seed=seed,
    )
    return replace(
        shown,
        points=_on_fronts(shown.points, rivals, means, draws),
        curves=tuple(
            _curve(m, means[grid.of(m)], draws[:, grid.of(m)], zero, axes, grid, level)
            for m in grid.methods
        ),
        claims=_claims(grid, means, draws, axes, at, level),
        choices=chosen.choices,
        choice_rule=chosen.rule,
        reference=(zero[0] * axes[0].sign, zero[1] * axes[1].sign),
        notes=(*shown.notes, *_flat_notes(means[rivals], axes), *_dev_notes(dev_grid, chosen)),
    )


def _check_finite(
    at: Sequence[float], floor: float | None, reference: tuple[float, float] | None
) -> None:
    """Refuse numbers that nothing can be compared with."""
    given = {"at": at, "floor": () if floor is None else (floor,), "reference": reference or ()}
    for name, numbers in given.items():
        if not all(map(isfinite, numbers)):
            told = ",".join(f"{number:g}" for number in numbers)
            raise UsageError(f"{name} {told}: give finite numbers")


def _check_conditions(joined: JoinedRuns) -> None:
    """Refuse methods of which one was given more than another."""
    given = {
        method: joined.conditions.get(method, "as published")
        for method in joined.methods
        if method not in joined.anchors
    }
    if len(set(given.values())) > 1:
        told = ", ".join(f"{method} ({condition})" for method, condition in given.items())
        raise UsageError(
            f"methods that were run under different conditions are not compared: {told}; "
            "name runs under the same ones"
        )


def _points(grid: ScoreGrid, level: float) -> tuple[Point, ...]:
    """Return the settings, none of them on a front."""
    return tuple(
        Point(
            method=entry.method,
            cells=entry.cells,
            setting=entry.setting,
            label=entry.label,
            anchor=entry.anchor,
            x=mean_interval(grid.values[:, i, 0], level),
            y=mean_interval(grid.values[:, i, 1], level),
            correlation=_correlation(grid.values[:, i]),
            on_front=False,
            p_front=np.nan,
            nfe=entry.nfe,
            seconds=entry.seconds,
        )
        for i, entry in enumerate(grid.entries)
    )


def _on_fronts(
    points: Sequence[Point], rivals: Sequence[int], means: Floats, draws: Floats
) -> tuple[Point, ...]:
    """Return the points with what is known of the front of all methods."""
    front = np.zeros(len(points), dtype=bool)
    p_front = np.full(len(points), np.nan)
    front[rivals] = on_front(means[rivals])
    p_front[rivals] = on_front(draws[:, rivals]).mean(axis=0)
    return tuple(
        replace(point, on_front=bool(front[i]), p_front=float(p_front[i]))
        for i, point in enumerate(points)
    )


def _correlation(pairs: Floats) -> float:
    finite = pairs[np.isfinite(pairs).all(axis=1)]
    if len(finite) < 2 or not np.ptp(finite, axis=0).all():
        return np.nan
    correlation: Floats = np.asarray(np.corrcoef(finite.T))
    return float(correlation[0, 1])


def _curve(
    method: str,
    means: Floats,
    draws: Floats,
    zero: tuple[float, float],
    axes: tuple[Axis, Axis],
    grid: ScoreGrid,
    level: float,
) -> Curve:
    area = estimate(
        float(hypervolume(means, zero)), hypervolume(draws, zero), len(grid.samples), level
    )
    area = replace(area, low=np.maximum(area.low, 0.0))
    front = Fronts.of(means[None])
    if not front.low[0] < front.high[0]:
        return Curve(method, (), (), (), (), area)
    levels = np.linspace(front.low[0], front.high[0], PLACES)
    y = front.second_at(levels[None])[0]
    drawn = Fronts.of(draws).second_at(np.broadcast_to(levels, (len(draws), PLACES)))
    low, high = simultaneous_band(y, drawn, len(grid.samples), level)
    ends = np.stack((low, high) if axes[1].sign > 0 else (-high, -low)).clip(*axes[1].limits)
    order = slice(None) if axes[0].sign > 0 else slice(None, None, -1)
    return Curve(
        method=method,
        x=tuple((levels * axes[0].sign)[order].tolist()),
        y=tuple((y * axes[1].sign)[order].tolist()),
        low=tuple(ends[0][order].tolist()),
        high=tuple(ends[1][order].tolist()),
        hypervolume=area,
    )


def _claims(
    grid: ScoreGrid,
    means: Floats,
    draws: Floats,
    axes: tuple[Axis, Axis],
    at: Sequence[float],
    level: float,
) -> tuple[Claim, ...]:
    fronts = {
        m: (Fronts.of(means[None, grid.of(m)]), Fronts.of(draws[:, grid.of(m)]))
        for m in grid.methods
    }
    claims = [
        _claim(a, b, fronts[a], fronts[b], place, axes, len(grid.samples), level)
        for a, b in combinations(grid.methods, 2)
        for place in (at or (None,))
    ]
    adjusted = holm([claim.difference.p for claim in claims])
    return tuple(
        Claim(c.a, c.b, c.at, c.shared, c.difference, float(p), c.refused)
        for c, p in zip(claims, adjusted, strict=True)
    )


def _claim(
    a: str,
    b: str,
    fronts_a: tuple[Fronts, Fronts],
    fronts_b: tuple[Fronts, Fronts],
    at: float | None,
    axes: tuple[Axis, Axis],
    samples: int,
    level: float,
) -> Claim:
    low, high = (float(end[0]) for end in shared_range((fronts_a[0], fronts_b[0])))
    found = []
    for one, other in zip(fronts_a, fronts_b, strict=True):
        if at is None:
            difference = mean_difference(one, other)
        else:
            levels = np.full((len(one.size), 1), at * axes[0].sign)
            difference = (one.second_at(levels) - other.second_at(levels))[:, 0]
        found.append(difference * axes[1].sign)
    value, drawn = float(found[0][0]), found[1]
    there = estimate(value, drawn, samples, level, ENOUGH)
    ends = sorted((low * axes[0].sign, high * axes[0].sign))
    return Claim(
        a=a,
        b=b,
        at=at,
        shared=(ends[0], ends[1]) if low <= high else None,
        difference=there,
        p_holm=np.nan,
        refused=_refusal(a, b, fronts_a[0], fronts_b[0], at, axes[0], there),
    )


def _refusal(
    a: str, b: str, front_a: Fronts, front_b: Fronts, at: float | None, x: Axis, found: Estimate
) -> str:
    if not np.isfinite(found.value):
        for method, front in ((a, front_a), (b, front_b)):
            ends = sorted((float(front.low[0]) * x.sign, float(front.high[0]) * x.sign))
            if not front.low[0] < front.high[0]:
                return f"{method} has one level of {x.metric}, no curve; sweep more settings"
            if at is not None and not ends[0] <= at <= ends[1]:
                return (
                    f"{method} reaches {x.metric} {ends[0]:.4g} to {ends[1]:.4g}: "
                    f"{at:g} would be extrapolated; sweep further"
                )
        return f"they share no level of {x.metric}: one would be extrapolated; sweep further"
    if found.defined < ENOUGH:
        return (
            f"only {found.defined:.0%} of the draws reach it, no test without extrapolation; "
            "sweep further or take more samples"
        )
    return "" if np.isfinite(found.low) else "one sample has no interval"


def _flat_notes(means: Floats, axes: tuple[Axis, Axis]) -> tuple[str, ...]:
    """Return what to know where one score is the same for all settings: there is no trade-off."""
    alike = all_alike(means)
    if alike.all() or not alike.any():
        return ()
    flat, other = axes if alike[0] else axes[::-1]
    decides = f"{other.metric} alone decides hypervolumes and choices"
    return (f"all settings have the same {flat.metric}: {decides}",)


def _dev_notes(dev_grid: ScoreGrid | None, chosen: Chosen) -> tuple[str, ...]:
    left_out = () if dev_grid is None else dev_grid.notes
    return (*(f"on the split to choose on, {note}" for note in left_out), *chosen.notes)


def _notes(grid: ScoreGrid) -> tuple[str, ...]:
    notes = list(grid.notes)
    for entry, pairs in zip(grid.entries, np.moveaxis(grid.values, 1, 0), strict=True):
        missing = int((~np.isfinite(pairs).all(axis=1)).sum())
        if missing:
            notes.append(
                f"{entry.method} {entry.label}".strip()
                + f" (reference line) has no finite value for {missing} of {len(pairs)} samples"
            )
    if len(grid.samples) < FEW_SAMPLES:
        notes.append(f"{len(grid.samples)} samples are few: intervals and tests are approximate")
    return tuple(notes)
