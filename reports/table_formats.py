"""Tables as text: for a terminal, a spreadsheet, Markdown, LaTeX, or another program."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from math import floor, inf, isfinite, isinf, isnan, log10
from statistics import median
from typing import Any

from icd_bench.stats.intervals import MeanInterval

from .json_text import json_text
from .table_model import ARROWS, Column, Marks, Row, Table

GROUP_TITLES = {
    "preservation": "Is the source kept?",
    "editing": "Did the edit happen?",
    "truth": "Is it like the true edit?",
    "quality": "Does it look real?",
}
UNKNOWN = "–"
MOST_DECIMALS = 4
BETWEEN_COLUMNS = 3
PREAMBLE = r"% \usepackage{booktabs}"


def to_rich(table: Table, width: int, colour: bool | None, marks: Marks) -> str:
    """Return a table for a terminal: one below the other for each group of metrics."""
    from rich.console import Console

    buffer = io.StringIO()
    shown = sys.stdout.isatty() if colour is None else colour
    console = Console(
        file=buffer,
        width=width,
        force_terminal=shown,
        color_system="standard" if shown else None,
        highlight=False,
    )
    shown_group = ""
    for index, columns in enumerate(_panels(table, width, marks)):
        group = columns[0].group if columns else ""
        title = GROUP_TITLES.get(group, group) if group != shown_group else None
        console.print(_rich_table(table, columns, marks, title, with_cost=index == 0))
        shown_group = group
    for note in table.notes:
        console.print(note, style="dim", markup=False)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def to_csv(table: Table, width: int, colour: bool | None, marks: Marks) -> str:
    """Return one line a row, with mean, interval and number of values of each column."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    statistics = ("mean", "low", "high", "n")
    scores = [f"{column.key} {name}" for column in table.columns for name in statistics]
    writer.writerow([*_FACTS, *scores])
    for row in table.rows:
        values = [
            getattr(row.values[column.key], name) for column in table.columns for name in statistics
        ]
        writer.writerow([*(_plain(value) for value in _facts(row).values()), *map(_plain, values)])
    return buffer.getvalue()


def to_json(table: Table, width: int, colour: bool | None, marks: Marks) -> str:
    """Return columns, rows and notes; a number that JSON cannot hold is null or a word."""
    content = {
        "columns": [asdict(column) for column in table.columns],
        "rows": [
            {
                **_facts(row),
                "setting": dict(row.setting),
                "warned": row.warned,
                "best": sorted(row.best),
                "second": sorted(row.second),
                "published": dict(row.published),
                "values": {column.key: asdict(row.values[column.key]) for column in table.columns},
            }
            for row in table.rows
        ],
        "notes": list(table.notes),
    }
    return json_text(content)


def to_markdown(table: Table, width: int, colour: bool | None, marks: Marks) -> str:
    """Return one Markdown table; the best values are bold, the second-best italic."""
    header = [*_names(table), *_COST, *(_heading(table, column) for column in table.columns)]
    lines = [_pipes(header), _pipes(["---"] * len(_names(table)) + ["--:"] * _numbers(table))]
    for row in table.rows:
        cells = [*_name_cells(table, row), *_cost_cells(row)]
        for column, text in _value_cells(table, row, marks):
            cells.append(_marked(text, column, row, marks, "**{}**", "_{}_"))
        lines.append(_pipes(cells))
    notes = [f"\n{note}" for note in table.notes]
    return "\n".join([*lines, *notes]) + "\n"


def to_latex(table: Table, width: int, colour: bool | None, marks: Marks) -> str:
    """Return a booktabs table: best bold, second-best underlined, anchors after a rule."""
    columns = "l" * len(_names(table)) + "r" * _numbers(table)
    header = [_tex(name) for name in (*_names(table), *_COST)]
    header += [
        _tex(" ".join(filter(None, (c.key, c.scaled, _count(table, c))))) + _TEX_ARROWS[c.direction]
        for c in table.columns
    ]
    lines = [PREAMBLE, f"\\begin{{tabular}}{{{columns}}}", "\\toprule", " & ".join(header) + r" \\"]
    for _, rows in groupby(table.rows, key=lambda row: (row.block, row.anchor)):
        lines.append("\\midrule")
        for row in rows:
            cells = [_tex(cell) for cell in (*_name_cells(table, row), *_cost_cells(row))]
            for column, text in _value_cells(table, row, marks):
                cells.append(
                    _marked(_tex(text), column, row, marks, r"\textbf{{{}}}", r"\underline{{{}}}")
                )
            lines.append(" & ".join(cells) + r" \\")
    lines += ["\\bottomrule", "\\end{tabular}"]
    return "\n".join([*lines, *(f"% {note}" for note in table.notes)]) + "\n"


RENDERERS: dict[str, Callable[[Table, int, bool | None, Marks], str]] = {
    "rich": to_rich,
    "csv": to_csv,
    "md": to_markdown,
    "latex": to_latex,
    "json": to_json,
}


# ------------------------------------------------------------------------------- cells

_COST = ("n", "failed", "NFE", "s")
_FACTS = (
    "benchmark",
    "split",
    "protocol",
    "model",
    "model_digest",
    "method",
    "version",
    "setting",
    "anchor",
    "resolution",
    "conditions",
    "n",
    "failed",
    "nfe_invert",
    "nfe_edit",
    "seconds",
)


def _facts(row: Row) -> dict[str, Any]:
    facts = {name: getattr(row, name) for name in _FACTS}
    facts["setting"] = json.dumps(dict(row.setting), sort_keys=True)
    return facts


def _names(table: Table) -> tuple[str, ...]:
    labelled = any(row.label for row in table.rows)
    return (*table.varying(), "method", *(("setting",) if labelled else ()))


def _numbers(table: Table) -> int:
    return len(_COST) + len(table.columns)


def _name_cells(table: Table, row: Row) -> list[str]:
    versions = {other.version for other in table.rows if other.method == row.method}
    weights = {
        other.model_digest
        for other in table.rows
        if (other.method, other.model) == (row.method, row.model)
    }
    cells = {
        "benchmark": row.benchmark,
        "split": row.split or "default",
        "protocol": row.protocol,
        "model": row.model,
        "resolution": row.resolution,
        "conditions": row.conditions or "default",
        "method": row.method,
        "setting": row.label or "default",
    }
    if len(versions) > 1:
        cells["method"] += f" v{row.version}"
    if len(weights) > 1:
        cells["method"] += f" @{row.model_digest[:6]}"
    if row.anchor:
        cells["setting"] = row.label
    return [cells[name] for name in _names(table)]


def _cost_cells(row: Row) -> list[str]:
    if not row.n:
        return ["0", str(row.failed), "", ""]
    nfe = UNKNOWN if isnan(row.nfe_edit) else f"{row.nfe_invert:.3g}+{row.nfe_edit:.3g}"
    seconds = UNKNOWN if isnan(row.seconds) else f"{row.seconds:.2g}"
    return [str(row.n), str(row.failed), nfe, seconds]


def _value_cells(table: Table, row: Row, marks: Marks) -> Iterator[tuple[Column, str]]:
    for column in table.columns:
        decimals = _decimals([other.values[column.key] for other in table.rows])
        value = row.values[column.key]
        told = not 0 < value.n < row.n or _count(table, column)
        fewer = "" if told else f" (n={value.n})"
        published = row.published.get(column.key)
        beside = f" [{published}]" if published else ""
        yield column, value_text(value, decimals, marks.intervals) + fewer + beside


def _count(table: Table, column: Column) -> str:
    """Return what a heading says where all means of a column are over fewer edits than n."""
    counts = {row.values[column.key].n for row in table.rows} - {0}
    fewer = any(0 < row.values[column.key].n < row.n for row in table.rows)
    return f"(n={counts.pop()})" if fewer and len(counts) == 1 else ""


def _heading(table: Table, column: Column) -> str:
    return f"{column.heading} {_count(table, column)}".strip()


def value_text(value: MeanInterval, decimals: int, interval: bool = True) -> str:
    """Return "27.31 ±0.42"; without the interval where there is none, or none is wanted."""
    if isnan(value.mean):
        return UNKNOWN
    if isinf(value.mean):
        return "∞" if value.mean > 0 else "-∞"
    mean = f"{value.mean:.{decimals}f}"
    if isnan(value.low) or not interval:
        return mean
    return f"{mean} ±{(value.high - value.low) / 2:.{decimals}f}"


def _marked(text: str, column: Column, row: Row, marks: Marks, best: str, second: str) -> str:
    """Return a text in the form for the best or second-best value, as it is for others."""
    if marks.bold and column.key in row.best:
        return best.format(text)
    if marks.underline and column.key in row.second:
        return second.format(text)
    return text


def _decimals(values: Sequence[MeanInterval]) -> int:
    """Return how many decimals show the typical interval with two digits."""
    finite = [value for value in values if isfinite(value.mean)]
    widths = [(v.high - v.low) / 2 for v in finite if v.high > v.low]
    scale = median(widths) / 10 if widths else max((abs(v.mean) for v in finite), default=1) / 100
    return min(MOST_DECIMALS, max(0, -floor(log10(scale)))) if 0 < scale < inf else 2


# -------------------------------------------------------------------------------- rich


def _panels(table: Table, width: int, marks: Marks) -> Iterator[list[Column]]:
    """Cut the columns into as many tables as the width asks for, a group of metrics at a time."""
    names = _width([list(_names(table)), *(_name_cells(table, row) for row in table.rows)])
    cost = _width([list(_COST), *(_cost_cells(row) for row in table.rows)])
    widths = {column.key: _width(_column_cells(table, column, marks)) for column in table.columns}
    groups = dict.fromkeys([*GROUP_TITLES, *(column.group for column in table.columns)])
    free, panel = width - names - cost, list[Column]()
    for group in groups:
        for column in (column for column in table.columns if column.group == group):
            if panel and (widths[column.key] > free or panel[0].group != group):
                yield panel
                free, panel = width - names, []
            free -= widths[column.key]
            panel.append(column)
    yield panel


def _width(lines: Sequence[Sequence[str]]) -> int:
    """Return the characters that columns of a terminal table take, with what is between them."""
    return sum(max(map(len, cells)) + BETWEEN_COLUMNS for cells in zip(*lines, strict=True))


def _column_cells(table: Table, column: Column, marks: Marks) -> list[list[str]]:
    texts = [dict(_by_key(table, row, marks))[column.key] for row in table.rows]
    return [[text] for text in (*_heading_lines(table, column), *texts)]


def _by_key(table: Table, row: Row, marks: Marks) -> Iterator[tuple[str, str]]:
    for column, text in _value_cells(table, row, marks):
        yield column.key, text


def _heading_lines(table: Table, column: Column) -> list[str]:
    """Return a heading in a few lines, so that its column can be narrow."""
    *words, last = column.key.split("_")
    end = " ".join(filter(None, (last, column.scaled, ARROWS[column.direction])))
    return [line for line in (" ".join(words), end, _count(table, column)) if line]


def _rich_table(
    table: Table, columns: Sequence[Column], marks: Marks, title: str | None, with_cost: bool
) -> Any:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1), pad_edge=False
    )
    for name in _names(table):
        shown.add_column(Text(name), no_wrap=True)
    for name in _COST if with_cost else ():
        shown.add_column(Text(name), justify="right", no_wrap=True)
    for column in columns:
        shown.add_column(
            Text("\n".join(_heading_lines(table, column))), justify="right", no_wrap=True
        )
    previous: Row | None = None
    for row in table.rows:
        if previous and (previous.block, previous.anchor) != (row.block, row.anchor):
            shown.add_section()
        texts = dict(_by_key(table, row, marks))
        cells = [Text(cell) for cell in _name_cells(table, row)]
        cells += [Text(cell) for cell in (_cost_cells(row) if with_cost else ())]
        cells += [
            Text(texts[column.key], style=_marked("", column, row, marks, "bold", "underline"))
            for column in columns
        ]
        shown.add_row(*cells, style="dim" if row.anchor else "")
        previous = row
    return shown


# ---------------------------------------------------------------------------- the rest

_TEX_ARROWS: Mapping[str, str] = {
    "higher": r" $\uparrow$",
    "lower": r" $\downarrow$",
    "neither": "",
}
_TEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r" $\pm$ ",
    "∞": r"$\infty$",
    "–": "--",
}


def _tex(text: str) -> str:
    return "".join(_TEX_SPECIAL.get(character, character) for character in text).replace("  ", " ")


def _pipes(cells: Sequence[str]) -> str:
    """Return a line of a Markdown table; what somebody named cannot leave its cell."""
    shown = (re.sub(r"[\x00-\x1f\x7f]", "", " ".join(cell.split())) for cell in cells)
    return "| " + " | ".join(re.sub(r"([|<])", r"\\\1", cell) for cell in shown) + " |"


def _plain(value: Any) -> Any:
    return "" if isinstance(value, float) and isnan(value) else value
