"""Scores by category: a bar with its interval for each method."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

import pandas as pd

from icd_bench.reports.curves.model import Axis
from icd_bench.stats.intervals import mean_interval

from .selection import Shown
from .style import GREY, PALE, look, new_figure, paper_style, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALL = "all"
FEW = 5
"""Intervals of groups with fewer samples do not stretch a panel."""
GAP = 0.5
"""Space between the bars of all samples and those of the categories, in groups of bars."""


def draw_bars(
    shown: Sequence[Shown],
    axes: Sequence[Axis],
    level: float = 0.95,
    width: float = 7.0,
    panel_height: float = 1.55,
) -> Figure:
    """Return a figure with a panel for each metric: all samples first, then every category.

    Bars start at 0; the lines on them are intervals of the mean, samples as clusters. A group
    with one sample has no interval, and those of very small groups run out of the panel.

    Args:
        shown: what is compared.
        axes: the metrics, best made by ``find_axis``.
        level: coverage of the intervals.
        width: of the figure in inches.
        panel_height: of one panel in inches.
    """
    cells = pd.concat([each.cells for each in shown])
    categories = sorted(category for category in cells["category"].unique() if category)
    groups = [ALL, *(categories if len(categories) > 1 else ())]
    with paper_style():
        figure = new_figure(width, 0.75 + panel_height * len(axes))
        panels = figure.subplots(len(axes), 1, sharex=True, squeeze=False)[:, 0]
        for panel, axis in zip(panels, axes, strict=True):
            _draw_panel(panel, axis, shown, groups, level)
        panels[-1].set_xticks(
            [_place(i) for i in range(len(groups))],
            [plain(_tick(group, cells)) for group in groups],
            fontsize=7.5,
        )
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)))
    return figure


def category_name(category: str) -> str:
    """Return a category without its number: "1_change_object" is "change object"."""
    number, _, name = category.partition("_")
    return (name if number.isdigit() and name else category).replace("_", " ")


def _draw_panel(
    panel: Axes, axis: Axis, shown: Sequence[Shown], groups: Sequence[str], level: float
) -> None:
    rivals = [each for each in shown if not each.anchor]
    bar = 0.82 / len(shown)
    ends = [0.0]
    for index, each in enumerate(shown):
        colour = GREY if each.anchor else look(rivals.index(each))[0]
        means = [
            mean_interval(
                cells[axis.metric].astype(float), level, clusters=list(cells["sample_id"])
            )
            for cells in (_of_group(each.cells, group) for group in groups)
        ]
        for group, mean in enumerate(means):
            at = _place(group) + (index - (len(shown) - 1) / 2) * bar
            if not isfinite(mean.mean):
                if mean.infinite:
                    panel.text(at, 0, "∞", ha="center", va="bottom", color=GREY, fontsize=8)
                continue
            ends.append(mean.mean)
            panel.bar(at, mean.mean, bar * 0.9, color=PALE if each.anchor else colour, zorder=2)
            if isfinite(mean.low):
                panel.vlines(at, mean.low, mean.high, color="#222222", lw=0.9, zorder=3)
                ends += [mean.low, mean.high] if mean.n >= FEW else []
        text = f"{each.method}: {each.label}" if each.label else each.method
        panel.bar(0, 0, 0, color=PALE if each.anchor else colour, label=plain(text))
    panel.set_title(plain(axis.label), loc="left")
    panel.grid(visible=False, axis="x")
    panel.tick_params(axis="x", length=0)
    panel.axhline(0, color="#333333", lw=0.7)
    panel.spines["bottom"].set_visible(False)
    panel.margins(x=0.01)
    low, high = min(ends), max(ends)
    room = 0.06 * ((high - low) or 1)
    panel.set_ylim(low - (room if low < 0 else 0), high + room)


def _of_group(cells: pd.DataFrame, group: str) -> pd.DataFrame:
    return cells if group == ALL else cells[cells["category"] == group]


def _place(index: int) -> float:
    return index + (GAP if index else 0)


def _tick(group: str, cells: pd.DataFrame) -> str:
    name = "all" if group == ALL else category_name(group)
    count = _of_group(cells, group)["sample_id"].nunique()
    return "\n".join([*name.rsplit(" ", 1), f"n={count}"])
