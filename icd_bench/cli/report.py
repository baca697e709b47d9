"""``icd-bench report``: a run as a page that people can send to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from icd_bench import registry

from .output import say
from .run_folders import named_or_newest


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
    studies: Annotated[
        list[Path] | None,
        typer.Option(
            "--study",
            metavar="DIR",
            help="Studies of these edits.  [default: those in or beside the run folders]",
        ),
    ] = None,
) -> None:
    """Make a page of tables, curves and pictures that opens from the disk, offline.

    Of two and more runs it also shows what each changed against the first one.
    """
    page = registry.reports.load("page")
    made = page.build_report(named_or_newest(runs), out, single_file, studies=studies or None)
    say(f"{made.cells} edits, {made.bytes / 2**20:.1f} MB")
    print(f"report   {made.page}")
