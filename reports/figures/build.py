"""All figures of some runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icd_bench.errors import UsageError
from icd_bench.reports.curves import trade_off
from icd_bench.reports.curves.drawing import draw
from icd_bench.reports.curves.scores import find_axis
from icd_bench.reports.joined_runs import JoinedRuns, join_runs

from .bars import draw_bars
from .selection import sample_rows, shown_methods
from .sheet import Heading, draw_sheet
from .style import FORMATS, paper_style, save

MOST_METRICS = 6


def draw_figures(
    runs: Sequence[Path],
    out: Path,
    formats: Sequence[str] = FORMATS,
    *,
    x: str | None = None,
    y: str | None = None,
    metrics: Sequence[str] = (),
    samples: Sequence[str] = (),
    count: int = 6,
    dev: str | None = None,
    seed: int = 0,
) -> list[Path]:
    """Draw the curve, the bars by category and the sheet of some runs, and return the files.

    Bars and sheet show each method with the setting that its dev samples choose
    (:func:`icd_bench.reports.curves.trade_off` says how).

    Args:
        runs: run folders of one benchmark.
        out: folder for ``curve_X_Y``, ``categories`` and ``samples``.
        formats: "svg", "pdf", "png".
        x: metric of the curve that is held equal; None: the first that says what is preserved.
        y: metric of the curve that is compared; None: the first that says what is edited.
        metrics: of the bars; none: x, y and the first that compares with true edits.
        samples: ids of the samples of the sheet; none: one of each category in turn.
        count: number of samples where none are named.
        dev: split to choose settings on.
        seed: of the choice, where there is one split.

    Raises:
        UsageError: as for ``trade_off``, or no metric fits an axis and none is named.
        UnknownName: no run has such a metric or sample.
        SignatureMismatch: the runs made a metric in different ways.
        BadSample: a picture of the run cannot be read.
    """
    joined = join_runs(runs)
    x, y = x or _first(joined, "preservation", "--x"), y or _first(joined, "editing", "--y")
    found = trade_off(runs, x, y, dev=dev, seed=seed)
    shown = shown_methods(joined, found)
    truth = [column.metric for column in joined.columns if column.group == "truth"][:1]
    names = list(metrics) or [x, y, *truth]
    if len(names) > MOST_METRICS:
        raise UsageError(f"{len(names)} metrics are too many for one figure: {MOST_METRICS} fit")
    axes = [find_axis(joined, name) for name in names]
    rivals = [each for each in shown if not each.anchor]
    rows, with_target = sample_rows(runs, rivals, samples, count)
    headings = [Heading("Source"), *([Heading("True edit")] if with_target else [])]
    headings += [Heading(each.method, each.label) for each in rivals]
    figures = {
        f"curve_{x}_{y}": draw(found),
        "categories": draw_bars(shown, axes, found.level),
        "samples": draw_sheet(rows, headings),
    }
    with paper_style():
        return [
            path for stem, figure in figures.items() for path in save(figure, out, stem, formats)
        ]


def _first(joined: JoinedRuns, group: str, option: str) -> str:
    metric: str | None = next(
        (column.metric for column in joined.columns if column.group == group), None
    )
    if metric is None:
        raise UsageError(f"these runs have no metric of {group}; name one with {option}")
    return metric
