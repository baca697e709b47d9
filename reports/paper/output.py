"""A result as text for the terminal, as Markdown, CSV and figures."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from icd_bench.errors import UsageError
from icd_bench.paper.results import Result
from icd_bench.run.storage.files import write_file

from .figures import FIGURES, draw
from .grid import Grid, grids
from .printed import printed_numbers

FORMATS = ("svg", "png")


def summary(result: Result) -> str:
    """Return the tables for a terminal."""
    parts = [f"{result.title}: model {result.model}, {result.n} of: {result.samples}"]
    for caption, grid in grids(result).items():
        parts += [caption] if caption else []
        parts.append(_aligned(grid))
    parts += _obstacles(result)
    return "\n\n".join(parts)


def markdown(result: Result) -> str:
    """Return the tables as Markdown."""
    parts = [
        f"{result.title}: model `{result.model}`; {result.n} of: {result.samples}; seed "
        f"{result.seed}; mean ± half of the 95 % bootstrap interval."
    ]
    for caption, grid in grids(result).items():
        parts += [f"**{caption}**"] if caption else []
        parts.append(_piped(grid))
    parts += _obstacles(result)
    return "\n\n".join(parts) + "\n"


def write(result: Result, folder: Path) -> list[Path]:
    """Write ``<experiment>.csv`` and, for a figure, its pictures; return all files."""
    table = folder / f"{result.experiment}.csv"
    write_file(table, _table(result).encode())
    pictures = draw(result, folder, FORMATS) if result.experiment in FIGURES else []
    return [folder / f"{result.experiment}.json", table, *pictures]


def insert(result: Result, page: Path, folder: Path) -> None:
    """Put figure or tables into a Markdown page, between ``<!-- NAME -->`` and ``<!-- /NAME -->``.

    Args:
        result: of the experiment NAME.
        page: is changed.
        folder: where :func:`write` put the figure.

    Raises:
        UsageError: the page has no such place.
    """
    start, end = f"<!-- {result.experiment} -->", f"<!-- /{result.experiment} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UsageError(f"{page}: there is no place between {start} and {end} for the tables")
    content = markdown(result)
    if result.experiment in FIGURES:
        picture = Path(os.path.relpath(folder, page.parent)) / f"{result.experiment}.png"
        content = f"![{result.title}]({picture.as_posix()})\n\n{result.n} of: {result.samples}.\n"
    text = f"{before}{start}\n\n{content}\n{end}{after}"
    write_file(page, text.encode())


def _table(result: Result) -> str:
    """Return one CSV line for each row and measure."""
    published = printed_numbers(result)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(
        ("row", "title", "group", "scale", "tau", "unet_rows", "measure", "mean", "low", "high",
         "n", "published", "signature")
    )  # fmt: skip
    for row in result.rows:
        guidance = (row.decode or row.encode or {}).get("guidance", {})
        for measure in result.measures:
            value, printed = row.values.get(measure.name), (row.title, measure.name)
            if value is not None:
                lines.writerow(
                    (row.label, row.title, row.group, guidance.get("scale"), guidance.get("tau"),
                     row.nfe, measure.name, f"{value.mean:.6g}", f"{value.low:.6g}",
                     f"{value.high:.6g}", value.n,
                     published[printed].value if printed in published else "", measure.signature)
                )  # fmt: skip
    return text.getvalue()


def _obstacles(result: Result) -> list[str]:
    found = dict.fromkeys(row.obstacle for row in result.rows if row.obstacle)
    lines = [
        f"not measured: {', '.join(r.label for r in result.rows if r.obstacle == why)} ({why})"
        for why in found
    ]
    return [*lines, *result.notes]


def _aligned(grid: Grid) -> str:
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    return "\n".join(_line(row, widths) for row in grid)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()


def _piped(grid: Grid) -> str:
    head, *body = ["| " + " | ".join(row) + " |" for row in grid]
    rule = "|" + " --- |" + " ---: |" * (len(grid[0]) - 1)
    return "\n".join([head, rule, *body])
