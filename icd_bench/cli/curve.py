"""``icd-bench curve``: what methods gain in one score for what they lose in another."""

from __future__ import annotations

from typing import Annotated

import typer

from icd_bench import registry
from icd_bench.errors import UsageError

from . import options
from .output import check_choice, split_names
from .run_folders import figures_folder, named_or_newest

FORMATS = ("svg", "pdf", "png", "csv", "parquet", "json")


def curve(
    x: Annotated[
        str, typer.Option("--x", metavar="METRIC", help="Held equal: a metric, nfe or seconds.")
    ],
    y: Annotated[
        str, typer.Option("--y", metavar="METRIC", help="Compared: a metric, nfe or seconds.")
    ],
    runs: options.Runs = None,
    out: options.FiguresOut = None,
    forms: Annotated[
        list[str] | None,
        typer.Option("--format", "-f", metavar="|".join(FORMATS), help="[default: all]"),
    ] = None,
    at: Annotated[
        list[float] | None,
        typer.Option(
            metavar="X", help="Compare at this level of x.  [default: mean over shared levels]"
        ),
    ] = None,
    floor: Annotated[
        float | None,
        typer.Option(metavar="X", help="Worst x that a chosen setting may have on dev."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="X,Y", help="Point that hypervolumes are measured from."),
    ] = None,
    dev: Annotated[
        str | None,
        typer.Option(metavar="SPLIT", help="Split to choose settings on.  [default: dev]"),
    ] = None,
    level: Annotated[
        float, typer.Option(metavar="SHARE", min=0.5, max=0.999, help="Coverage of intervals.")
    ] = 0.95,
    resamples: Annotated[int, typer.Option(metavar="N", min=100, help="Bootstrap draws.")] = 2000,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Draw the trade-off between two scores, and compare methods where one of them is equal.

    Every setting is a point; a method's best points make its curve. Methods are compared at
    matched x, never at a setting picked by hand.
    """
    formats = split_names(forms or FORMATS)
    for form in formats:
        check_choice(form, FORMATS, "format")
    folders = named_or_newest(runs)
    curves = registry.reports.load("curves")
    trade_off = curves.trade_off(
        folders,
        x,
        y,
        at=tuple(at or ()),
        floor=floor,
        reference=None if reference is None else _pair(reference),
        dev=dev,
        level=level,
        resamples=resamples,
        seed=seed,
    )
    print(curves.summary(trade_off))
    for path in curves.write(trade_off, out or figures_folder(folders), formats):
        print(path)


def _pair(text: str) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f'--reference "{text}": give two numbers, as in 20,0.25') from error
    return first, second
