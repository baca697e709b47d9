"""Which edits of a run a study shows: one setting of each method, chosen before anyone votes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from icd_bench.errors import UnknownName, UsageError
from icd_bench.registry import suggest
from icd_bench.reports.settings_label import setting_label
from icd_bench.run.storage.store import RunFolder

Chosen = Mapping[str, Any]


@dataclass(frozen=True)
class Match:
    """Choose settings at matched preservation: the best edit among those that preserve enough."""

    preservation: str
    """Metric that is matched."""
    best: str
    """Metric by which the setting is chosen."""
    level: float | None = None
    """Mean preservation that a setting must reach; None takes the strictest that every method
    reaches with some setting."""


@dataclass(frozen=True)
class RunEdits:
    """The finished edits of one run, as a study sees them."""

    folder: RunFolder
    cells: pd.DataFrame
    """One row a finished edit, columns of ``results.parquet``."""
    metrics: Mapping[str, Mapping[str, str]]
    """Cards of the run's metrics."""
    defaults: Mapping[str, Mapping[str, Any]]
    """Method -> its default setting."""

    def settings_of(self, method: str) -> list[str]:
        """Return the settings of ``method`` that were run, as canonical JSON, in their order."""
        return list(dict.fromkeys(self.cells.loc[self.cells["method"] == method, "setting"]))

    def at(self, method: str, setting: str) -> pd.DataFrame:
        """Return the edits of ``method`` at ``setting``, one row a sample, indexed by its id."""
        rows = self.cells[(self.cells["method"] == method) & (self.cells["setting"] == setting)]
        return rows.sort_values("seed", kind="stable").groupby("sample_id", sort=False).first()


def read_edits(run: Path) -> RunEdits:
    """Read the finished edits of a run.

    Raises:
        UsageError: no run, nothing finished, or edits of several benchmarks or picture sizes.
    """
    folder = RunFolder.open(run)
    frame = folder.read_results()
    cells = frame[frame["status"] == "ok"]
    if cells.empty:
        raise UsageError(f"{run}: no edit of this run is finished")
    for column in ("benchmark", "split", "protocol", "resolution"):
        if cells[column].nunique() > 1:
            several = ", ".join(map(str, sorted(set(cells[column]))))
            raise UsageError(f"{run}: a study needs one {column}, the run has {several}")
    methods = folder.manifest()["methods"]
    defaults = {name: card["default_setting"] for name, card in methods.items()}
    return RunEdits(folder, cells, frame.attrs["metrics"], defaults)


def choose_settings(
    edits: RunEdits,
    methods: Sequence[str],
    fields: Mapping[str, Chosen] | None = None,
    match: Match | None = None,
) -> dict[str, str]:
    """Choose one setting of each method.

    A method for which ``fields`` names values has the setting with these values, its others at
    their defaults where that leaves a choice. Any other has its best setting at ``match``, or
    its default setting.

    Returns:
        Method -> setting as canonical JSON.

    Raises:
        UnknownName: a method, field's method or metric is not in the run.
        UsageError: fewer than two methods, or no setting, or more than one, fits.
    """
    if len(set(methods)) != len(methods) or len(methods) < 2:
        raise UsageError("a study compares at least two methods, each named once")
    known = list(dict.fromkeys(edits.cells["method"]))
    for name in [*methods, *(fields or {})]:
        if name not in known:
            raise UnknownName(
                f'the run has no finished edit of method "{name}".{suggest(name, known)} '
                f"It has {', '.join(known)}."
            )
    matched = _matched(edits, methods, match) if match else {}
    return {
        method: _given(edits, method, (fields or {}).get(method, {}))
        if method in (fields or {}) or not match
        else matched[method]
        for method in methods
    }


def _given(edits: RunEdits, method: str, fields: Chosen) -> str:
    default = edits.defaults.get(method, {})
    if unknown := [name for name in fields if name not in default]:
        raise UnknownName(
            f'method "{method}" has no field "{unknown[0]}".{suggest(unknown[0], default)}'
        )
    wanted = {**default, **fields}
    run = {text: json.loads(text) for text in edits.settings_of(method)}
    fitting = [
        text
        for text, setting in run.items()
        if all(setting.get(name) == value for name, value in fields.items())
    ]
    exact = [text for text in fitting if run[text] == wanted]
    if chosen := exact or fitting[:1] * (len(fitting) == 1):
        return chosen[0]
    labels = [setting_label(setting, default, run.values()) for setting in run.values()]
    raise UsageError(
        f'method "{method}" was not run at {"these values" if fields else "its default setting"}; '
        f"choose with --set {method}.FIELD=VALUE among: {'; '.join(sorted(labels))}"
    )


def _matched(edits: RunEdits, methods: Sequence[str], match: Match) -> dict[str, str]:
    signs = {name: _sign(edits, name) for name in (match.preservation, match.best)}
    cells = edits.cells[edits.cells["method"].isin(list(methods))]
    means = cells.groupby(["method", "setting"], sort=False)[list(signs)].mean()
    goals = means * list(signs.values())
    reached = goals[match.preservation].groupby("method", sort=False).max()
    sign = signs[match.preservation]
    level = float(reached.min()) if match.level is None else sign * match.level
    chosen: dict[str, str] = {}
    for method in methods:
        rows = goals.loc[method]
        enough = rows[rows[match.preservation] >= level]
        if enough.empty or enough[match.best].isna().all():
            raise UsageError(
                f'no setting of "{method}" has a mean {match.preservation} as good as '
                f"{sign * level:g}; its best is {sign * reached[method]:g}"
            )
        chosen[method] = str(enough[match.best].idxmax())
    return chosen


def _sign(edits: RunEdits, metric: str) -> int:
    if metric not in edits.metrics:
        known = ", ".join(edits.metrics)
        raise UnknownName(
            f'the run has no metric "{metric}".{suggest(metric, edits.metrics)} It has {known}.'
        )
    direction = edits.metrics[metric]["direction"]
    if direction == "neither":
        raise UsageError(f"{metric}: neither more nor less of it is better: it chooses nothing")
    return 1 if direction == "higher" else -1
