"""Two runs against each other: what changed from the first to the second, and where most.

``diff_runs`` returns data for tables, pages and programs; ``render`` shows it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from icd_bench.errors import SignatureMismatch, UsageError
from icd_bench.stats.intervals import PairedDifference, paired_difference
from icd_bench.stats.multiple import holm

from .joined_runs import JoinedRuns, join_runs
from .json_text import json_text
from .settings_label import setting_label, setting_order
from .table_model import Column
from .text_table import text_table

PAIRED = [
    "benchmark",
    "split",
    "protocol",
    "model",
    "method",
    "setting",
    "sample_id",
    "sample_digest",
    "seed",
    "resolution",
]
"""What the edits of a pair share; versions, weights, devices and number types may differ."""

MAY_DIFFER = ("method_version", "model_digest", "device", "dtype")
MOST_CHANGED = 20
LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """How one metric of one method and setting changed."""

    paired: PairedDifference
    """The mean of B - A over pairs in the metric's unit, samples as clusters."""
    p_holm: float
    """Its p value after Holm's correction over all metrics, methods and settings of the diff."""
    better: bool | None
    """Whether B is better; None where that is not shown at the 95 % level, or neither can be."""


@dataclass(frozen=True)
class DiffRow:
    """One method with one setting, in both runs."""

    benchmark: str
    split: str
    protocol: str
    model: str
    method: str
    setting: Mapping[str, Any]
    label: str
    pairs: int
    """Edits that both runs have."""
    identical: int
    """Pairs with the same picture to the bit."""
    only_a: int
    """Finished edits that have no finished partner in B."""
    only_b: int
    differs: Mapping[str, tuple[str, str]]
    """What made the pairs that is not the same: name -> values of A and B."""
    values: Mapping[str, Difference]
    """Metric -> how it changed."""


@dataclass(frozen=True)
class Change:
    """One pair of edits."""

    benchmark: str
    sample_id: str
    method: str
    setting: Mapping[str, Any]
    label: str
    seed: int
    cell_a: str
    """Id of the edit in A; its picture is ``RunFolder(a).image_path(cell_a)``."""
    cell_b: str
    size: float
    """Root mean square over metrics of the change, in standard deviations of A's scores."""
    scores: Mapping[str, tuple[float, float]]
    """Metric -> score in A and in B."""


@dataclass(frozen=True)
class RunDiff:
    """What changed from run A to run B."""

    a: str
    """Name of the folder."""
    b: str
    columns: tuple[Column, ...]
    """The metrics that both runs made in the same way."""
    refused: Mapping[str, tuple[str, str]]
    """Metrics that they made differently: name -> signatures of A and B. Never compared."""
    rows: tuple[DiffRow, ...]
    most_changed: tuple[Change, ...]
    """The pairs with the largest changes, largest first; identical ones are not among them."""
    notes: tuple[str, ...]


def diff_runs(a: Path, b: Path, most: int = MOST_CHANGED) -> RunDiff:
    """Return the paired differences of two runs.

    Args:
        a: folder of the run that is the point of comparison.
        b: folder of the other run.
        most: number of pairs to return as the most changed ones.

    Raises:
        UsageError: a path is not a run folder, a run has no finished cell, or no edit of one has a
            partner in the other.
        SignatureMismatch: they have common metrics, but made every one of them differently.
        CorruptRun: a run cannot be read.
    """
    first, second = join_runs([a]), join_runs([b])
    columns, refused = _common_columns(first, second)
    keys = [column.key for column in columns]
    pairs = _pairs(first.cells, second.cells, keys)
    if pairs.empty:
        raise UsageError(
            f"{a} and {b} have no edit in common: a pair shares benchmark, model, method, "
            "setting, sample and seed"
        )
    labels = _labels(pairs, first, second)
    rows = _rows(pairs, first, second, columns, labels)
    return RunDiff(
        a=a.resolve().name,
        b=b.resolve().name,
        columns=columns,
        refused=refused,
        rows=rows,
        most_changed=_most_changed(pairs, keys, labels, most),
        notes=tuple(_notes(rows, refused, _alone(first, pairs), _alone(second, pairs))),
    )


def to_text(diff: RunDiff) -> str:
    """Return the differences as text for a terminal."""
    parts = [f"{diff.b} - {diff.a}"]
    for row in diff.rows:
        lines = [
            [column.heading, *_difference_cells(row.values[column.key])]
            for column in diff.columns
            if _changed(row.values[column.key].paired)
        ]
        parts.append(
            f"{row.method} {row.label}".strip()
            + f": {row.pairs} pairs, {row.identical} with the same picture"
        )
        if lines:
            parts[-1] += "\n" + text_table(("metric", "B - A", "p", ""), lines, indent="  ")
    if diff.most_changed:
        changes = [
            [change.sample_id, change.method, change.label or "default", f"{change.size:.2f}"]
            for change in diff.most_changed
        ]
        parts += [text_table(("changed most", "method", "setting", "size"), changes)]
    return "\n\n".join([*parts, "\n".join(diff.notes)]) + "\n"


def render(diff: RunDiff, form: str) -> str:
    """Return a diff as "text" for a terminal, or as "json" with all of its fields.

    Raises:
        UsageError: there is no such form.
    """
    if form == "text":
        return to_text(diff)
    if form == "json":
        return json_text(asdict(diff))
    raise UsageError(f'unknown format "{form}"; known: text, json')


def _common_columns(
    first: JoinedRuns, second: JoinedRuns
) -> tuple[tuple[Column, ...], dict[str, tuple[str, str]]]:
    theirs = {column.metric: column for column in second.columns}
    shared = [column for column in first.columns if column.metric in theirs]
    refused = {
        column.metric: (column.signature, theirs[column.metric].signature)
        for column in shared
        if column.signature != theirs[column.metric].signature
    }
    if shared and len(refused) == len(shared):
        ways = "; ".join(f"{name}: {one} and {other}" for name, (one, other) in refused.items())
        raise SignatureMismatch(
            f"the runs made every common metric differently ({ways}); score them with one version"
        )
    return tuple(column for column in shared if column.metric not in refused), refused


def _pairs(first: pd.DataFrame, second: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    kept = ["cell_id", "image_sha256", *MAY_DIFFER, *metrics]
    sides = [
        frame.loc[frame["status"] == "ok", [*PAIRED, *kept]].drop_duplicates(PAIRED)
        for frame in (first, second)
    ]
    return sides[0].merge(sides[1], on=PAIRED, suffixes=("_a", "_b"), validate="one_to_one")


def _labels(
    pairs: pd.DataFrame, first: JoinedRuns, second: JoinedRuns
) -> dict[tuple[str, str], str]:
    """Return (method, setting as JSON) -> what tells the setting from the method's others."""
    settings = pairs[["method", "setting"]].drop_duplicates()
    return {
        (method, setting): setting_label(
            json.loads(setting),
            {**second.defaults, **first.defaults}.get(method, {}),
            map(json.loads, settings.loc[settings["method"] == method, "setting"]),
        )
        for method, setting in settings.itertuples(index=False)
    }


def _rows(
    pairs: pd.DataFrame,
    first: JoinedRuns,
    second: JoinedRuns,
    columns: Sequence[Column],
    labels: Mapping[tuple[str, str], str],
) -> tuple[DiffRow, ...]:
    identity = PAIRED[:6]
    finished = [
        run.cells[run.cells["status"] == "ok"].groupby(identity).size().to_dict()
        for run in (first, second)
    ]
    groups = [(key, group) for key, group in pairs.groupby(identity, sort=False)]
    groups.sort(key=lambda item: _place(item[0], first.methods))
    found = [_differences(group, columns) for _, group in groups]
    adjusted = iter(holm([paired.p for each in found for paired in each]))
    rows = []
    for (key, group), each in zip(groups, found, strict=True):
        names = dict(zip(identity, map(str, key), strict=True))
        rows.append(
            DiffRow(
                **{name: names[name] for name in identity[:5]},
                setting=json.loads(names["setting"]),
                label=labels[names["method"], names["setting"]],
                pairs=len(group),
                identical=int((group["image_sha256_a"] == group["image_sha256_b"]).sum()),
                only_a=int(finished[0][key]) - len(group),
                only_b=int(finished[1][key]) - len(group),
                differs=_what_differs(group),
                values={
                    column.key: _judged(paired, float(next(adjusted)), column)
                    for column, paired in zip(columns, each, strict=True)
                },
            )
        )
    return tuple(rows)


def _differences(group: pd.DataFrame, columns: Sequence[Column]) -> list[PairedDifference]:
    clusters = list(group["sample_id"])
    return [
        paired_difference(group[f"{c.key}_b"], group[f"{c.key}_a"], LEVEL, clusters)
        for c in columns
    ]


def _judged(paired: PairedDifference, p: float, column: Column) -> Difference:
    shown = p < 1 - LEVEL and column.direction != "neither"
    sign = 1 if column.direction == "higher" else -1
    return Difference(paired, p, paired.mean * sign > 0 if shown else None)


def _what_differs(group: pd.DataFrame) -> dict[str, tuple[str, str]]:
    return {
        name: (str(group[f"{name}_a"].iloc[0]), str(group[f"{name}_b"].iloc[0]))
        for name in MAY_DIFFER
        if (group[f"{name}_a"] != group[f"{name}_b"]).any()
    }


def _most_changed(
    pairs: pd.DataFrame,
    metrics: Sequence[str],
    labels: Mapping[tuple[str, str], str],
    most: int,
) -> tuple[Change, ...]:
    before = pairs[[f"{metric}_a" for metric in metrics]].to_numpy(np.float64)
    after = pairs[[f"{metric}_b" for metric in metrics]].to_numpy(np.float64)
    sizes = _sizes(before, after)
    order = np.argsort(-sizes, kind="stable")[:most]
    changes = []
    for place in order[sizes[order] > 0]:
        pair = pairs.iloc[place]
        changes.append(
            Change(
                benchmark=pair["benchmark"],
                sample_id=pair["sample_id"],
                method=pair["method"],
                setting=json.loads(pair["setting"]),
                label=labels[pair["method"], pair["setting"]],
                seed=int(pair["seed"]),
                cell_a=pair["cell_id_a"],
                cell_b=pair["cell_id_b"],
                size=float(sizes[place]),
                scores={
                    metric: (float(before[place, i]), float(after[place, i]))
                    for i, metric in enumerate(metrics)
                },
            )
        )
    return tuple(changes)


def _sizes(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return (N,) root mean squares of changes (N, M) over the metrics that are finite."""
    with np.errstate(invalid="ignore"):
        change = after - before
    finite = np.isfinite(change)
    spread = [np.std(column[np.isfinite(column)], ddof=0) for column in before.T]
    scale = np.array([s if isfinite(s) and s > 0 else 1.0 for s in spread])
    squares = np.where(finite, change / scale, 0.0) ** 2
    sizes: np.ndarray = np.sqrt(squares.sum(axis=1) / np.maximum(finite.sum(axis=1), 1))
    return sizes


def _alone(run: JoinedRuns, pairs: pd.DataFrame) -> int:
    return int((run.cells["status"] == "ok").sum()) - len(pairs)


def _notes(
    rows: Sequence[DiffRow], refused: Mapping[str, tuple[str, str]], only_a: int, only_b: int
) -> Iterator[str]:
    yield (
        "B - A: mean of paired differences with 95 % interval; p after Holm's correction over all "
        "of them; same picture: equal to the bit"
    )
    for name, (one, other) in refused.items():
        yield f"{name} is not compared: made as {one} in A and as {other} in B"
    for name in MAY_DIFFER:
        values = dict.fromkeys(row.differs[name] for row in rows if name in row.differs)
        for one, other in values:
            yield f"{name} differs: {one[:16]} in A, {other[:16]} in B"
    if only_a or only_b:
        yield f"finished edits without a finished partner: {only_a} in A, {only_b} in B"


def _place(key: Any, methods: Sequence[str]) -> tuple[Any, ...]:
    *block, method, setting = key
    rank = methods.index(method) if method in methods else len(methods)
    return (*block, rank, setting_order(json.loads(setting)))


def _changed(paired: PairedDifference) -> bool:
    return paired.n > 0 and not paired.low == paired.high == 0


def _difference_cells(difference: Difference) -> list[str]:
    paired = difference.paired
    margin = (paired.high - paired.low) / 2
    shown = f"{paired.mean:+.3g}" + (f" ±{margin:.2g}" if isfinite(margin) else "")
    verdict = {True: "better", False: "worse", None: ""}[difference.better]
    return [shown, "" if isnan(difference.p_holm) else f"{difference.p_holm:.2g}", verdict]
