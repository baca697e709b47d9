"""The paper's figures, drawn from results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icd_bench.paper.results import Measure, Result, Row
from icd_bench.reports.figures.style import look, new_figure, paper_style, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(result: Result, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Draw the figure of an experiment."""
    with paper_style():
        figure = FIGURES[result.experiment](result)
        paths: list[Path] = save(figure, folder, result.experiment, formats)
        return paths


def turn_on(result: Result) -> Figure:
    """Reconstruction against the threshold below which guidance of scale 8 is on."""
    figure: Figure = new_figure(6.6, 2.9)
    panels = _panels(figure, ("psnr", "lpips_alex"), result)
    for axes, measure in panels:
        for index, group in enumerate(_groups(result.rows)):
            _line(axes, [r for r in result.rows if r.group == group], measure, index, group)
        axes.set_xlabel("guidance is on for t ≤ 1000 τ")
        axes.set_ylabel(_label(measure))
    _legend(figure, panels)
    return figure


def trade_off(result: Result) -> Figure:
    """Guidance scale and tau: reconstruction, what is generated, and one against the other."""
    figure: Figure = new_figure(7.2, 2.9)
    inverted = [row for row in result.rows if row.encode]
    drawn = [row for row in result.rows if not row.encode]
    measures = {measure.name: measure for measure in result.measures}
    left, middle, right = figure.subplots(1, 3)
    scales = sorted({_guidance(row)["scale"] for row in inverted})
    for index, scale in enumerate(scales):
        name = f"guidance {scale:g}"
        up = [row for row in inverted if _guidance(row)["scale"] == scale]
        down = [row for row in drawn if _guidance(row)["scale"] == scale]
        _line(left, up, measures["psnr"], index, name)
        _line(middle, down, measures["attribute_kept"], index, name)
        _trade(right, up, down, index)
    for axes in (left, middle):
        axes.set_xlabel("guidance is on for t ≤ 1000 τ")
    left.set_ylabel("inverted: PSNR (dB)")
    middle.set_ylabel("generated: attributes right")
    right.set_xlabel("inverted: PSNR (dB)")
    right.set_ylabel("generated: attributes right")
    _legend(figure, [(left, measures["psnr"])])
    return figure


FIGURES: Final[dict[str, Callable[[Result], Any]]] = {"fig4": turn_on, "fig5": trade_off}


def _panels(figure: Figure, names: Sequence[str], result: Result) -> list[tuple[Axes, Measure]]:
    """Return axes side by side, one for each of the measures that the result has."""
    measures = {measure.name: measure for measure in result.measures}
    found = [measures[name] for name in names if name in measures] or [*result.measures[:2]]
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    return list(zip(axes, found, strict=True))


def _line(axes: Axes, rows: Sequence[Row], measure: Measure, index: int, label: str) -> None:
    """Draw one measure against tau, with intervals."""
    colour, marker, style = look(index)
    points = [(_guidance(row)["tau"], row.values[measure.name]) for row in rows if row.values]
    if not points:
        return
    x, values = zip(*sorted(points, key=lambda point: point[0]), strict=True)
    means = [value.mean for value in values]
    axes.plot(x, means, color=colour, marker=marker, ls=style, ms=4, label=label)
    if all(isfinite(value.high - value.low) for value in values):
        ends = [value.low for value in values], [value.high for value in values]
        axes.fill_between(x, *ends, color=colour, alpha=0.15, lw=0)


def _trade(axes: Axes, inverted: Sequence[Row], drawn: Sequence[Row], index: int) -> None:
    """Draw the attributes of generated pictures against the PSNR of inverted ones, tau by tau."""
    colour, marker, style = look(index)
    right = {_guidance(r)["tau"]: r.values["attribute_kept"].mean for r in drawn if r.values}
    kept = {_guidance(r)["tau"]: r.values["psnr"].mean for r in inverted if r.values}
    taus = sorted(right.keys() & kept.keys())
    x, y = [kept[tau] for tau in taus], [right[tau] for tau in taus]
    axes.plot(x, y, color=colour, marker=marker, ls=style, ms=4)


def _guidance(row: Row) -> dict[str, float]:
    guidance: dict[str, float] = (row.decode or {})["guidance"]
    return guidance


def _groups(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.group for row in rows))


def _label(measure: Measure) -> str:
    return f"{measure.title} ({measure.unit})" if measure.unit == "dB" else measure.title


def _legend(figure: Figure, panels: Sequence[tuple[Axes, Measure]]) -> None:
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
