"""Qualitative sheets: a row for each sample, a column for each method."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icd_bench.pictures import read_picture

from .bars import category_name
from .selection import SampleRow
from .style import COLOURS, GREY, PALE, paper_style, plain
from .words import changed_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 72.0
"""Typographic points of an inch; all lengths here are in points."""
MARGIN, GAP = 4.0, 3.0
CAPTION_SIZE, LINE, HEADING_SIZE, DETAIL_SIZE = 7.5, 10.5, 9.0, 6.5
LARGEST_CELL = 110.0
FEW_PIXELS = 160
"""Smaller pictures are shown pixel by pixel, without smoothing."""


@dataclass(frozen=True)
class Heading:
    """What stands above a column."""

    title: str
    detail: str = ""


def draw_sheet(
    rows: Sequence[SampleRow], headings: Sequence[Heading], width: float = 7.0
) -> Figure:
    """Return a sheet: above each row the prompt, removed words grey, added words bold.

    Args:
        rows: each with as many pictures as there are headings.
        headings: of the columns.
        width: of the sheet in inches; less where the pictures would become too large.
    """
    from matplotlib.figure import Figure

    columns = len(headings)
    inner = width * POINTS - 2 * MARGIN
    cell = min(LARGEST_CELL, (inner - GAP * (columns - 1)) / columns)
    inner = cell * columns + GAP * (columns - 1)
    with paper_style():
        titles = [_break(one.title, _HEADING, cell) for one in headings]
        details = [_break(one.detail, _DETAIL, cell) for one in headings]
        captions = [_wrap(_caption(row), inner) for row in rows]
        below = max(map(len, titles)) * (HEADING_SIZE + 1.5)
        head = below + 3 + max(map(len, details)) * (DETAIL_SIZE + 1.5)
        heights = [len(lines) * LINE + 2 + cell + 2 * GAP for lines in captions]
        page = (inner + 2 * MARGIN, head + sum(heights) + 2 * MARGIN)
        figure = Figure(figsize=(page[0] / POINTS, page[1] / POINTS))
        sheet = _Sheet(figure, page)
        top = MARGIN
        for column, (title, detail) in enumerate(zip(titles, details, strict=True)):
            middle = MARGIN + column * (cell + GAP) + cell / 2
            for start, size, heading in (
                (top, HEADING_SIZE, title),
                (top + below, DETAIL_SIZE, detail),
            ):
                for index, (text, style) in enumerate(heading, 1):
                    sheet.write(text, middle, start + index * (size + 1.5), style, ha="center")
        top += head
        for row, lines, height in zip(rows, captions, heights, strict=True):
            for index, line in enumerate(lines):
                sheet.write_line(line, MARGIN, top + index * LINE + CAPTION_SIZE)
            down = top + len(lines) * LINE + 2
            for column, picture in enumerate(row.pictures):
                sheet.show(picture, MARGIN + column * (cell + GAP), down, cell)
            top += height
    return figure


_KEPT = {"size": CAPTION_SIZE, "color": "#222222"}
_REMOVED = {"size": CAPTION_SIZE, "color": "#8A8A8A"}
_ADDED = {"size": CAPTION_SIZE, "color": COLOURS[0], "weight": "bold"}
_CATEGORY = {"size": CAPTION_SIZE, "color": GREY, "style": "italic"}
_HEADING = {"size": HEADING_SIZE, "color": "#222222", "weight": "bold"}
_DETAIL = {"size": DETAIL_SIZE, "color": GREY}

Piece = tuple[str, dict[str, Any]]


def _caption(row: SampleRow) -> list[Piece]:
    """Return the words above a row with their styles."""
    pieces: list[Piece] = []
    if row.category:
        pieces.append((f"{category_name(row.category)}:", _CATEGORY))
    parts = changed_words(row.source_prompt, row.target_prompt)
    for index, part in enumerate(parts):
        replaced = (
            part.kind == "removed"
            and parts[index + 1 : index + 2]
            and (parts[index + 1].kind == "added")
        )
        if part.kind == "removed":
            text = f"[{part.text} →" if replaced else f"[{part.text} → nothing]"
            pieces.append((text, _REMOVED))
        elif part.kind == "added":
            after_removed = index and parts[index - 1].kind == "removed"
            pieces.append((f"{part.text}]" if after_removed else f"[+ {part.text}]", _ADDED))
        else:
            pieces.append((part.text, _KEPT))
    return pieces


def _wrap(pieces: Sequence[Piece], width: float) -> list[list[Piece]]:
    """Return words with their styles as lines that are no wider than ``width`` points."""
    lines: list[list[Piece]] = []
    used = width
    for text, style in pieces:
        for word in text.split():
            needed = _width(word, style) + _width(" ", style)
            if used + needed > width:
                lines.append([])
                used = 0.0
            lines[-1].append((word, style))
            used += needed
    return lines


def _break(text: str, style: dict[str, Any], width: float) -> list[Piece]:
    """Return a name or setting as centred lines no wider than ``width`` points.

    It is broken after spaces, ``_``, ``=`` and ``-``; what is still too wide is written smaller.
    """
    lines: list[str] = []
    for part in re.findall(r"[^\s_=-]*[_=-]?|\s+", text):
        if lines and _width(lines[-1] + part.rstrip(), style) <= width:
            lines[-1] += part
        elif part.strip():
            lines.append(part)
    lines = [line.strip() for line in lines]
    widest = max((_width(line, style) for line in lines), default=0.0)
    smaller = {**style, "size": style["size"] * min(1.0, width / widest if widest else 1.0)}
    return [(line, smaller) for line in lines]


def _width(text: str, style: dict[str, Any]) -> float:
    """Return the width of a text in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(
        size=style["size"],
        weight=style.get("weight", "normal"),
        style=style.get("style", "normal"),
    )
    if not text.strip():
        return _width(f"x{text}x", style) - _width("xx", style)
    measured: float = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    return measured


class _Sheet:
    """A figure that is drawn on in points from the upper left corner."""

    def __init__(self, figure: Figure, page: tuple[float, float]) -> None:
        self._figure, self._page = figure, page

    def write(
        self, text: str, x: float, baseline: float, style: dict[str, Any], ha: str = "left"
    ) -> None:
        self._figure.text(
            x / self._page[0],
            1 - baseline / self._page[1],
            plain(text),
            ha=ha,
            va="baseline",
            **style,
        )

    def write_line(self, line: Sequence[Piece], x: float, baseline: float) -> None:
        for text, style, place in _placed(line, x):
            self.write(text, place, baseline, style)

    def show(self, picture: Path | None, x: float, top: float, side: float) -> None:
        width, height = self._page
        axes = self._figure.add_axes(
            (x / width, 1 - (top + side) / height, side / width, side / height)
        )
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
        if picture is None:
            axes.set_facecolor(PALE)
            axes.text(0.5, 0.5, "no edit", ha="center", va="center", size=7, color=GREY)
            return
        pixels = read_picture(picture)
        smooth = "nearest" if max(pixels.shape[:2]) < FEW_PIXELS else "antialiased"
        axes.imshow(pixels, interpolation=smooth)


def _placed(line: Sequence[Piece], x: float) -> Iterator[tuple[str, dict[str, Any], float]]:
    for text, style in line:
        yield text, style, x
        x += _width(text, style) + _width(" ", style)
