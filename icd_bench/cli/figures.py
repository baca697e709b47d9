"""``icd-bench figures``: the figures of some runs for a paper or a talk."""

from __future__ import annotations

from typing import Annotated

import typer

from icd_bench import registry

from . import options
from .output import check_choice, split_names
from .run_folders import figures_folder, named_or_newest

FORMATS = ("svg", "pdf", "png")


def figures(
    runs: options.Runs = None,
    out: options.FiguresOut = None,
    forms: Annotated[
        list[str] | None,
        typer.Option("--format", "-f", metavar="|".join(FORMATS), help="[default: all]"),
    ] = None,
    x: Annotated[
        str | None,
        typer.Option(
            "--x", metavar="METRIC", help="Of the curve.  [default: first of source kept]"
        ),
    ] = None,
    y: Annotated[
        str | None,
        typer.Option("--y", metavar="METRIC", help="Of the curve.  [default: first of edit done]"),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,NAME...]", help="Of the bars.  [default: x, y, true edit]"),
    ] = None,
    samples: Annotated[
        list[str] | None,
        typer.Option("--sample", metavar="ID", help="Of the sheet.  [default: of each category]"),
    ] = None,
    count: Annotated[
        int, typer.Option(metavar="N", min=1, max=40, help="Samples of the sheet.")
    ] = 6,
    dev: Annotated[
        str | None,
        typer.Option(metavar="SPLIT", help="Split to choose settings on.  [default: dev]"),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Draw curve, bars by category and a sheet of samples, each method at its chosen setting."""
    formats = split_names(forms or FORMATS)
    for form in formats:
        check_choice(form, FORMATS, "format")
    folders = named_or_newest(runs)
    written = registry.reports.load("figures").draw_figures(
        folders,
        out or figures_folder(folders),
        formats,
        x=x,
        y=y,
        metrics=split_names(metrics or ()),
        samples=tuple(samples or ()),
        count=count,
        dev=dev,
        seed=seed,
    )
    for path in written:
        print(path)
