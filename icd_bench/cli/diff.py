"""``icd-bench diff``: what changed from one run to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from icd_bench import registry

from .output import check_choice

FORMATS = ("text", "json")


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="Run folder to compare with.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The other run folder.")],
    form: Annotated[str, typer.Option("--format", "-f", metavar="|".join(FORMATS))] = "text",
    most: Annotated[
        int, typer.Option("--most", metavar="N", min=0, help="Show the N most changed edits.")
    ] = 20,
) -> None:
    """Print the paired differences B - A of every metric, and the edits that changed most."""
    check_choice(form, FORMATS, "format")
    reports = registry.reports.load("diff")
    print(reports.render(reports.diff_runs(a, b, most), form), end="")
