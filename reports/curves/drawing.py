"""The figure of a trade-off: better is up and to the right, where something is better."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import fdtri

from icd_bench.reports.figures.style import GREY, look, new_figure, paper_style, plain
from icd_bench.reports.settings_label import short
from icd_bench.stats.intervals import MeanInterval

from .model import Point, TradeOff

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

_ANGLES = np.arange(8) * np.pi / 4 + np.pi / 8
_OFFSETS = np.concatenate(
    [r * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1) for r in (11.0, 17.0)]
)
"""Where a label may stand around its point, in points of typography."""
_CLEAR = 8.0
"""Room that a label needs; without it, only the ends of a method's settings have one."""
_WIDTH_TO_HEIGHT = 1.8
"""Of a label: what is beside it must be farther away than what is above."""

_NAME_WIDTH, _NAME_HEIGHT = 50.0, 8.0
"""Of a reference line's name, about; those that would overlap are one list of names."""

_ROOM_AT_LIMITS = 0.03
"""Share of an axis that is shown beyond the largest or smallest possible value."""

MOST_LABELS = 10
"""A method with more points has no labels at them."""
MOST_INNER_LABELS = 18
"""A figure with more points labels the ends of each method's settings alone."""
MOST_REGIONS = 24
"""A figure with more points shows no regions around them."""


def draw(trade_off: TradeOff, width: float = 6.3, height: float = 4.3) -> Figure:
    """Return the figure: a point for each setting, a curve and its band for each method.

    Points are filled by the probability that they are on the Pareto front of all methods, pale
    ellipses are the joint confidence regions of single points (Hotelling), and a ring marks the
    setting that the dev samples choose.
    """
    with paper_style():
        figure: Figure = new_figure(width, height)
        axes = figure.add_subplot()
        for index, method in enumerate(trade_off.methods):
            _draw_method(axes, trade_off, method, index)
        _draw_front(axes, trade_off)
        _frame(axes, trade_off)
        _draw_anchors(axes, trade_off)
        _cut_at_limits(axes, trade_off)
        _draw_legend(figure, trade_off)
        _label_points(axes, trade_off)
    return figure


def _draw_method(axes: Axes, trade_off: TradeOff, method: str, index: int) -> None:
    colour, marker, line = look(index)
    curve = trade_off.curves[index]
    points = _points_of(trade_off, method)
    if curve.x:
        axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.13, lw=0, zorder=1)
        axes.plot(curve.x, curve.y, color=colour, ls=line, zorder=3)
    if len(trade_off.points) <= MOST_REGIONS:
        for point in points:
            _draw_region(axes, point, colour, trade_off)
    for point in points:
        axes.plot(
            point.x.mean,
            point.y.mean,
            marker=marker,
            ms=6.5,
            mfc=_blend(colour, 0 if isnan(point.p_front) else point.p_front),
            mec=colour,
            mew=1.3,
            zorder=5,
        )
        if trade_off.is_chosen(point):
            axes.plot(
                point.x.mean, point.y.mean, "o", ms=13, mfc="none", mec=colour, mew=1, zorder=4
            )


def _label_points(axes: Axes, trade_off: TradeOff) -> None:
    """Write the value that changes at each point, where it is freest of points, lines and labels.

    The ends of each method's settings come first; between them a label that has no room is left
    out, for its value lies between its neighbours'.
    """
    from matplotlib.patheffects import withStroke

    squeeze = np.array([1 / _WIDTH_TO_HEIGHT, 1.0])
    taken = [_place(axes, p.x.mean, p.y.mean) for p in trade_off.points if isfinite(p.x.mean)]
    for curve in trade_off.curves:
        taken += [_place(axes, x, y) for x, y in zip(curve.x[::4], curve.y[::4], strict=True)]
    labelled = [
        (index, points, _label_field(points))
        for index, method in enumerate(trade_off.methods)
        if (points := _points_of(trade_off, method)) and _label_field(points)
    ]
    ends = [(i, p, field) for i, points, field in labelled for p in (points[0], points[-1])]
    others = [(i, p, field) for i, points, field in labelled for p in points[1:-1]]
    if len(trade_off.points) > MOST_INNER_LABELS:
        others = []
    for place, (index, point, field) in enumerate([*ends, *others]):
        at = _place(axes, point.x.mean, point.y.mean)
        room = [min(np.linalg.norm((at + o - t) * squeeze) for t in taken) for o in _OFFSETS]
        if place >= len(ends) and max(room) < _CLEAR:
            continue
        offset = _OFFSETS[int(np.argmax(room))]
        taken.append(at + offset)
        axes.annotate(
            plain(short(point.setting.get(field))),
            (point.x.mean, point.y.mean),
            xytext=tuple(offset),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=7.5,
            color=look(index)[0],
            path_effects=[withStroke(linewidth=2, foreground="white")],
            zorder=6,
        )


def _place(axes: Axes, x: float, y: float) -> Any:
    """Return where a point is drawn, in points of typography."""
    return axes.transData.transform((x, y)) * 72 / axes.figure.dpi


def _draw_region(axes: Axes, point: Point, colour: str, trade_off: TradeOff) -> None:
    """Draw the joint confidence region of a point's two means."""
    from matplotlib.patches import Polygon

    radius = _radius(trade_off.samples, trade_off.level)
    errors = [_error(interval, trade_off.level) for interval in (point.x, point.y)]
    if not all(map(isfinite, (radius, *errors))):
        return
    shared = point.correlation if isfinite(point.correlation) else 0.0
    angle = np.linspace(0, 2 * np.pi, 73)
    across = radius * errors[0] * np.cos(angle)
    up = radius * errors[1] * (shared * np.cos(angle) + np.sqrt(1 - shared**2) * np.sin(angle))
    x = np.clip(point.x.mean + across, *trade_off.x.limits)
    y = np.clip(point.y.mean + up, *trade_off.y.limits)
    outline = np.stack([x, y], axis=1)
    axes.add_patch(Polygon(outline, fc="none", ec=colour, lw=0.6, alpha=0.55, zorder=2))


def _radius(samples: int, level: float) -> float:
    """Return the radius of Hotelling's region in standard errors; NaN for too few samples."""
    if samples < 3:
        return np.nan
    return float(np.sqrt(2 * (samples - 1) / (samples - 2) * fdtri(2, samples - 2, level)))


def _error(interval: MeanInterval, level: float) -> float:
    """Return the standard error that an interval was made from."""
    from scipy.special import stdtrit

    if interval.n < 2:
        return np.nan
    return (interval.high - interval.low) / 2 / float(stdtrit(interval.n - 1, (1 + level) / 2))


def _draw_front(axes: Axes, trade_off: TradeOff) -> None:
    """Draw the Pareto front of all methods as the stairs below which points are dominated."""
    front = sorted(
        {(p.x.mean, p.y.mean) for p in trade_off.points if p.on_front},
        key=lambda place: place[0] * trade_off.x.sign,
    )
    if len(front) > 1:
        x, y = zip(*front, strict=True)
        axes.step(x, y, where="pre", color=GREY, lw=0.9, ls=(0, (2, 2)), zorder=2)


def _frame(axes: Axes, trade_off: TradeOff) -> None:
    axes.set_xlabel(plain(trade_off.x.label))
    axes.set_ylabel(plain(trade_off.y.label))
    axes.margins(0.09)
    if trade_off.x.sign < 0:
        axes.invert_xaxis()
    if trade_off.y.sign < 0:
        axes.invert_yaxis()
    if isnan(trade_off.reference[0]):
        return
    axes.annotate(
        "better",
        xy=(0.992, 0.985),
        xytext=(0.915, 0.905),
        xycoords="axes fraction",
        fontsize=8,
        color=GREY,
        ha="right",
        va="top",
        arrowprops={"arrowstyle": "->", "color": GREY, "lw": 0.9},
    )


def _draw_anchors(axes: Axes, trade_off: TradeOff) -> None:
    """Draw reference lines; those far from every method are named, not to squeeze the methods."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2, foreground="white")]
    bounds = axes.get_xbound(), axes.get_ybound()
    far = []
    names: list[tuple[Any, Annotation]] = []
    for point in trade_off.points:
        if not point.anchor or not isfinite(point.y.mean):
            continue
        if any(_is_far(s.mean, *ends) for s, ends in zip((point.x, point.y), bounds, strict=True)):
            far.append(f"{plain(point.method)} ({point.x.mean:.3g}, {point.y.mean:.2g})")
            continue
        if isfinite(point.x.mean):
            axes.plot(point.x.mean, point.y.mean, marker="+", ms=8, mew=1.5, color=GREY, zorder=4)
            place, system = (point.x.mean, point.y.mean), axes.transData
        else:
            axes.axhline(point.y.mean, color=GREY, lw=0.8, ls=(0, (4, 3)), zorder=1)
            place, system = (0.995, point.y.mean), axes.get_yaxis_transform()
        at = system.transform(place) * 72 / axes.figure.dpi
        near = next((name for other, name in names if _would_collide(at - other)), None)
        if near is not None:
            near.set_text(f"{near.get_text()}, {plain(point.method)}")
            continue
        name = axes.annotate(
            plain(point.method),
            place,
            xycoords=system,
            xytext=(-3, 3),
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
            color=GREY,
            path_effects=halo,
        )
        names.append((at, name))
    if far:
        text = "outside: " + ", ".join(far).replace("inf", "∞")
        axes.text(
            0.99, 0.015, text, transform=axes.transAxes, ha="right", fontsize=7, color=GREY
        )  # fmt: skip


def _would_collide(apart: Any) -> bool:
    """Return whether the names of two reference lines so far apart, in points, overlap."""
    return bool(abs(apart[0]) < _NAME_WIDTH and abs(apart[1]) < _NAME_HEIGHT)


def _cut_at_limits(axes: Axes, trade_off: TradeOff) -> None:
    """Show no values that a score cannot have, apart from room for a mark at its limits."""
    for axis, (start, end), set_bound in (
        (trade_off.x, axes.get_xbound(), axes.set_xbound),
        (trade_off.y, axes.get_ybound(), axes.set_ybound),
    ):
        low, high = axis.limits
        room = _ROOM_AT_LIMITS * (end - start)
        set_bound(max(start, low - room), min(end, high + room))


def _is_far(value: float, low: float, high: float) -> bool:
    """Return whether showing a finite value would leave less than two thirds to the rest."""
    return isfinite(value) and not low - (high - low) / 2 <= value <= high + (high - low) / 2


def _draw_legend(figure: Figure, trade_off: TradeOff) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for index, method in enumerate(trade_off.methods):
        colour, marker, line = look(index)
        field = _label_field(_points_of(trade_off, method))
        text = f"{method} ({field})" if field else method
        handles.append(
            Line2D([], [], color=colour, marker=marker, ls=line, ms=6, label=plain(text))
        )
    for columns in (3 if len(handles) in (5, 6) else 4, 3, 2, 1):
        legend = figure.legend(handles=handles, loc="outside upper left", ncols=columns)
        figure.draw_without_rendering()
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    points = [point for point in trade_off.points if not point.anchor]
    has_fronts = not isnan(trade_off.reference[0])
    keys = [
        f"{trade_off.samples} samples",
        f"{'bands' if len(trade_off.points) > MOST_REGIONS else 'ellipses and bands'}: "
        f"{trade_off.level:.0%}",
        *(["fill: probability of being on the Pareto front (dashed)"] if has_fronts else []),
        *(["ring: chosen on dev samples"] if any(map(trade_off.is_chosen, points)) else []),
    ]
    figure.supxlabel(" · ".join(keys), fontsize=7, color=GREY)


def _points_of(trade_off: TradeOff, method: str) -> list[Point]:
    return [p for p in trade_off.points if p.method == method and not p.anchor]


def _label_field(points: Sequence[Point]) -> str:
    """Return the one field that labels points; empty where several differ, or too many points."""
    fields = [
        field
        for field in dict.fromkeys(field for point in points for field in point.setting)
        if len({short(point.setting.get(field)) for point in points}) > 1
    ]
    return fields[0] if len(fields) == 1 and len(points) <= MOST_LABELS else ""


def _blend(colour: str, share: float) -> Any:
    """Return a colour between white (0) and ``colour`` (1)."""
    from matplotlib.colors import to_rgb

    return tuple(1 - share * (1 - part) for part in to_rgb(colour))
