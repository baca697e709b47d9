"""``icd-bench baseline``: make and renew what ``icd-bench check`` compares with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icd_bench.errors import UsageError

from .check import BaselineFile
from .output import align, say

if TYPE_CHECKING:
    from icd_bench.gate.baseline import Baseline

app = typer.Typer(
    help="Make and renew what icd-bench check compares with.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Margins = Annotated[
    list[str] | None,
    typer.Option(
        "--margin", metavar="METRIC=VALUE", help="Largest loss that nobody would mind; repeat."
    ),
]


@app.command()
def make(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Run folder.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write.")],
    margins: Margins = None,
    noise: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="More runs, with other seeds: margins rise above their noise."
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(metavar="X", help="Largest ratio of seconds.")] = 1.5,
    memory: Annotated[float, typer.Option(metavar="X", help="Largest ratio of memory.")] = 1.25,
) -> None:
    """Write a baseline file from a run."""
    from icd_bench.gate.baseline import CostLimits
    from icd_bench.gate.margins import parse_margins
    from icd_bench.gate.measure import measure
    from icd_bench.gate.renew import make_baseline

    if not (0 < seconds < float("inf") and 0 < memory < float("inf")):
        raise UsageError("--seconds and --memory: they must be above 0")
    baseline = make_baseline(
        out,
        measure(run),
        parse_margins(margins or []),
        [measure(more) for more in noise or []],
        CostLimits(seconds=seconds, memory=memory),
    )
    _show(baseline, out)


@app.command()
def update(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Run folder.")],
    file: BaselineFile,
    margins: Margins = None,
) -> None:
    """Put the values of a run into a baseline file; margins and limits stay."""
    from icd_bench.gate.margins import parse_margins
    from icd_bench.gate.measure import measure
    from icd_bench.gate.renew import renew_baseline

    _show(renew_baseline(file, measure(run), parse_margins(margins or [])), file)


def _show(baseline: Baseline, path: Path) -> None:
    margins = [
        (name, f"{entry.margin:g} {entry.unit}".strip(), entry.why)
        for name, entry in baseline.checked.items()
    ]
    print(align([("metric", "margin", "why"), *margins]))
    say(
        f"{path}: {len(baseline.arms)} methods and settings on {len(baseline.samples)} samples, "
        f"{path.stat().st_size / 1024:.0f} KiB; review it and commit it"
    )
