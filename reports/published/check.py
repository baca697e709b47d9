"""Does a run give the numbers that papers print? Match, differs, or not comparable and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Literal

from icd_bench.reports.table import build_table
from icd_bench.reports.table_model import Row, Table
from icd_bench.run.scoring.outside import VERSION

from .numbers import PublishedNumber, published_numbers
from .settings import full_setting

Answer = Literal["match", "differs", "not comparable"]


@dataclass(frozen=True)
class Verdict:
    """One published number against one row of a run, or against none."""

    answer: Answer
    number: PublishedNumber
    ours: float | None = None
    """In the paper's unit."""
    half_width: float | None = None
    """Of our 95 % interval, in the paper's unit."""
    reasons: tuple[str, ...] = ()
    """Why it is not comparable, or by how much it differs."""


def check(runs: Sequence[Path], every: bool = False) -> list[Verdict]:
    """Compare runs with the published numbers.

    Args:
        runs: run folders.
        every: also the numbers of methods that the runs do not have.

    Raises:
        UsageError: a path is not a run folder, or no run has a finished cell.
    """
    return list(compare(build_table(runs), published_numbers(), every))


def compare(
    table: Table, numbers: Sequence[PublishedNumber], every: bool = False
) -> Iterator[Verdict]:
    """Yield a verdict for each published number and each row of its method.

    A mean matches when the printed value lies within our 95 % interval, widened by half a unit of
    the last printed digit: the paper's own sampling error is not printed, so this is strict.
    """
    for number in numbers:
        rows = [row for row in table.rows if number.method and row.method == number.method]
        comparable = [row for row in rows if not list(obstacles(number, row, table))]
        if comparable:
            yield from (_measured(number, row, table) for row in comparable)
        elif rows:
            # The row that comes nearest says best what is missing.
            nearest = min((list(obstacles(number, row, table)) for row in rows), key=len)
            yield Verdict("not comparable", number, reasons=tuple(nearest))
        elif every:
            reason = f"no row of {number.method}" if number.method else "no such method here"
            yield Verdict("not comparable", number, reasons=(reason,))


def obstacles(number: PublishedNumber, row: Row, table: Table) -> Iterator[str]:
    """Yield why a row cannot be compared with a published number."""
    column = _column(number, table)
    if column is None:
        yield f"{number.column.metric} is not computed"
    elif not isfinite(row.values[column].mean):
        yield f"{number.column.metric} has no finite mean"
    asked = {
        "benchmark": (number.benchmark, row.benchmark),
        "split": (number.split, row.split),
        "protocol": (number.protocol, row.protocol),
    }
    for what, (theirs, ours) in asked.items():
        if theirs != ours:
            yield f"{what} {theirs or 'default'}, not {ours or 'default'}"
    if not number.model:
        yield f"weights {number.weights}, not {row.model}"
    elif number.model != row.model:
        yield f"model {number.model} ({number.weights}), not {row.model}"
    if number.n is not None and number.n != row.n:
        yield f"n {number.n}, not {row.n}"
    yield from _other_fields(number, row)
    if row.conditions:
        yield f"made with {row.conditions}"


def _other_fields(number: PublishedNumber, row: Row) -> Iterator[str]:
    """Yield the fields in which a row's setting is not the paper's.

    Those of edits made elsewhere are not known: whoever names them after a method answers for it.
    """
    if number.setting is None:
        yield "its setting is not published"
    elif row.version != VERSION:
        for name, value in full_setting(number).items():
            if name not in number.free and row.setting.get(name) != value:
                yield f"{name} {value}, not {row.setting.get(name)}"


def summary(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as lines of text."""
    lines = []
    for verdict in verdicts:
        number = verdict.number
        what = f"{number.title}: {number.column.metric}"
        deviation = "" if number.deviation is None else f" ±{number.deviation:g}"
        printed = f"{number.value:.{number.column.digits}f}{deviation} {number.column.unit}".strip()
        where = f"{number.paper}, {number.table}"
        if number.second_hand:
            where += f", as printed in {number.second_hand}"
        if number.note:
            where += f"; {number.note}"
        ours = "" if verdict.ours is None else f", here {verdict.ours:.{number.column.digits}f}"
        why = f" ({'; '.join(verdict.reasons)})" if verdict.reasons else ""
        lines.append(f"{verdict.answer:<15} {what}: published {printed}{ours}{why} [{where}]")
    answers = [verdict.answer for verdict in verdicts]
    counts = [f"{answers.count(a)} {a}" for a in ("match", "differs", "not comparable")]
    return "\n".join([*lines, ", ".join(counts)])


def _measured(number: PublishedNumber, row: Row, table: Table) -> Verdict:
    (column,) = (c for c in table.columns if c.key == number.column.metric)
    scale = number.column.scale / column.factor
    value = row.values[column.key]
    ours = scale * value.mean
    half = abs(scale * (value.high - value.low) / 2) if isfinite(value.high - value.low) else 0.0
    off = ours - number.value
    matches = abs(off) <= half + 0.5 * 10**-number.column.digits
    reasons = () if matches else (f"off by {off:+.{number.column.digits}f}, interval ±{half:.3g}",)
    return Verdict("match" if matches else "differs", number, ours, half, reasons)


def _column(number: PublishedNumber, table: Table) -> str | None:
    """Return the key of the metric's column; None where there is none, or more than one."""
    keys = [column.key for column in table.columns if column.metric == number.column.metric]
    return keys[0] if keys == [number.column.metric] else None
