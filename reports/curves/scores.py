"""Two scores of every setting on the same samples, as one dense array."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icd_bench.errors import SignatureMismatch, UnknownName, UsageError
from icd_bench.registry import suggest
from icd_bench.reports.joined_runs import JoinedRuns
from icd_bench.reports.settings_label import setting_label, setting_order

from .model import Axis

Floats = NDArray[np.float64]

COSTS = {
    "nfe": Axis(
        "nfe", "U-Net rows of an edit", "lower", "rows", "counted by the backbone", (0, None)
    ),
    "seconds": Axis(
        "seconds", "Time of an edit", "lower", "s", "share of its batches' time", (0, None)
    ),
}
"""Columns that every run has and that can be an axis as a metric can."""

ENOUGH = 0.8
"""A setting that has both scores for a smaller share of what any setting edited is left out."""

MARGIN = 0.1
"""How far below the worst the reference point is, as a share of the range."""

ALIKE = 1e-12
"""A range below this share of the value is rounding: all settings have the same."""

FAMILY = ["method", "method_version", "model", "model_digest"]
SAMPLE = ["sample_id", "sample_digest"]


@dataclass(frozen=True)
class Entry:
    """One setting of one method: what a point is made from."""

    method: str
    cells: Mapping[str, str]
    setting: Mapping[str, Any]
    label: str
    anchor: bool
    nfe: float
    seconds: float


@dataclass(frozen=True)
class ScoreGrid:
    """S settings on N samples."""

    entries: tuple[Entry, ...]
    samples: tuple[str, ...]
    """Digests of the samples: two splits may give one sample two names."""
    values: Floats
    """(N, S, 2): both scores as they are, seeds averaged; NaN and infinite for anchors only."""
    left_out: int
    notes: tuple[str, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that compete, in order."""
        return tuple(dict.fromkeys(e.method for e in self.entries if not e.anchor))

    def of(self, method: str) -> list[int]:
        """Return which settings are a method's."""
        return [i for i, e in enumerate(self.entries) if e.method == method and not e.anchor]

    def restricted(self, samples: Sequence[int]) -> ScoreGrid:
        """Return the same settings on some of the samples."""
        return replace(
            self,
            samples=tuple(self.samples[i] for i in samples),
            values=self.values[list(samples)],
        )


def find_axis(joined: JoinedRuns, metric: str) -> Axis:
    """Return the card of a metric or cost.

    Raises:
        UnknownName: no run has it.
        SignatureMismatch: the runs made it in different ways.
    """
    if metric in COSTS:
        return COSTS[metric]
    found = [column for column in joined.columns if column.metric == metric]
    if not found:
        known = [*dict.fromkeys(column.metric for column in joined.columns), *COSTS]
        raise UnknownName(
            f'these runs have no metric "{metric}".{suggest(metric, known)} '
            f"Known: {', '.join(known)}."
        )
    if len(found) > 1:
        ways = "; ".join(
            f"{column.signature} ({', '.join(_methods_with(joined.cells, column.key))})"
            for column in found
        )
        raise SignatureMismatch(
            f"{metric} was made in {len(found)} ways: {ways}; values made differently are never "
            "compared: score the runs again with one version, or name runs that agree"
        )
    (column,) = found
    return Axis(metric, column.title, column.direction, column.unit, column.signature, column.range)


def score_grid(joined: JoinedRuns, cells: pd.DataFrame, x: str, y: str) -> ScoreGrid:
    """Return two scores of the cells of one benchmark and split.

    Only samples that every compared setting has count, so that no setting profits from the
    samples on which it failed. Settings and samples without any edit are told among the notes.

    Args:
        joined: the runs; methods get names that tell them apart in all of their splits.
        cells: of one split, failed ones too.
        x: metric or cost.
        y: likewise.

    Raises:
        UsageError: no setting has both scores, or no sample has those of every setting.
    """
    numbers = _numbers(cells, x, y)
    groups = [*FAMILY, "setting"]
    by_setting = numbers.groupby(groups, sort=False)
    costs = by_setting.agg(nfe=("nfe", "mean"), seconds=("seconds", "median"))
    scores = numbers.groupby([*groups, *SAMPLE], sort=False)[[x, y]].mean()
    wide = {goal: scores[goal].unstack(SAMPLE).sort_index(axis=1) for goal in (x, y)}
    names = _family_names(joined.cells)
    entries = [_entry(key, cost, names, joined, cells) for key, cost in costs.iterrows()]
    order = sorted(range(len(entries)), key=lambda i: _place(entries[i], joined, costs.index[i]))
    keys = costs.index[order]
    values = np.stack([wide[goal].loc[keys].to_numpy(np.float64).T for goal in (x, y)], axis=-1)
    samples = wide[x].columns
    rivals = cells[(cells["status"] == "ok") & ~cells["method"].isin(joined.anchors)]
    edited = samples.isin(pd.MultiIndex.from_frame(rivals[SAMPLE]))
    digests = list(map(str, samples.get_level_values(1)))
    return _complete([entries[i] for i in order], digests, values, edited)


def reference_point(
    means: Floats, given: tuple[float, float] | None, signs: NDArray[np.int_]
) -> tuple[float, float]:
    """Return the point that gains are measured from, in goals of which more is better.

    Args:
        means: (K, 2) goals of all points, of which more is better.
        given: the point in the scores' own units; None: a tenth of the range of all points below
            the worst of each goal, so that the extreme points count too. Where all points have the
            same, it is a tenth of that value below it, so that the other goal decides.
        signs: (2,) 1 where more of a score is better, otherwise -1.
    """
    if given is not None:
        return float(given[0] * signs[0]), float(given[1] * signs[1])
    worst = means.min(axis=0)
    size = np.where(worst == 0, 1.0, np.abs(worst))
    first, second = worst - MARGIN * np.where(all_alike(means), size, np.ptp(means, axis=0))
    return float(first), float(second)


def all_alike(means: Floats) -> NDArray[np.bool_]:
    """Return for each goal (2,) of points (K, 2) whether all points have the same."""
    alike: NDArray[np.bool_] = np.ptp(means, axis=0) <= ALIKE * np.abs(means).max(axis=0)
    return alike


def _numbers(cells: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Return the cells with what is averaged over them; failed ones have none of it."""
    cells = cells.copy()
    cells["nfe"] = cells[["nfe_invert", "nfe_source", "nfe_edit"]].sum(axis=1)
    cells["seconds"] = cells["seconds_invert"] + cells["seconds_edit"]
    names = list(dict.fromkeys((*COSTS, x, y)))
    cells[names] = cells[names].where(cells["status"] == "ok")
    return cells


def _complete(
    entries: Sequence[Entry], samples: Sequence[str], values: Floats, edited: NDArray[np.bool_]
) -> ScoreGrid:
    """Leave out settings that have too few samples, then samples that some setting lacks.

    Samples that no competing setting has ``edited`` (N,) speak against none of them.
    """
    notes = []
    has = np.asarray(np.isfinite(values).all(axis=-1))
    anchor = np.array([entry.anchor for entry in entries])
    fit = has.sum(axis=0) / max(int(edited.sum()), 1) >= ENOUGH
    shown = np.where(anchor, ~np.isnan(values).all(axis=(0, 2)), fit)
    for entry, count, kept in zip(entries, has.sum(axis=0), shown, strict=True):
        if not kept:
            notes.append(
                f"{entry.method} {entry.label}".strip()
                + f" is left out: it has both values for {count} of {len(samples)} samples"
            )
    if not (fit & ~anchor).any():
        raise UsageError("no setting has finite values of both scores for most samples")
    common = np.asarray(has[:, fit & ~anchor].all(axis=1))
    if not common.any():
        raise UsageError("no sample has finite values of both scores in every setting")
    left_out = int((~common).sum())
    if left_out:
        notes.append(
            f"{left_out} of {len(samples)} samples are left out: some setting failed on them or "
            "has no finite value"
        )
    return ScoreGrid(
        entries=tuple(e for e, kept in zip(entries, shown, strict=True) if kept),
        samples=tuple(s for s, kept in zip(samples, common, strict=True) if kept),
        values=values[common][:, shown],
        left_out=left_out,
        notes=tuple(notes),
    )


def _entry(
    key: Any, cost: Any, names: Mapping[Any, str], joined: JoinedRuns, cells: pd.DataFrame
) -> Entry:
    method, setting = key[0], json.loads(key[-1])
    others = cells.loc[cells["method"] == method, "setting"].unique()
    return Entry(
        method=names[key[:-1]],
        cells=dict(zip(FAMILY, map(str, key), strict=False)),
        setting=setting,
        label=setting_label(setting, joined.defaults.get(method, {}), map(json.loads, others)),
        anchor=method in joined.anchors,
        nfe=float(cost["nfe"]),
        seconds=float(cost["seconds"]),
    )


def _family_names(rows: pd.DataFrame) -> dict[Any, str]:
    """Return a name for each method, version, model and weights: only as long as needed."""
    rows = rows[FAMILY].drop_duplicates()
    names = {}
    for family in rows.itertuples(index=False):
        alike = rows[rows["method"] == family.method]
        name = str(family.method)
        if alike["method_version"].nunique() > 1:
            name += f" v{family.method_version}"
        if rows["model"].nunique() > 1:
            name += f" on {family.model}"
        same_model = alike[alike["model"] == family.model]
        if same_model["model_digest"].nunique() > 1:
            name += f" @{str(family.model_digest)[:6]}"
        names[tuple(family)] = name
    return names


def _place(entry: Entry, joined: JoinedRuns, key: Any) -> tuple[Any, ...]:
    rank = joined.methods.index(key[0]) if key[0] in joined.methods else len(joined.methods)
    return (entry.anchor, rank, entry.method, setting_order(entry.setting))


def _methods_with(cells: pd.DataFrame, key: str) -> list[str]:
    return list(cells.loc[cells[key].notna(), "method"].unique())
