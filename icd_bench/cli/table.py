"""``icd-bench table``: the results of one or several runs as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from icd_bench import registry

from .output import check_choice

FORMATS = ("rich", "csv", "md", "latex", "json")


def table(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIR", help="Run folders.  [default: newest]"),
    ] = None,
    form: Annotated[str, typer.Option("--format", "-f", metavar="|".join(FORMATS))] = "rich",
) -> None:
    """Print the table of one or several runs."""
    check_choice(form, FORMATS, "format")
    if not runs:
        from icd_bench.run import latest_run

        runs = [latest_run()]
    print_table(runs, form)


def print_table(runs: Sequence[Path], form: str) -> None:
    """Print the table of some run folders in one of ``FORMATS``."""
    tables = registry.reports.load("table")
    print(tables.render(tables.build_table(runs), form))
