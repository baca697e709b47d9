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
    intervals: Annotated[
        bool, typer.Option("--intervals/--no-intervals", help="Show half widths.")
    ] = True,
    bold: Annotated[bool, typer.Option("--bold/--no-bold", help="Mark best values.")] = True,
    underline: Annotated[
        bool, typer.Option("--underline/--no-underline", help="Mark second-best values.")
    ] = True,
    together: Annotated[
        bool,
        typer.Option(
            "--rank-together",
            help="Rank rows of different resolution, conditions or NFE against each other.",
        ),
    ] = False,
    published: Annotated[
        bool, typer.Option("--published/--no-published", help="Show comparable published values.")
    ] = True,
) -> None:
    """Print the table of one or several runs."""
    check_choice(form, FORMATS, "format")
    if not runs:
        from icd_bench.run import latest_run

        runs = [latest_run()]
    print_table(
        runs, form, together, published, intervals=intervals, bold=bold, underline=underline
    )


def print_table(
    runs: Sequence[Path],
    form: str,
    ranked_together: bool = False,
    published: bool = True,
    **marks: bool,
) -> None:
    """Print the table of some run folders in one of ``FORMATS``.

    Args:
        runs: run folders.
        form: how.
        ranked_together: whether rows of different resolution, conditions or NFE are rivals.
        published: whether comparable published values are shown beside the measured ones.
        marks: fields of the report's ``Marks``; those that are not given are on.
    """
    tables = registry.reports.load("table")
    table = tables.build_table(runs, ranked_together)
    if published:
        table = registry.reports.load("published").beside(table)
    print(tables.render(table, form, marks=tables.Marks(**marks)))
