"""``icd-bench published``: does a run give the numbers that papers print?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from icd_bench import registry

from .output import print_json


def published(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIR", help="Run folders.  [default: newest]"),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also the numbers of methods that were not run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Compare runs with published numbers: match, differs, or not comparable and why."""
    if not runs:
        from icd_bench.run import latest_run

        runs = [latest_run()]
    report = registry.reports.load("published")
    verdicts = report.check(runs, every)
    if as_json:
        print_json([{**asdict(v), "number": v.number.model_dump()} for v in verdicts])
    else:
        print(report.summary(verdicts))
