"""Figures of a study: preferences of pairs, the ranking, and what metrics say of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from icd_bench.reports.figures.style import FORMATS, GREY, new_figure, paper_style, plain, save
from icd_bench.reports.study.analysis import APPLIED, StudyResult
from icd_bench.reports.study.validate import CEILING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIN, TIE, LOSS = "#0072B2", "#D9D9D9", "#E69F00"
SIMULATED = "SIMULATED RATERS: says nothing about the methods"


def draw_study(
    result: StudyResult, folder: Path, formats: Sequence[str] = FORMATS
) -> dict[str, list[Path]]:
    """Draw the figures after exclusions; return name -> files, names in the order of reading."""
    drawn: dict[str, list[Path]] = {}
    whole = result.win_rates
    kept = whole[(whole["exclusions"] == APPLIED) & (whole["category"] == "")]
    with paper_style():
        drawn["preferences"] = _preferences(kept, result, folder, formats)
        rankings = result.rankings
        if len(rankings) and rankings["method"].nunique() > 2:
            chosen = rankings[rankings["exclusions"] == APPLIED]
            drawn["ranking"] = _ranking(chosen, result, folder, formats)
        if result.metrics:
            drawn["metrics"] = _metrics(result, folder, formats)
    return drawn


def _preferences(
    rates: pd.DataFrame, result: StudyResult, folder: Path, formats: Sequence[str]
) -> list[Path]:
    """Bars of wins, ties and losses; over each bar, the win rate with its interval."""
    rows = rates.to_dict("records")
    figure = new_figure(6.6, 1.2 + 0.52 * len(rows))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        left = 0.0
        for count, colour, name in (
            (row["wins"], WIN, "first preferred"),
            (row["ties"], TIE, "equal"),
            (row["losses"], LOSS, "second preferred"),
        ):
            width = 100 * count / row["votes"]
            axes.barh(place, width, 0.5, left, color=colour, label="" if place else name)
            left += width
        ends = [[100 * (row["win_rate"] - row["low"])], [100 * (row["high"] - row["win_rate"])]]
        at = 100 * row["win_rate"]
        axes.errorbar(at, place, xerr=ends, fmt="o", color="black", capsize=3, ms=4, lw=1.2)
    axes.axvline(50, color=GREY, lw=0.8, ls=(0, (3, 2)))
    axes.set_yticks(
        range(len(rows)),
        [plain(f"{r['method_a']} : {r['method_b']}\n{r['question']}") for r in rows],
    )
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("judgements (%); dot: win rate of the first, ties one half, with its interval")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    _label(figure, result)
    files: list[Path] = save(figure, folder, "preferences", formats)
    return files


def _ranking(
    rankings: pd.DataFrame, result: StudyResult, folder: Path, formats: Sequence[str]
) -> list[Path]:
    questions = sorted(set(rankings["question"]))
    methods = rankings["method"].nunique()
    figure = new_figure(6.6, len(questions) * (0.9 + 0.3 * methods))
    panels = figure.subplots(len(questions), 1, squeeze=False, sharex=True)[:, 0]
    for axes, question in zip(panels, questions, strict=True):
        rows = rankings[rankings["question"] == question].sort_values("strength")
        spread = [rows["strength"] - rows["low"], rows["high"] - rows["strength"]]
        axes.errorbar(
            *(rows["strength"], range(len(rows))), xerr=spread, fmt="o", color=WIN, capsize=3
        )
        axes.set_yticks(range(len(rows)), [plain(name) for name in rows["method"]])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_title(plain(question), loc="left")
        axes.axvline(0, color=GREY, lw=0.8, ls=(0, (3, 2)))
    panels[-1].set_xlabel("Davidson log-strength with its interval")
    _label(figure, result)
    files: list[Path] = save(figure, folder, "ranking", formats)
    return files


def _metrics(result: StudyResult, folder: Path, formats: Sequence[str]) -> list[Path]:
    """How often each metric orders two edits of one picture as people do."""
    figure = new_figure(
        6.6, sum(0.9 + 0.2 * m.statistics["scorer"].nunique() for m in result.metrics.values())
    )
    panels = figure.subplots(len(result.metrics), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (question, metric) in zip(panels, result.metrics.items(), strict=True):
        table = metric.statistics
        rows = table[table["statistic"] == "within_image_pair_accuracy"].dropna(subset="estimate")
        rows = rows.sort_values("estimate")
        for place, row in enumerate(rows.to_dict("records")):
            colour = LOSS if row["scorer"] == CEILING else WIN
            ends = [[row["estimate"] - row["low"]], [row["high"] - row["estimate"]]]
            axes.errorbar(row["estimate"], place, xerr=ends, fmt="o", color=colour, capsize=2, ms=4)
        axes.set_yticks(range(len(rows)), [plain(str(name)) for name in rows["scorer"]])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_title(plain(question), loc="left")
        axes.axvline(0.5, color=GREY, lw=0.8, ls=(0, (3, 2)))
    panels[-1].set_xlim(0, 1)
    panels[-1].set_xlabel("share of pairs on which the metric prefers what people prefer")
    _label(figure, result)
    files: list[Path] = save(figure, folder, "metrics", formats)
    return files


def _label(figure: Figure, result: StudyResult) -> None:
    if result.simulated:
        figure.suptitle(SIMULATED, color="#A33A00", fontsize=9)
