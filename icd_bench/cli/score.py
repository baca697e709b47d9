"""``icd-bench score``: score a run again, or edits that another program made."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from icd_bench import registry
from icd_bench.errors import UsageError

from . import options
from .output import check_choice, say, split_names
from .table import print_table

SOME_EDITS_FAILED = 1
LAYOUTS = ("flat", "piebench", "jsonl")
SIZE_POLICIES = ("refuse", "resize", "corner")


def score(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FOLDER|FILE.jsonl", help="A run, or edits that another program made."
        ),
    ],
    metrics: options.Metrics = None,
    bench: Annotated[
        str | None,
        typer.Option("--bench", "-b", metavar="NAME[:SPLIT][=DIR]|DIR", help="Their benchmark."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Their method's name in tables.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Weights that made them, as `icd-bench list models` names them: your claim, with "
            "which published numbers are compared.  [default: outside]",
        ),
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            metavar="|".join(LAYOUTS),
            help="Pictures named by sample id; the tree of PIE-Bench's scripts; or lines of "
            '{"id": .., "image": ..}.',
        ),
    ] = "flat",
    size_policy: Annotated[
        str,
        typer.Option(
            metavar="|".join(SIZE_POLICIES),
            help="Edits of another size: do not score them, resize them, or keep their bottom "
            "right corner (strips of pictures).",
        ),
    ] = "refuse",
    resolution: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Side in pixels.  [default: the benchmark's]"),
    ] = None,
    protocol: options.Protocol = "native",
    conditions: Annotated[
        list[str] | None,
        typer.Option(
            "--condition",
            metavar="NAME=VALUE",
            help="How they were made: prompts=rewritten, masks=used, best_of=N.",
        ),
    ] = None,
    nfe: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Network evaluations of an edit.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only the first N samples.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder.")] = None,
    device: options.Device = "auto",
) -> int:
    """Add scores to a run, or make edits from elsewhere a run and score them.

    No diffusion model is loaded. What is missing, extra, unreadable, of another size or identical
    to the source is said before any number; two edits of one sample are refused.

    The protocol pie-bench-2023 compresses edits that are JPEG files already once more. On photos
    at quality 75, as the scripts write them, that moved PSNR by up to 0.02 dB.
    """
    options.check_place(device, "auto")
    check_choice(layout, LAYOUTS, "layout")
    check_choice(size_policy, SIZE_POLICIES, "size policy")
    names = split_names(metrics or []) or None
    for metric in names or ():
        if ".py:" not in metric:
            check_choice(metric, registry.metrics.names(), "metric")
    if (place / "run.json").is_file():
        from icd_bench.run.scoring.rescore import score_run

        if bench or name or model:
            raise UsageError(f"{place} is a run: leave out --bench, --as and --model")
        score_run(place, names, device)
        print_table([place], "rich")
        return 0
    if not bench or not name:
        raise UsageError(
            f"{place} is no run; for edits made elsewhere say --bench BENCHMARK --as NAME"
        )
    from icd_bench.run.scoring.conditions import read_conditions
    from icd_bench.run.scoring.outside import MODEL, OutsideRequest, score_outside

    summary = score_outside(
        OutsideRequest(
            place=place,
            benchmark=bench,
            name=name,
            model=model or MODEL,
            layout=layout,
            size_policy=size_policy,
            resolution=resolution,
            protocol=protocol,
            conditions=read_conditions(conditions or ()),
            nfe=nfe,
            metrics=names,
            limit=limit,
            out=out,
            device=device,
            command=shlex.join(["icd-bench", *sys.argv[1:]]),
        )
    )
    print_table([summary.path], "rich")
    print(f"\nresults  {summary.path / 'results.parquet'}")
    if summary.failed:
        say(f"{summary.failed} edits could not be scored; see the column error of the results")
        return SOME_EDITS_FAILED
    return 0
