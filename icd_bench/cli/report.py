"""``icd-bench report``: a run as a page that people can send to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from icd_bench import registry

from .output import say


def report(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN", help="Run folders.  [default: newest]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help='Folder of the report, or file.  [default: "report" in the run folder]',
        ),
    ] = None,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="Put everything into one HTML file.")
    ] = False,
) -> None:
    """Make a page of tables, curves and pictures that opens from the disk, offline."""
    if not runs:
        from icd_bench.run import latest_run

        runs = [latest_run()]
    page = registry.reports.load("page")
    made = page.build_report(runs, out, single_file)
    say(f"{made.cells} edits, {made.bytes / 2**20:.1f} MB")
    print(f"report   {made.page}")
